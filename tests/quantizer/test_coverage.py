"""Which layers are in INT8, and what is said of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.quantizer import coverage
from edge_scnet.quantizer.sites import quantized_nodes
from tests.helpers.float_graphs import SCHEME, TENSORRT


def one_layer(
    operator: str, shape: tuple[int, ...], weights: tuple[int, ...], **attributes: Any
) -> ir.Model:
    """A graph whose first input is an image, and a layer of the second."""
    made = helper.make_graph(
        [helper.make_node(operator, ["x", "w"], ["y"], name="layer", **attributes)],
        "g",
        [
            helper.make_tensor_value_info("image", 1, (1, 3)),
            helper.make_tensor_value_info("x", 1, shape),
        ],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(np.ones(weights, np.float32), "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(model))


def reason_of(model: ir.Model, scheme: Any = SCHEME) -> str | None:
    return coverage.float_reason(model.graph[0], model, scheme)


def test_rows_are_no_head() -> None:
    """A row for each time step or anchor: the layer is most of such a network's work."""
    assert reason_of(one_layer("Gemm", (1, 64), (64, 10))) == coverage.SMALL_HEAD
    assert reason_of(one_layer("MatMul", (1, 64), (64, 10))) == coverage.SMALL_HEAD
    assert reason_of(one_layer("Gemm", (768, 64), (64, 10))) is None
    assert reason_of(one_layer("MatMul", (1, 25, 64), (64, 10))) is None
    assert reason_of(one_layer("Gemm", (1, 1024), (1024, 1000))) is None


def test_what_stays_in_float_and_why() -> None:
    transposed = one_layer("ConvTranspose", (1, 4, 8, 8), (4, 6, 2, 2), strides=[2, 2])
    assert reason_of(transposed) is None
    assert reason_of(transposed, TENSORRT) == coverage.TRANSPOSED
    grouped = one_layer("ConvTranspose", (1, 4, 8, 8), (4, 1, 2, 2), strides=[2, 2], group=4)
    assert reason_of(grouped) == coverage.GROUPED
    cube = (1, 16, 5, 5, 5)
    for weights, group, reason in (
        ((16, 4, 3, 3, 3), 4, coverage.GROUPED_3D),
        ((16, 8, 3, 3, 3), 2, None),
        ((16, 1, 3, 3, 3), 16, None),
        ((16, 16, 3, 3, 3), 1, None),
    ):
        assert reason_of(one_layer("Conv", cube, weights, group=group)) == reason
    assert reason_of(one_layer("MatMul", (2, 3, 4), (2, 4, 5))) == coverage.STACKED
    assert reason_of(one_layer("Gemm", (4, 7), (4, 5), transA=1)) == coverage.STACKED
    rows = one_layer("MatMul", (1, 25, 64), (64, 10))
    assert reason_of(rows, replace(SCHEME, keep_float=("lay*",))) == coverage.KEPT
    assert quantized_nodes(rows, SCHEME, ["layer"]) == []


def test_a_module_s_name_keeps_its_product_in_float() -> None:
    rows = one_layer("MatMul", (1, 25, 64), (64, 10))
    node = rows.graph[0]
    node.name = "mlp.fc1/MatMul#2"
    node.metadata_props["edge_scnet.module"] = "mlp.fc1"
    for pattern in ("mlp.fc1", "mlp.fc1/MatMul", "mlp.fc1/MatMul#2"):
        assert reason_of(rows, replace(SCHEME, keep_float=(pattern,))) == coverage.KEPT
    assert reason_of(rows, replace(SCHEME, keep_float=("mlp.fc2", "mlp.fc1/MatMul#3"))) is None


def attention(recurrent: bool) -> ir.Model:
    """A product of two computed tensors, a stored one, and a recurrent layer."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["q"], name="query"),
        helper.make_node("Transpose", ["q"], ["t"], name="turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "t"], ["scores"], name="scores"),
    ]
    if recurrent:
        nodes.append(helper.make_node("RNN", ["x", "rw", "rr"], ["h"], name="rnn", hidden_size=4))
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, (1, 5, 8))],
        [helper.make_tensor_value_info(nodes[-1].output[0], 1, None)],
        [
            numpy_helper.from_array(np.ones(shape, np.float32), name)
            for name, shape in (("w", (8, 6)), ("rw", (1, 4, 8)), ("rr", (1, 4, 4)))
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(model))


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_share_of_the_work_and_the_greatest_of_the_rest_first(recurrent: bool) -> None:
    model = attention(recurrent)
    nodes = [str(node.name) for node in quantized_nodes(model, SCHEME)]
    found = coverage.coverage_of(model, nodes, SCHEME)
    assert nodes == ["query"] and found.int8_multiply_adds == 5 * 8 * 6
    rnn = 5 * 4 * (8 + 4) if recurrent else 0
    assert found.multiply_adds == 5 * 8 * 6 + 5 * 6 * 5 + rnn
    expected = [("rnn", "RNN", coverage.RECURRENT, rnn)] if recurrent else []
    expected.append(("scores", "MatMul", coverage.COMPUTED, 150))
    assert [
        (layer.node, layer.operator, layer.reason, layer.multiply_adds)
        for layer in found.float_layers
    ] == expected


def test_the_work_of_a_loop_is_counted_and_stays_in_float() -> None:
    ones = ", ".join(["1.0"] * 64)
    text = """<ir_version: 10, opset_import: ["": 20]>
        g (float[1, 8] x) => (float[1, 8] y)
        <int64 times = {3}, bool on = {1}, float[8, 8] w = {ONES}>
        {
            m = MatMul (x, w)
            y = Loop (times, on, m) <
                body = step (int64 i, bool go, float[1, 8] b) => (bool more, float[1, 8] n) {
                    more = Identity (go)
                    n = MatMul (b, w)
                }
            >
        }"""
    proto = onnx.parser.parse_model(text.replace("ONES", ones))
    for number, node in enumerate(proto.graph.node):
        node.name = f"layer{number}"
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    found = coverage.coverage_of(model, ["layer0"], SCHEME)
    assert (found.multiply_adds, found.int8_multiply_adds) == (4 * 64, 64)
    (layer,) = found.float_layers
    assert (layer.operator, layer.reason) == ("Loop", coverage.INSIDE)
