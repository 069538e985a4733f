"""The Python program of a package: it prepares pictures as the build did, and answers as `predict`
does, where edge_scnet cannot be imported.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from edge_scnet.core.feeds import as_taken
from edge_scnet.core.spec import InputForm, engine_spec
from edge_scnet.data import images
from edge_scnet.package import python
from edge_scnet.package.python_picture import picture_lines
from edge_scnet.pipeline.package import facts_of, package
from tests.helpers.byte_engines import CLASSES, byte_build
from tests.helpers.hostile import NAMES, check_fit
from tests.helpers.packages import NAMED, ir_build
from tests.helpers.pictures import RULES, photograph, spec_of
from tests.helpers.tool import Built, Run

# runs a program as if edge_scnet were not installed
ALONE = (
    "import runpy, sys; sys.modules['edge_scnet'] = None; sys.argv = sys.argv[1:];"
    " runpy.run_path(sys.argv[0], run_name='__main__')"
)


def prepared(build: Path, picture: Path) -> np.ndarray:
    """What the program of a build makes of a picture."""
    space: dict[str, Any] = {"np": np, "sys": sys, "Image": Image, "ImageOps": ImageOps}
    facts = facts_of(build)
    if facts.model.preprocessing.library == "opencv":
        space["cv2"] = pytest.importorskip("cv2", reason="needs OpenCV (extra opencv)")
    exec("\n".join(picture_lines(facts)), space)
    made: np.ndarray = space["prepared"](picture)
    return made


@pytest.mark.parametrize("name", RULES)
def test_pictures_are_prepared_to_the_bit(tmp_path: Path, name: str) -> None:
    spec = spec_of(name)
    build = ir_build(tmp_path / "build", spec)
    for size in ((61, 40), (40, 61), (200, 33), (spec.width, spec.height)):
        picture = photograph(tmp_path / "photo.png", size)
        wanted = images.preprocess(images.decode(picture, spec, hint=""), spec)
        made = prepared(build, picture)
        assert made.dtype == np.float32 and made.flags.c_contiguous
        assert np.array_equal(made, wanted[None]), size


@pytest.mark.parametrize("colour", [None, "BGR"])
@pytest.mark.parametrize("name", ["imagenet", "letterbox", "letterbox of YOLOX", "grey"])
def test_engines_of_bytes_get_codes(tmp_path: Path, name: str, colour: str | None) -> None:
    form = InputForm(dtype="uint8", layout="NHWC", colour=None if name == "grey" else colour)
    spec = spec_of(name)
    build, fed = ir_build(tmp_path / "build", spec, form=form), engine_spec(spec, form)
    picture = photograph(tmp_path / "photo.png", (61, 40))
    wanted = as_taken(images.preprocess(images.decode(picture, fed, hint=""), fed)[None], fed)
    made = prepared(build, picture)
    assert made.dtype == np.uint8 and made.flags.c_contiguous and np.array_equal(made, wanted)
    text = python.program(facts_of(build))
    assert "MEAN" not in text and "float32" not in text


@pytest.mark.parametrize("exif", [True, False])
def test_turned_and_transparent_pictures_are_prepared_as_the_build_did(
    tmp_path: Path, exif: bool
) -> None:
    spec = replace(NAMED, preprocessing=replace(NAMED.preprocessing, exif=exif))
    build = ir_build(tmp_path / "build", spec)
    codes = np.random.default_rng(0).integers(0, 256, (9, 14, 4), np.uint8)
    tag = Image.Exif()
    tag[0x0112] = 6
    Image.fromarray(codes[..., :3]).save(tmp_path / "turned.png", exif=tag)
    Image.fromarray(codes, "RGBA").save(tmp_path / "clear.png")
    for name in ("turned.png", "clear.png"):
        picture = tmp_path / name
        wanted = images.preprocess(images.decode(picture, spec, hint=""), spec)
        assert np.array_equal(prepared(build, picture), wanted[None])


def test_the_engine_of_a_larger_batch_gets_the_picture_as_often(tmp_path: Path) -> None:
    build = ir_build(tmp_path / "build", target={"batch": 3})
    picture = photograph(tmp_path / "photo.png", (20, 20))
    made = prepared(build, picture)
    assert made.shape == (3, *NAMED.input_shape) and np.array_equal(made[0], made[2])


@pytest.mark.parametrize("classifies", [True, False])
def test_the_program_is_python_with_no_more_than_it_needs(tmp_path: Path, classifies: bool) -> None:
    build = ir_build(tmp_path / "build")
    if not classifies:
        (build / "report.json").unlink()
    text = python.program(facts_of(build))
    ast.parse(text)
    assert "edge_scnet" not in text and max(map(len, text.splitlines())) <= 100
    assert text.count("\n") < 75
    assert ("labels.txt" in text) == ("softmax" in text) == classifies
    assert ("not decoded" in text) != classifies
    for unused in ("cv2", "canvas", "tensorrt", 'exit(f"{path}: it is smaller'):
        assert unused not in text


def test_hostile_class_names_stand_in_a_file_of_their_own(tmp_path: Path) -> None:
    names = (*NAMES, "quote \" ' and \\ and \\n", "日本語 été", "")
    spec = replace(NAMED, name=NAMES[0], classes=names, num_classes=len(names))
    build = ir_build(tmp_path / "build", spec)
    package(build, form="python", out=tmp_path / "out")
    labels = (tmp_path / "out" / "labels.txt").read_text("utf-8")
    assert labels.count("\n") == len(names) == len(labels.splitlines())
    check_fit(labels)
    assert "日本語 été\n" in labels and "quote \" ' and \\ and \\n\n" in labels
    program = (tmp_path / "out" / "run.py").read_text()
    ast.parse(program)
    assert program.isascii() and "quote" not in program
    check_fit((tmp_path / "out" / "README.md").read_text())


@pytest.mark.slow
def test_it_answers_as_predict_does_without_edge_scnet(
    built: Built, bag: Path, tmp_path: Path, invoke: Run
) -> None:
    out = tmp_path / "out"
    package(built.folder, form="python", out=out, anyway=True)
    pictures = [bag, photograph(tmp_path / "photo.png", (300, 180))]
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, out / "run.py", *pictures],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == invoke("predict", built.folder, *pictures).stdout


@pytest.mark.slow
def test_an_engine_of_bytes_answers(tmp_path: Path) -> None:
    package(byte_build(tmp_path / "build"), form="python", out=tmp_path / "out", anyway=True)
    picture = photograph(tmp_path / "photo.png", (30, 40))
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, tmp_path / "out" / "run.py", picture],
        capture_output=True,
        text=True,
        check=True,
    )
    with Image.open(picture) as opened:
        pixels = np.asarray(opened.resize((12, 16), Image.Resampling.BILINEAR))[4:12, 2:10]
    scores = np.exp(pixels.mean(axis=(0, 1)) / 25.5)
    shares = 100 * scores / scores.sum()
    wanted = [f"{CLASSES[i]} {shares[i]:.1f} %" for i in np.argsort(-shares)]
    assert done.stdout == f"{picture}: {', '.join(wanted)}\n"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "model.qdq.onnx"])
def test_graphs_run_in_onnx_runtime(
    built: Built, bag: Path, tmp_path: Path, invoke: Run, name: str
) -> None:
    package(built.folder / name, form="python", out=tmp_path / "out", anyway=True)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, tmp_path / "out" / "run.py", bag],
        capture_output=True,
        text=True,
        check=True,
    )
    # the graph is not the report's, so nobody knows that it tells classes apart
    assert done.stdout.startswith(f"{bag}: 1 output, not decoded\n  output 0  10 float32, ")
