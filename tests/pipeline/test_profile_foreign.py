"""`profile` of engines that no manifest describes, in processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_scnet.profiler import rounds
from edge_scnet.report.store import load_report
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Built, Run

pytestmark = pytest.mark.slow
FAST = ("--seconds", "0.1")


def negated(source: Path, path: Path) -> Path:
    """The same network with its outputs' signs turned."""
    model = onnx.load(source)
    model.graph.node[0].input[1] = "negative"
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight[::-1].copy(), "negative"))
    onnx.save(model, path)
    return path


def samples(path: Path, count: int = 40) -> Path:
    np.savez(
        path,
        x=np.random.default_rng(0).standard_normal((count, 1, 6, 6)).astype(np.float32),
        labels=np.full(count, 3),
    )
    return path


def test_an_onnx_file_and_an_ir_are_measured_and_compared(tmp_path: Path, invoke: Run) -> None:
    import openvino as ov

    source = tiny_onnx(tmp_path / "tiny.onnx")
    ir = tmp_path / "tiny.xml"
    ov.save_model(ov.convert_model(source), ir, compress_to_fp16=False)
    before = sorted(tmp_path.iterdir())
    outcome = invoke("profile", ir, *FAST)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.rstrip().splitlines()[-1].startswith("measured, not judged: no manifest")
    assert sorted(tmp_path.iterdir()) == before, "nothing is written beside it"
    data, saved = samples(tmp_path / "data.npz"), tmp_path / "saved.json"
    outcome = invoke("profile", ir, source, "--eval", data, *FAST, "--report", saved, "--json")
    assert outcome.code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    first, second = report["engines"]
    assert [first["name"], second["name"]] == ["tiny.xml", "tiny.onnx"]
    assert (first["role"], second["role"]) == ("reference", "other")
    assert (first["runtime"], second["runtime"]) == ("openvino", "onnxruntime")
    assert sum(first["convolutions"].values()) == 1 and second["speedup"]["ratio"] > 0
    # the last channel has the largest weight; where the mean is not above 0, all four are near it
    share = first["accuracy"]["labels"]["top1_percent"]
    assert share > 50 and second["accuracy"]["agreement_percent"] == 100
    assert second["accuracy"]["labels"]["top1_percent"] == share
    assert report["findings"] == [] and not report["verdict"].startswith("ship")
    assert load_report(saved).verdict == report["verdict"]


def test_outputs_that_differ_are_seen(tmp_path: Path, invoke: Run) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    other = negated(source, tmp_path / "other.onnx")
    data = samples(tmp_path / "data.npz")
    outcome = invoke("profile", source, other, "--eval", data, *FAST, "--json")
    assert outcome.code == 0, outcome.stderr
    accuracy = json.loads(outcome.stdout)["engines"][1]["accuracy"]
    assert accuracy["agreement_percent"] < 50 and accuracy["labels"]["lost"] > 20


def test_interleaved_engines_have_a_ratio_and_are_compared(
    tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounds, "ROUNDS", 3)
    source = tiny_onnx(tmp_path / "tiny.onnx")
    large = tiny_onnx(tmp_path / "large.onnx", size=8)
    data = samples(tmp_path / "data.npz")
    command = ("profile", source, source, "--interleave", "--eval", data, *FAST)
    outcome = invoke(*command, "--json")
    assert outcome.code == 0, outcome.stderr
    first, second = json.loads(outcome.stdout)["engines"]
    assert first["ratio"] is None and second["ratio"]["rounds"] == 3
    assert second["accuracy"]["sqnr_db"] is None and second["accuracy"]["agreement_percent"] == 100
    outcome = invoke("profile", source, large, "--interleave", *FAST)
    assert outcome.code == 6 and "cannot be fed with the same samples" in outcome.stderr


def test_interleaved_engines_are_judged_by_the_task(
    tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Points that are all others, while the largest column of each sample is the same."""
    monkeypatch.setattr(rounds, "ROUNDS", 2)
    source = tiny_onnx(tmp_path / "tiny.onnx")
    model = onnx.load(source)
    weight = onnx.numpy_helper.to_array(model.graph.initializer[0])
    tenfold = onnx.numpy_helper.from_array(10 * weight, model.graph.initializer[0].name)
    model.graph.initializer[0].CopyFrom(tenfold)
    onnx.save(model, tmp_path / "tenfold.onnx")
    np.savez(
        tmp_path / "data.npz",
        x=np.random.default_rng(0).standard_normal((40, 1, 6, 6)).astype(np.float32),
    )
    command = ("profile", source, tmp_path / "tenfold.onnx", "--interleave", *FAST)
    outcome = invoke(*command, "--eval", tmp_path / "data.npz", "--task", "keypoints", "--json")
    assert outcome.code == 0, outcome.stderr
    _, second = json.loads(outcome.stdout)["engines"]
    assert second["accuracy"]["task"]["task"] == "keypoints"
    assert second["accuracy"]["agreement_percent"] is None
    figure = second["figures"][0]
    assert figure["figure"] == "error to A" and figure["b"] > 100
    outcome = invoke(*command, "--eval", tmp_path / "data.npz", "--task", "keypoints")
    assert "B's error to A: " in outcome.stdout and "with 95 % confidence" in outcome.stdout


def test_several_inputs_of_any_kind_are_fed_at_random(tmp_path: Path, invoke: Run) -> None:
    """A picture in bytes, a state without a batch axis and a number."""
    shapes = {
        "image": (TensorProto.UINT8, ["n", "h", "w", 3]),
        "state": (TensorProto.FLOAT, [2, 1, 3]),
        "gain": (TensorProto.FLOAT, []),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["state"], ["s"], keepdims=0),
        helper.make_node("Mul", ["f", "gain"], ["g"]),
        helper.make_node("Add", ["g", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info(name, *what) for name, what in shapes.items()],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "h", "w", 3])],
    )
    path = tmp_path / "several.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    refused = invoke("profile", path, *FAST)
    assert refused.code == 6 and "the sizes of image are open" in refused.stderr
    outcome = invoke("profile", path, "--input-shape", "3x8x10", "--batch", "1", *FAST, "--json")
    assert outcome.code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert report["batch"] == 1 and "the batch is open, 1 is taken" in report["verdict"]


def test_pictures_are_evaluated_through_the_preprocessing_that_is_given(
    tmp_path: Path, invoke: Run, built: Built, eval_20: Path
) -> None:
    """The FP32 engine of the bundled model, out of its folder: the accuracy is the build's."""
    for name in ("model-fp32.xml", "model-fp32.bin"):
        (tmp_path / name).write_bytes((built.folder / name).read_bytes())
    engine = tmp_path / "model-fp32.xml"
    normalised = ("--mean", "0.286", "--std", "0.353")
    refused = invoke("profile", engine, "--eval", eval_20, *normalised, *FAST)
    assert refused.code == 6 and "takes uint8, pixels from 0 to 255 as they are" in refused.stderr
    said = ("--num-classes", "10")
    outcome = invoke("profile", engine, "--eval", eval_20, *said, *FAST, "--json")
    assert outcome.code == 0, outcome.stderr
    foreign = json.loads(outcome.stdout)["engines"][0]
    known = invoke("profile", built.folder / "model-fp32.xml", "--eval", eval_20, *FAST, "--json")
    expected = json.loads(known.stdout)["engines"][0]
    assert (
        foreign["accuracy"]["labels"]["top1_percent"]
        == expected["accuracy"]["labels"]["top1_percent"]
    )
    assert foreign["end_to_end"] is not None
    # its manifest knows better
    refused = invoke("profile", built.folder / "model.xml", "--mean", "0", "--std", "1", *FAST)
    assert refused.code == 6 and "--mean, --std cannot change that" in refused.stderr


def test_an_engine_in_a_build_folder_that_is_not_listed(copied: Built, invoke: Run) -> None:
    path = tiny_onnx(copied.folder / "mine.onnx")
    outcome = invoke("profile", path, *FAST)
    assert outcome.code == 0, outcome.stderr
    assert "the manifest beside it does not list it" in outcome.stdout


def test_a_report_is_not_written_where_it_cannot_be(
    tmp_path: Path, invoke: Run, built: Built
) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    for command in (
        (source, "--report", tmp_path / "none" / "r.json"),
        (built.folder, "--report", tmp_path / "r.json"),
    ):
        assert invoke("profile", *command).code == 2
    assert not (tmp_path / "r.json").exists()
