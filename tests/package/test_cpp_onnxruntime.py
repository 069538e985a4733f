"""The C++ project of an engine of ONNX Runtime: compiled with the real library it answers as
`predict` does.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_scnet.config.target import load_target
from edge_scnet.core.facts import EngineFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import Artifact, load_manifest, save_manifest
from edge_scnet.core.spec import InputForm, TaskSpec
from edge_scnet.package import cpp
from edge_scnet.pipeline.package import facts_of, package
from tests.helpers.packages import NAMED, ir_build
from tests.helpers.pictures import photograph
from tests.helpers.tool import Built, Run
from tests.package.test_cpp import compiler, run

BYTES = InputForm(dtype="uint8", layout="NHWC", colour="RGB")


def onnx_build(folder: Path, *, threads: int = 0, form: InputForm | None = None) -> Path:
    """A build whose INT8 engine's outputs are the means of red, green and blue over 25.5; pictures
    are scaled to 12 and cut to 8 x 8.
    """
    spec = replace(
        NAMED,
        classes=("red", "green", "blue"),
        num_classes=3,
        task=TaskSpec(kind="classification"),
        preprocessing=replace(NAMED.preprocessing, resize="crop", short_side=12),
    )
    target = {**asdict(load_target("onnxruntime")), "threads": threads}
    build = ir_build(folder, spec, target=target, form=form)
    takes, sizes, axes = (
        (TensorProto.UINT8, [1, 8, 8, 3], [1, 2])
        if form is not None
        else (TensorProto.FLOAT, [1, 3, 8, 8], [2, 3])
    )
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["pixels"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["numbers", "axes"], ["means"], keepdims=0),
            helper.make_node("Div", ["means", "divisor"], ["scores"]),
        ],
        "means",
        [helper.make_tensor_value_info("pixels", takes, sizes)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [2], axes),
            helper.make_tensor("divisor", TensorProto.FLOAT, [], [25.5]),
        ],
    )
    opsets = [helper.make_opsetid("", 20)]
    engine = build / "model-int8.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), engine)
    entry = Artifact(
        file=engine.name,
        kind="onnx",
        stage="compile",
        sha256=sha256_file(engine),
        size_bytes=engine.stat().st_size,
        key="k",
        facts=EngineFacts(precision="int8", runtime="onnxruntime"),
        versions={"onnxruntime": "1.32.0"},
    )
    save_manifest(build, load_manifest(build).with_artifact(entry))
    return build


def test_the_project_has_onnx_runtimes_sources_and_settings(tmp_path: Path) -> None:
    made = cpp.contents(facts_of(onnx_build(tmp_path / "build", threads=3)))
    whole = "\n".join(content for content in made.values() if isinstance(content, str))
    assert "onnxruntime_cxx_api.h" in whole and "openvino" not in whole.lower()
    assert 'kEngine = "model-int8.onnx"' in str(made["settings.hpp"])
    assert "constexpr int kThreads = 3;" in str(made["settings.hpp"])
    assert "made with ONNX Runtime 1.32.0" in str(made["README.md"])
    assert "-DONNXRUNTIME_DIR=" in str(made["README.md"])


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as that of a release archive, with the library that the Python package has where
    its own is not there.
    """
    place = os.environ.get("ONNXRUNTIME_DIR")
    found = sorted(Path(place or "/usr/include").glob("**/onnxruntime_cxx_api.h"))
    if not found or shutil.which("cmake") is None:
        pytest.skip(
            "needs cmake and ONNX Runtime's headers, which its Python package has not: a release"
            " archive whose folder is in ONNXRUNTIME_DIR, or Debian's libonnxruntime-dev"
        )
    compiler()
    folder = tmp_path_factory.mktemp("release")
    (folder / "include").symlink_to(found[0].parent.resolve())
    (folder / "lib").mkdir()
    library = _library(Path(place) if place else Path("/usr/lib"))
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / "lib" / name).symlink_to(library)
    return folder


def _library(place: Path) -> Path:
    packaged = Path(onnxruntime.__file__).parent / "capi"
    for folder in (place, packaged):
        found = sorted(folder.glob("**/libonnxruntime.so*"))
        if found:
            return found[0].resolve()
    pytest.skip(f"there is no libonnxruntime.so in {place}, nor in {packaged}")


def made(build: Path, out: Path, release: Path) -> Path:
    """The project of a build, made by CMake as its README says."""
    package(build, form="cpp", out=out, anyway=True)
    flags = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Werror"
    run("cmake", "-S", ".", "-B", "b", f"-DONNXRUNTIME_DIR={release}", flags, cwd=out)
    run("cmake", "--build", "b", cwd=out)
    return out


def refused(program: Path, *words: object) -> str:
    done = subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    return done.stderr


@pytest.mark.slow
def test_it_answers_as_predict_does(
    copied: Built, bag: Path, tmp_path: Path, invoke: Run, release: Path
) -> None:
    data = ["--calib", copied.calib, "--eval", copied.evaluation, "--max-drop", "5"]
    where = ["--out", copied.folder.parents[1], "--seconds", "0.2"]
    outcome = invoke("build", "--target", "onnxruntime", *data, *where)
    # 11, 13: so small a network may gain nothing here
    assert outcome.code in (0, 11, 13), outcome.stderr
    build = copied.folder.with_name("onnxruntime")
    out = made(build, tmp_path / "project", release)
    pictures = [bag, photograph(tmp_path / "photo.png", (300, 180))]
    told = run("b/run", *pictures, cwd=out)
    assert told == invoke("predict", build, *pictures).stdout
    timed = run("b/run", "--benchmark", "0.1", cwd=out)
    assert re.match(r"inference: median [\d.]+ ms, least [\d.]+ ms, p90 [\d.]+ ms, \d+ runs", timed)
    assert "nowhere/model-int8.onnx" in refused(out / "b" / "run", "--folder", "nowhere", bag)


@pytest.mark.slow
@pytest.mark.parametrize("form", [None, BYTES])
def test_engines_of_numbers_and_of_bytes_answer_as_the_python_program_does(
    tmp_path: Path, release: Path, form: InputForm | None
) -> None:
    build = onnx_build(tmp_path / "build", threads=1, form=form)
    out = made(build, tmp_path / "project", release)
    package(build, form="python", out=tmp_path / "python", anyway=True)
    picture = photograph(tmp_path / "photo.png", (30, 40))
    told = run("b/run", picture, cwd=out)
    assert told == run(sys.executable, tmp_path / "python" / "run.py", picture, cwd=tmp_path)
    # settings of the other type are not those of this engine
    text = (out / "settings.hpp").read_text()
    says, other = ("false", "true") if form is None else ("true", "false")
    assert f"kTakesCodes = {says}" in text
    (out / "settings.hpp").write_text(
        text.replace(f"kTakesCodes = {says}", f"kTakesCodes = {other}")
    )
    run("cmake", "--build", "b", cwd=out)
    taken = "float32" if form is None else "uint8"
    said = refused(out / "b" / "run", picture)
    assert f"takes another type than settings.hpp says: {taken}" in said


@pytest.mark.slow
def test_outputs_that_are_not_decoded_are_told_as_the_python_program_does(
    copied: Built, bag: Path, tmp_path: Path, release: Path
) -> None:
    # the graph is not the report's, so nobody knows that it tells classes apart
    build = copied.folder / "model.qdq.onnx"
    out = made(build, tmp_path / "project", release)
    package(build, form="python", out=tmp_path / "python", anyway=True)
    told = run("b/run", bag, cwd=out)
    assert told == run(sys.executable, tmp_path / "python" / "run.py", bag, cwd=tmp_path)
    assert "1 output, not decoded\n  output 0  10 float32, " in told


@pytest.mark.slow
def test_without_onnx_runtime_cmake_says_what_brings_it(tmp_path: Path, release: Path) -> None:
    package(onnx_build(tmp_path / "build"), form="cpp", out=tmp_path / "project", anyway=True)
    done = subprocess.run(
        ["cmake", "-S", ".", "-B", "b", f"-DONNXRUNTIME_DIR={tmp_path}"],
        capture_output=True,
        text=True,
        cwd=tmp_path / "project",
        check=False,
    )
    assert done.returncode != 0 and "-DONNXRUNTIME_DIR=its folder" in " ".join(done.stderr.split())
