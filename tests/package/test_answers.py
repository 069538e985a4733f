"""What the programs of a package say of a picture: what `predict` says, for networks of all tasks.

The networks give the same for every picture, drawn by seed; one detector is a real one.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.package import cpp, python
from edge_scnet.package.client import Served, kserve_client
from edge_scnet.package.labels import json_names
from edge_scnet.package.tensors import tensors_of
from edge_scnet.pipeline.package import facts_of, package
from tests.helpers.answers import CASES, DETECTORS, HEIGHT, WIDTH, Case, answer_build
from tests.helpers.hostile import NAMES, check_fit
from tests.helpers.pictures import photograph
from tests.helpers.tool import Run
from tests.package.test_cpp import compiler, flags_of_stb, run
from tests.package.test_python import ALONE

SIZES = ((61, 40), (40, 61), (290, 3), (2, 180), (96, 64))

# a case for each of the C++ sources and each form of its numbers; compiling takes seconds
COMPILED = {
    *("yolox", "yolov5", "yolov8 of a segmentation, batch 2", "ssd, centres in pixels", "fcos"),
    *("nanodet, maps", "fastestdet", "yunet", "end2end, hostile names", "nothing found"),
    *("binary, one score", "binary, two columns", "labels", "numbers", "vector", "points"),
    *("points, heatmaps, channels last", "map", "map of one class", "map of whole numbers"),
}
SOAK = pytest.mark.soak
# stands in for a runtime in the C++ project: its outputs are read from files
_ENGINE = """
#pragma once
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>
#include "settings.hpp"
class Engine {
 public:
  explicit Engine(const std::string& file) : file_(file), input_(1 << 20) {}
  void* input() { return input_.data(); }
  std::size_t input_bytes() const {
    using namespace settings;
    return std::size_t(4) * kBatch * kChannels * kHeight * kWidth;
  }
  void infer() {}
  std::size_t outputs() const {
    std::size_t count = 0;
    while (std::ifstream(file_ + "." + std::to_string(count))) ++count;
    return count;
  }
  std::string shape(std::size_t) const { return ""; }
  std::vector<double> output(std::size_t index) const {
    std::ifstream stream(file_ + "." + std::to_string(index), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(stream), {}};
    const double* first = reinterpret_cast<const double*>(bytes.data());
    return {first, first + bytes.size() / sizeof(double)};
  }
 private:
  std::string file_;
  std::vector<char> input_;
};
"""


def pictures(folder: Path) -> list[Path]:
    return [photograph(folder / f"{w}x{h}.png", (w, h)) for w, h in SIZES]


def program_of(out: Path) -> dict[str, Any]:
    """What the program of a package defines."""
    space: dict[str, Any] = {"__name__": "run", "__file__": str(out / "run.py")}
    exec((out / "run.py").read_text(), space)
    return space


def given(case: Case) -> list[np.ndarray]:
    """What the runtime gives."""
    arrays = []
    for number, array in enumerate(case.outputs.values()):
        if case.ending and not number:
            array = np.clip(array, 1e-3, 0.999)
        arrays.append(array.astype(np.float32) if array.dtype.kind == "f" else array)
    return arrays


@pytest.mark.parametrize("name", CASES)
def test_the_python_program_says_what_predict_says(tmp_path: Path, name: str, invoke: Run) -> None:
    case = CASES[name]
    build = answer_build(tmp_path / "build", case)
    package(build / "model.onnx", form="python", out=tmp_path / "out", anyway=True)
    space = program_of(tmp_path / "out")
    shown = []
    photos = pictures(tmp_path)
    for photo in photos:
        made = space["prepared"](photo)
        place = made[1:] if isinstance(made, tuple) else ()
        first, *more = space["answer"](given(case), *place)
        shown += [f"{photo}: {first}", *more]
    wanted = invoke("predict", build / "model.onnx", *photos)
    assert wanted.code == 0, wanted.stderr
    assert shown == wanted.stdout.splitlines()


@pytest.mark.parametrize("name", CASES)
def test_a_program_has_the_lines_that_its_network_needs(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    facts = facts_of(answer_build(tmp_path / "build", case) / "model.onnx")
    text = python.program(facts)
    ast.parse(text)
    assert text.isascii() and max(map(len, text.splitlines())) <= 100
    assert "not decoded" not in text and text.count("\n") < 150
    assert ("NMS_IOU" in text) == (name in DETECTORS and "end2end" not in name)
    assert ("place" in text) == (case.task in ("detection", "keypoints", "segmentation"))
    assert ("tanh" in text) == (
        name in ("yolox, logits", "fcos", "fastestdet")
        or case.task == "multilabel"
        or ("one" in name and case.task == "binary")
        or "float32" in name
    )
    contents = python.contents(facts)
    assert ("labels.txt" in contents) == (case.task not in ("regression", "embedding", "keypoints"))
    for each in contents.values():
        if isinstance(each, str):
            check_fit(each)


SERVED = (
    *("yolov8, told", "nanodet", "end2end", "binary, one probability", "labels", "points"),
    *("vector", "map of one class", "map of whole numbers"),
)


@pytest.mark.parametrize("name", SERVED)
def test_a_client_says_what_predict_says(tmp_path: Path, name: str, invoke: Run) -> None:
    """Of outputs as a server's JSON has them: numbers without a type, and no batch of one."""
    build = answer_build(tmp_path / "build", CASES[name])
    facts = facts_of(build / "model.onnx")
    tensors = tensors_of(facts)
    text = kserve_client(facts, Served(name="net", inputs=tensors.inputs, outputs=tensors.outputs))
    assert text.isascii() and max(map(len, text.splitlines())) <= 100
    (tmp_path / "labels.json").write_text(json_names(facts.model.classes), "utf-8")
    space: dict[str, Any] = {"__name__": "client", "__file__": str(tmp_path / "client.py")}
    exec(text, space)
    answered = [array.tolist() for array in given(CASES[name])]
    photos = pictures(tmp_path)
    shown = []
    for photo in photos:
        made = space["prepared"](photo)
        batch, *place = made if isinstance(made, tuple) else (made,)
        assert next(iter(space["sent"](batch).values())).dtype == np.float32
        first, *more = space["answer"](space["shaped"](answered), *place)
        shown += [f"{photo}: {first}", *more]
    assert shown == invoke("predict", build / "model.onnx", *photos).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov8, told", "end2end, hostile names", "points", "map"])
def test_the_program_runs_by_itself(tmp_path: Path, name: str, invoke: Run) -> None:
    build = answer_build(tmp_path / "build", CASES[name])
    package(build / "model.onnx", form="python", out=tmp_path / "out", anyway=True)
    photos = pictures(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, tmp_path / "out" / "run.py", *photos],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert done.stdout == invoke("predict", build / "model.onnx", *photos).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name in COMPILED else pytest.param(name, marks=SOAK) for name in CASES]
)
def test_the_cpp_program_says_what_predict_says(tmp_path: Path, name: str, invoke: Run) -> None:
    """Its sources, compiled with an engine that gives the outputs of the case."""
    case, gcc, out = CASES[name], compiler(), tmp_path / "out"
    build = answer_build(tmp_path / "build", case)
    facts = replace(facts_of(build / "model.onnx"), runtime="openvino")
    out.mkdir()
    for file, content in cpp.contents(facts).items():
        if isinstance(content, str):
            (out / file).write_text(content)
    (out / "engine.hpp").write_text(_ENGINE)
    for number, array in enumerate(given(case)):
        rows = len(array) // case.batch
        array[:rows].astype(np.float64).tofile(out / f"model.onnx.{number}")
    run(gcc, *flags_of_stb(), f'-DPACKAGE_FOLDER="{out}"', "main.cpp", "-o", "run", cwd=out)
    photos = pictures(tmp_path)
    wanted = invoke("predict", build / "model.onnx", *photos).stdout
    assert run(out / "run", *photos, cwd=out).splitlines() == wanted.splitlines()


def counting(rows: np.ndarray) -> onnx.ModelProto:
    """A network that gives the rows whose score is above 0.3: how many depends on the data."""
    shape = [1, 3, HEIGHT, WIDTH]
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["rows", "nothing"], ["all"]),
        helper.make_node("Gather", ["all", "four"], ["scores"], axis=1),
        helper.make_node("Greater", ["scores", "limit"], ["high"]),
        helper.make_node("Compress", ["all", "high"], ["out"], axis=0),
    ]
    values = [
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(rows, "rows"),
        numpy_helper.from_array(np.int64(4), "four"),
        numpy_helper.from_array(np.float32(0.3), "limit"),
    ]
    given = helper.make_tensor_value_info("out", TensorProto.FLOAT, [None, 6])
    graph = helper.make_graph(nodes, "net", [taken], [given], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize("found", [True, False])
def test_a_detector_may_count_its_rows(tmp_path: Path, found: bool, invoke: Run) -> None:
    case = replace(
        CASES["end2end"], arguments={"decode": "end2end"}, outputs={"out": np.zeros((1, 6))}
    )
    rows = CASES["end2end"].outputs["out"][0] * np.float32([1, 1, 1, 1, found, 1])
    build = answer_build(tmp_path / "build", case, counting(rows))
    package(build / "model.onnx", form="python", out=tmp_path / "out", anyway=True)
    space = program_of(tmp_path / "out")
    photo = pictures(tmp_path)[0]
    batch, place = space["prepared"](photo)
    first, *more = space["answer"](space["opened"]()(batch), place)
    shown = invoke("predict", build / "model.onnx", photo).stdout
    assert [f"{photo}: {first}", *more] == shown.splitlines()
    assert len(more) > 3 if found else more == []


@pytest.mark.parametrize(
    ("case", "why"),
    [
        (replace(CASES["yolox"], arguments={"decode": "mine:boxes"}), "its decoder is a function"),
        (replace(CASES["yolox"], task="mine:judged"), "its task is a function of yours"),
        (replace(CASES["vector"], task="detection", arguments={}), "no decoder is known for"),
        (replace(CASES["yolox"], arguments={"decode": "ssd"}), "decode ssd wants scores"),
        (replace(CASES["vector"], task="segmentation"), "a map is samples x channels"),
        (replace(CASES["vector"], task="features"), None),
    ],
)
def test_what_is_not_decoded_is_said_with_the_reason(
    tmp_path: Path, case: Case, why: str | None
) -> None:
    named = {f"out {NAMES[0]}": array for array in case.outputs.values()}
    facts = facts_of(answer_build(tmp_path / "build", replace(case, outputs=named)) / "model.onnx")
    for contents in (python.contents(facts), cpp.contents(replace(facts, runtime="openvino"))):
        said = str(contents["README.md"])
        check_fit(said)
        assert "It prints the range of each output, and decodes none" in said
        assert (why is None) == ("decodes none." in said)
        assert why is None or why in said
        assert "labels.txt" not in contents
    assert "not decoded" in python.program(facts)
