"""`inspect` of Q/DQ files: our own, foreign ones, and what is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx

from tests.helpers.foreign import written
from tests.helpers.tool import Built, Outcome


def test_inspect_of_our_own_file_finds_nothing(
    built: Built, invoke: Callable[..., Outcome]
) -> None:
    outcome = invoke("inspect", built.folder / "model.qdq.onnx", "--target", "cpu", "--json")
    # not even the small classifier, which is left in float on purpose
    assert outcome.code == 0 and json.loads(outcome.stdout)["findings"] == []


def test_inspect_names_the_node_and_the_fix(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    source = written(built, tmp_path / "wide.onnx", placement="openvino", bits=8)
    outcome = invoke("inspect", source, "--target", "cpu-avx2")
    assert outcome.code == 6
    first = outcome.stdout.splitlines()[0]
    assert first.startswith("error: ") and "conv1" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].startswith(f"{source}: ")


def test_inspect_of_a_build_folder_is_of_its_own_target(
    built: Built, invoke: Callable[..., Outcome]
) -> None:
    outcome = invoke("inspect", built.folder)
    assert outcome.code == 0
    file = built.folder / "model.qdq.onnx"
    assert outcome.stdout == f"{file}: 0 errors, 0 warnings for target {built.folder.name}\n"
    assert (
        "errors, 6 warnings for target jetson"
        in invoke("inspect", built.folder, "-t", "jetson").stdout
    )


def test_inspect_prints_findings_of_one_kind_once(
    built: Built, invoke: Callable[..., Outcome]
) -> None:
    outcome = invoke("inspect", built.folder, "--target", "jetson")
    problems = [line for line in outcome.stdout.splitlines() if line.startswith("error: ")]
    # codes of another type, and zero points, each with its count and the first three nodes
    assert len(problems) == 2
    counts = [int(line.split()[1]) for line in problems]
    assert sum(counts) == int(outcome.stdout.splitlines()[-1].split(": ")[1].split()[0])
    assert problems[1].count("the zero point is") == 3 and "more (--json)" in problems[1]


def test_inspect_reads_external_data_and_refuses_it_elsewhere(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    model = onnx.load(built.folder / "model.qdq.onnx")
    beside = tmp_path / "beside.onnx"
    onnx.save(model, beside, save_as_external_data=True, location="w.data", size_threshold=0)
    assert invoke("inspect", beside).code == 0
    (tmp_path / "w.data").rename(tmp_path.parent / "w.data")
    outcome = invoke("inspect", beside)
    assert outcome.code == 6 and "external data file 'w.data' of " in outcome.stderr
    model = onnx.load(beside, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../w.data"
    onnx.save(model, beside)
    outcome = invoke("inspect", beside)
    assert outcome.code == 6 and "'../w.data', outside the model's folder" in outcome.stderr


def test_inspect_of_anything_else_is_an_error(
    built: Built, tmp_path: Path, invoke: Callable[..., Outcome]
) -> None:
    (tmp_path / "text.onnx").write_text("hello")
    for path, words in (
        (built.folder / "model.onnx", "holds no Q/DQ"),
        (tmp_path / "text.onnx", "is no ONNX file that can be read"),
        (tmp_path / "none.onnx", "no such file"),
    ):
        outcome = invoke("inspect", path)
        assert outcome.code == 6 and words in outcome.stderr and outcome.hint
