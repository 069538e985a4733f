"""Graphs that OpenVINO would miscompile, written in another form of the same values."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
import pytest

from edge_scnet.errors import BackendError
from edge_scnet.graph.lint import lint
from edge_scnet.graph.openvino_repair import repair
from edge_scnet.graph.run import run_onnx
from tests.helpers.graphs import find
from tests.helpers.openvino_faults import (
    IMAGE,
    POOLED,
    RIGHT_DB,
    SIGNED,
    assembled,
    built,
    engine_outputs,
    errors,
    pooled_graph,
    precisions,
    signed_graph,
    worst_db,
)

pytest.importorskip("openvino")


@pytest.mark.parametrize("pattern", ["Concat of Q", "Concat, Q", "MaxPool, a Concat elsewhere"])
def test_the_rewrite_keeps_every_convolution_in_int8(pattern: str, tmp_path: Path) -> None:
    found = precisions(built(signed_graph(SIGNED[pattern][1], tmp_path)))
    assert {found[name] for name in ("left/conv", "right/conv", "conv")} == {"u8"}


def test_a_pool_becomes_a_convolution_in_int8_of_the_same_name(tmp_path: Path) -> None:
    found = precisions(built(pooled_graph(*POOLED["Q behind"], tmp_path)))
    assert {found[name] for name in ("left", "pool", "conv")} == {"u8"}


def test_pools_on_the_lowest_int8_zero_point_stay_pools(tmp_path: Path) -> None:
    repaired = repair(
        ir.load(pooled_graph(*POOLED["int8 with the lowest zero point, Q behind"], tmp_path))
    )
    assert any(node.op_type == "AveragePool" for node in repaired.graph)


def test_what_has_no_other_form_is_refused(tmp_path: Path) -> None:
    path = pooled_graph(
        "uint8+85", lambda g: g.conv(g.q(g.avgpool(g.q("left"), ceil_mode=1))), tmp_path
    )
    with pytest.raises(BackendError, match=r"qdq\.onnx: pool: .*padding") as caught:
        built(path)
    assert "zero point 0" in str(caught.value.hint)
    assert [file.name for file in tmp_path.iterdir()] == ["qdq.onnx"]


def test_a_file_without_shapes_and_names_is_repaired(tmp_path: Path) -> None:
    path = pooled_graph(*POOLED["Q behind"], tmp_path)
    model = onnx.load(path)
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.ClearField("name")
    onnx.save(model, path)
    assert errors(path) == {("padded-pool", "pool")}, "named after its output"
    assert worst_db(run_onnx(path, [IMAGE])[0], engine_outputs(built(path))) > RIGHT_DB


def test_int8_codes_without_a_zero_point_are_repaired(tmp_path: Path) -> None:
    """From opset 21 on `output_dtype` says what a missing zero point no longer can."""
    path = signed_graph(SIGNED["Concat of Q"][1], tmp_path)
    model = onnx.load(path)
    model.opset_import[0].version = 21
    for name in ("left", "right"):
        quantize, dequantize = find(model, f"{name}/Q"), find(model, f"{name}/DQ")
        quantize.attribute.append(onnx.helper.make_attribute("output_dtype", onnx.TensorProto.INT8))
        for node in (quantize, dequantize):
            node.input.pop()
    onnx.save(model, path)
    reference = run_onnx(path, [IMAGE])[0]
    repaired = repair(ir.load(path))
    onnx.checker.check_model(ir.to_proto(repaired), full_check=True)
    assert worst_db(reference, run_onnx(repaired, [IMAGE])[0]) == 999.0
    assert lint(repaired, "openvino") == ()


def test_weights_in_a_file_of_their_own_survive_the_rewrite(tmp_path: Path) -> None:
    path = signed_graph(SIGNED["Concat, Q"][1], tmp_path)
    ir.save(ir.load(path), path, external_data="weights.data", size_threshold_bytes=0)
    assert (tmp_path / "weights.data").exists()
    assert worst_db(run_onnx(path, [IMAGE])[0], engine_outputs(built(path))) > RIGHT_DB


def test_a_file_that_is_right_is_built_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = assembled(SIGNED["Concat, Q"][1], "uint8", tmp_path, signed=False)
    monkeypatch.setattr(
        "edge_scnet.runtimes.openvino._repaired", lambda source: pytest.fail("nothing to repair")
    )
    built(path)
