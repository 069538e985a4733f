"""The C++ project of a package: compiled as its README says, it prepares pictures to the bit and
answers as `predict` does.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image

from edge_scnet.core.feeds import as_taken
from edge_scnet.core.spec import InputForm, engine_spec
from edge_scnet.data import images
from edge_scnet.package import cpp
from edge_scnet.pipeline.package import facts_of, package
from tests.helpers.byte_engines import byte_build
from tests.helpers.hostile import NAMES, check_fit
from tests.helpers.packages import NAMED, ir_build
from tests.helpers.pictures import RULES, photograph, spec_of
from tests.helpers.tool import Built, Run

# writes what a project's `prepare` makes of pictures
_DUMP = """
#include <cstdio>
#include <vector>
#include "picture.hpp"
int main(int count, char** words) {
  std::vector<char> input(std::size_t(settings::kBatch) * settings::kChannels * settings::kHeight *
                          settings::kWidth * (settings::kTakesCodes ? 1 : 4));
  for (int i = 1; i < count; ++i) {
    prepare(words[i], input.data(), input.size());
    std::fwrite(input.data(), 1, input.size(), stdout);
  }
}
"""
_STB = next(
    (path for path in (Path("/usr/include/stb"), Path("/usr/local/include/stb")) if path.is_dir()),
    None,
)


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run(
        [*map(str, words)], capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def compiler() -> str:
    found = shutil.which("g++")
    if found is None or _STB is None:
        pytest.skip("needs g++ and stb_image.h (apt-get install g++ libstb-dev)")
    return found


@pytest.fixture(scope="module")
def project(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of the shared build, made by CMake with the OpenVINO of the Python package."""
    return made(built.folder, tmp_path_factory.mktemp("cpp") / "project")


def made(build: Path, out: Path) -> Path:
    """The project of a build, made by CMake as its README says."""
    openvino = find_spec("openvino")
    if openvino is None or openvino.origin is None or shutil.which("cmake") is None:
        pytest.skip("needs OpenVINO and cmake")
    compiler()
    package(build, form="cpp", out=out, anyway=True)
    folder = Path(openvino.origin).parent / "cmake"
    run("cmake", "-S", ".", "-B", "b", f"-DOpenVINO_DIR={folder}", cwd=out)
    run("cmake", "--build", "b", cwd=out)
    return out


def test_the_project_is_sources_and_numbers(tmp_path: Path) -> None:
    names = (*NAMES, "quote \" ' and \\ and \\n", "日本語 été", '"); system("true"); //')
    spec = replace(NAMED, name=NAMES[0], classes=names, num_classes=len(names))
    made = cpp.contents(facts_of(ir_build(tmp_path / "build", spec)))
    assert {"CMakeLists.txt", "main.cpp", "settings.hpp", "labels.txt", "README.md"} <= set(made)
    for name, content in made.items():
        if isinstance(content, str) and name not in ("labels.txt", "README.md"):
            assert content.isascii() and "quote" not in content, name
        if isinstance(content, str):
            check_fit(content)
    assert str(made["labels.txt"]).count("\n") == len(names)


def test_a_plans_project_has_tensorrts_sources(tmp_path: Path) -> None:
    facts = replace(
        facts_of(ir_build(tmp_path / "build")),
        runtime="tensorrt",
        runtime_title="TensorRT",
    )
    made = cpp.contents(facts)
    whole = "\n".join(content for content in made.values() if isinstance(content, str))
    assert "NvInfer.h" in whole and "openvino" not in whole.lower()


def dump_of(build: Path, out: Path) -> Path:
    """A program that writes what the project of a build makes of pictures."""
    gcc = compiler()
    package(build, form="cpp", out=out)
    (out / "dump.cpp").write_text(_DUMP)
    run(gcc, *flags_of_stb(), "dump.cpp", "-o", "dump", cwd=out)
    return out / "dump"


def flags_of_stb() -> tuple[object, ...]:
    """What a program needs that reads pictures by stb_image.h; every warning is an error."""
    return ("-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror", "-isystem", _STB)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["letterbox of YOLOX", "grey"])
def test_engines_of_bytes_get_codes(tmp_path: Path, name: str) -> None:
    form = InputForm(dtype="uint8", layout="NHWC", colour="RGB" if "YOLOX" in name else None)
    spec = spec_of(name)
    dump = dump_of(ir_build(tmp_path / "build", spec, form=form), tmp_path / "out")
    fed = engine_spec(spec, form)
    picture = photograph(tmp_path / "photo.png", (61, 40))
    wanted = as_taken(images.preprocess(images.decode(picture, fed, hint=""), fed)[None], fed)
    done = subprocess.run([dump, picture], capture_output=True, check=True)
    assert np.array_equal(np.frombuffer(done.stdout, np.uint8), wanted.ravel())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in RULES if "OpenCV" not in name])
def test_pictures_are_prepared_to_the_bit(tmp_path: Path, name: str) -> None:
    spec = spec_of(name)
    dump = dump_of(ir_build(tmp_path / "build", spec), tmp_path / "out")
    rule = spec.preprocessing
    code = rule.pixel_max / 255 / min(rule.std, default=1)
    for size in ((61, 40), (200, 33), (spec.width, spec.height), (40, 61)):
        if name == "not antialiased" and size != (spec.width, spec.height):
            continue  # it says that it does not resize
        picture = photograph(tmp_path / "photo.png", size)
        wanted = images.preprocess(images.decode(picture, spec, hint=""), spec)
        done = subprocess.run([dump, picture], capture_output=True, check=True)
        made = np.frombuffer(done.stdout, np.float32).reshape(wanted.shape)
        if size == (40, 61) and int(PIL.__version__.partition(".")[0]) < 13:
            # Pillow 13 resizes tall pictures along y first, which rounds otherwise
            assert np.abs(made - wanted).max() <= 1.001 * code
        else:
            assert np.array_equal(made, wanted), size


@pytest.mark.slow
def test_it_answers_as_predict_does(
    built: Built, bag: Path, tmp_path: Path, invoke: Run, project: Path
) -> None:
    out = project
    pictures = [bag, photograph(tmp_path / "photo.png", (300, 180))]
    told = run("b/run", *pictures, cwd=out)
    assert told == invoke("predict", built.folder, *pictures).stdout
    assert len(run("b/run", "--top", "2", bag, cwd=out).split(", ")) == 2
    timed = run("b/run", "--benchmark", "0.1", cwd=out)
    assert re.fullmatch(
        r"inference: median [\d.]+ ms, least [\d.]+ ms, p90 [\d.]+ ms, \d+ runs, batch 1\n", timed
    )
    if "OpenCV_DIR:PATH=/" in (out / "b" / "CMakeCache.txt").read_text():
        # its decoder and Pillow's are one; stb_image.h's JPEG pixels are a code apart
        jpeg = tmp_path / "photo.jpg"
        with Image.open(pictures[1]) as opened:
            opened.save(jpeg, quality=90)
        assert run("b/run", jpeg, cwd=out) == invoke("predict", built.folder, jpeg).stdout
    # its own folder moved, it finds the engine where it is told
    moved = shutil.copytree(out, tmp_path / "moved")
    (out / "model.xml").rename(out / "away.xml")
    try:
        assert run("b/run", "--folder", moved, bag, cwd=moved) == told.partition("\n")[0] + "\n"
    finally:
        (out / "away.xml").rename(out / "model.xml")


@pytest.mark.slow
def test_an_engine_of_bytes_answers_as_the_python_program_does(tmp_path: Path) -> None:
    build = byte_build(tmp_path / "build")
    out = made(build, tmp_path / "project")
    package(build, form="python", out=tmp_path / "python", anyway=True)
    picture = photograph(tmp_path / "photo.png", (30, 40))
    told = run("b/run", picture, cwd=out)
    assert told == run(sys.executable, tmp_path / "python" / "run.py", picture, cwd=tmp_path)
    # settings that say float32 are not those of this engine
    text = (out / "settings.hpp").read_text().replace("kTakesCodes = true", "kTakesCodes = false")
    (out / "settings.hpp").write_text(text)
    run("cmake", "--build", "b", cwd=out)
    done = subprocess.run([out / "b" / "run", picture], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "takes another type than settings.hpp says: u8" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("absent.png",), "absent.png: it cannot be opened"),
        (("clear.png",), "only pictures of 8 bits without transparency"),
        (("deep.png",), "only pictures of 8 bits without transparency"),
        (("--top", "none", "bag.png"), "--top needs a number above 0"),
        (("--what", "bag.png"), "--what: there are --top N"),
        ((), "usage: run"),
        (("--folder", "nowhere", "bag.png"), "nowhere/model.xml"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    project: Path, bag: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    shutil.copy(bag, tmp_path / "bag.png")
    codes = np.zeros((28, 28, 4), np.uint8)
    Image.fromarray(codes, "RGBA").save(tmp_path / "clear.png")
    Image.fromarray(np.zeros((28, 28), np.uint16)).save(tmp_path / "deep.png")
    done = subprocess.run(
        [project / "b" / "run", *words], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and said in done.stderr
