"""A build for a board without INT8, from a network of one convolution to the verdict."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_scnet
from edge_scnet.compile import bundle
from edge_scnet.compile.board import check_board
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import from_dict
from edge_scnet.core.manifest import BUNDLE, FP16_FORM, FP16_GRAPH, INT8_FORM, load_manifest
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.pipeline.board import profile_results
from tests.helpers.tensorrt import Silence, run_script

_CLASSES = 4


def _network(path: Path, random: np.random.Generator) -> Path:
    weights = random.normal(size=(_CLASSES, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Reshape", ["p", "flat"], ["y"], name="flatten", allowzero=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, _CLASSES])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.array([1, -1], np.int64), "flat"),
        ],
    )
    opsets = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path


@pytest.mark.slow
def test_fp16_alone_is_built_simulated_timed_and_never_called_int8(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    samples = random.normal(size=(100, 3, 8, 8)).astype(np.float32)
    made = edge_scnet.build(
        _network(tmp_path / "net.onnx", random),
        target="jetson-fp16",
        calib=samples,
        evaluation=random.normal(size=samples.shape).astype(np.float32),
        out=tmp_path / "out",
        events=Silence(),
        model_options=ModelOptions(),
    )
    report, folder = made.report, made.folder
    assert report is not None
    assert [(row.name, row.role) for row in report.engines] == [
        ("fp32", "reference"),
        ("fp16 simulated", "fp16"),
    ]
    accuracy = report.engines[1].accuracy
    assert accuracy is not None and accuracy.sqnr_db is not None and accuracy.sqnr_db > 50
    assert onnx.load(folder / FP16_FORM).opset_import[0].version == 13
    halved = {tensor.data_type for tensor in onnx.load(folder / FP16_GRAPH).graph.initializer}
    assert TensorProto.FLOAT16 in halved and TensorProto.FLOAT not in halved

    board = tmp_path / "board"
    board.mkdir()
    bundle.unpack(folder / BUNDLE, board)
    assert not (board / INT8_FORM).exists()
    target = from_dict(load_manifest(board).target)
    with pytest.raises(TargetError, match=r"build\.sh"):
        check_board(target)
    with pytest.raises(ArtifactError, match=r"build\.sh builds and times its plans"):
        edge_scnet.profile(folder)
    assert run_script(board, "8201", target=target, FP16_MS="0.5").code == 0
    (folder / "results.tar.gz").write_bytes((board / "results.tar.gz").read_bytes())
    timed = profile_results(folder / "results.tar.gz")
    assert timed.report is not None and timed.exit_code == 13
    verdict = timed.report.verdict
    assert verdict.startswith("not proven: ") and "simulated, not measured" in verdict
    assert "INT8" not in verdict + report.verdict + (folder / "report.html").read_text()


def test_nothing_is_quantized_for_it(tmp_path: Path) -> None:
    samples = np.zeros((100, 3, 8, 8), np.float32)
    network = _network(tmp_path / "net.onnx", np.random.default_rng(0))
    with pytest.raises(TargetError, match="nothing is quantized"):
        edge_scnet.quantize(network, samples, target="jetson-fp16", out=tmp_path)
