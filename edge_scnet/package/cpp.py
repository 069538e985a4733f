"""The format `cpp`: a CMake project that reads pictures, runs the engine and times it.

Its sources lie in `cpp_files/` as they are compiled; which of them are taken follows from the
runtime, the resampler and the task. The build's numbers stand in settings.hpp, its class names in
labels.txt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.package.cpp_answer import answer_sources
from edge_scnet.package.cpp_settings import settings
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.form import Content, Format, check_pictures
from edge_scnet.package.reading import Named, labels_of, reading_of
from edge_scnet.package.reading_words import reading_words
from edge_scnet.package.readme import readme

LABELS = "labels.txt"
_BUILD = {
    "openvino": (
        "cmake -S . -B b -DOpenVINO_DIR=\"$(python3 -c 'import openvino;"
        " print(openvino.__path__[0])')/cmake\""
    ),
    "onnxruntime": 'cmake -S . -B b -DONNXRUNTIME_DIR="$HOME/onnxruntime"',
    "tensorrt": "cmake -S . -B b",
}


def contents(facts: PackageFacts) -> Mapping[str, Content]:
    """The files of the package.

    Raises:
        ArtifactError: the network takes no pictures.
    """
    check_pictures(FORMAT, facts)
    rule = facts.model.preprocessing
    resampler = _resampler(rule)
    pictures = "cmake_opencv.txt" if resampler == "opencv" else "cmake_pictures.txt"
    made: dict[str, Content] = {part.name: part for part in facts.files}
    made["CMakeLists.txt"] = "\n".join(
        map(_source, ("CMakeLists.txt", f"cmake_{facts.runtime}.txt", pictures))
    )
    for name in ("main.cpp", "picture.hpp", "pixels.hpp"):
        made[name] = _source(name)
    made["engine.hpp"] = _source(f"engine_{facts.runtime}.hpp")
    made["resize.hpp"] = _source(f"resize_{resampler}.hpp")
    reading = reading_of(facts)
    made["settings.hpp"] = settings(facts, reading)
    made |= {name: _source(source) for name, source in answer_sources(reading).items()}
    if isinstance(reading, Named):
        made[LABELS] = labels_of(reading)
    steps = f"{_BUILD[facts.runtime]}\ncmake --build b\n./b/run photo.jpg\n./b/run --benchmark 5"
    notes = (*_notes(facts, resampler), *reading_words(reading))
    made["README.md"] = readme(FORMAT, facts, steps=steps, notes=notes)
    return made


def _source(name: str) -> str:
    return (files("edge_scnet.package") / "cpp_files" / name).read_text(encoding="utf-8")


def _resampler(rule: Preprocessing) -> str:
    """Which of the sources resizes."""
    if rule.resize == "none":
        return "none"
    if rule.library == "opencv":
        return "opencv"
    if rule.interpolation == "nearest":
        return "nearest"
    # Pillow's filters that do not grow are its transform's, which no source here computes
    return "pillow" if rule.antialias else "none"


def _notes(facts: PackageFacts, resampler: str) -> Iterator[str]:
    rule = facts.model.preprocessing
    if resampler == "opencv":
        yield "Pictures of 8 bits without transparency, read and resized by OpenCV."
    else:
        turned = " and turns them as their EXIF data says" if rule.exif else ""
        yield (
            f"Pictures of 8 bits without transparency. OpenCV reads them{turned}, where CMake finds"
            " it; else stb_image.h does, whose JPEG pixels may be a code apart"
            + (", and which turns nothing." if rule.exif else ".")
        )
    if resampler == "none" and rule.resize != "none":
        yield (
            "It does not resize: Pillow without antialiasing did that, so pictures must come in"
            " the size that they would be scaled to."
        )
    yield from _notes_of_runtime(facts)


def _notes_of_runtime(facts: PackageFacts) -> Iterator[str]:
    if facts.runtime == "openvino":
        yield "The headers and libraries of OpenVINO are those of its Python package, or its own."
    elif facts.runtime == "onnxruntime":
        yield (
            "ONNX Runtime is the archive of a release, unpacked into the folder of"
            " `-DONNXRUNTIME_DIR`; without that option the system's is taken, as of Debian's"
            " libonnxruntime-dev. An older one than the engine was made with may compute otherwise."
        )
    else:
        yield (
            "A compiler checked this source against TensorRT's headers; it was neither linked nor"
            " run on a board."
        )


FORMAT = Format(
    name="cpp",
    title="a CMake project in C++",
    runtimes=("openvino", "onnxruntime", "tensorrt"),
    contents=contents,
)
