"""Multiply-adds, counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.graph.work import multiply_adds

# operator, inputs' shapes, attributes, multiply-adds of one image
CASES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any], int]] = {
    "conv": ("Conv", [(2, 4, 8, 8), (6, 4, 3, 3)], {"pads": [1] * 4}, 64 * 6 * 4 * 9),
    "grouped": ("Conv", [(2, 4, 8, 8), (6, 2, 3, 3)], {"group": 2}, 36 * 6 * 2 * 9),
    "conv 1-d": ("Conv", [(2, 4, 8), (6, 4, 3)], {"strides": [2]}, 3 * 6 * 4 * 3),
    "conv 3-d": ("Conv", [(2, 4, 5, 5, 5), (6, 4, 3, 3, 3)], {}, 27 * 6 * 4 * 27),
    "transposed": (
        "ConvTranspose",
        [(2, 4, 8, 8), (4, 6, 2, 2)],
        {"strides": [2, 2]},
        64 * 4 * 6 * 4,
    ),
    "gemm": ("Gemm", [(2, 16), (10, 16)], {"transB": 1}, 160),
    "gemm, transposed input": ("Gemm", [(16, 2), (16, 10)], {"transA": 1}, 320),
    "matmul of rank 3": ("MatMul", [(2, 7, 16), (16, 10)], {}, 7 * 160),
    "attention": ("MatMul", [(2, 4, 7, 16), (2, 4, 16, 7)], {}, 4 * 7 * 16 * 7),
    "lstm": (
        "LSTM",
        [(5, 2, 16), (1, 4 * 8, 16), (1, 4 * 8, 8)],
        {"hidden_size": 8},
        5 * (4 * 8 * 16 + 4 * 8 * 8),
    ),
    "gru, both ways": (
        "GRU",
        [(5, 2, 16), (2, 3 * 8, 16), (2, 3 * 8, 8)],
        {"hidden_size": 8, "direction": "bidirectional"},
        5 * 2 * (3 * 8 * 16 + 3 * 8 * 8),
    ),
}


def graph_with(case: str, *, inferred: bool) -> ir.Model:
    operator, shapes, attributes, _ = CASES[case]
    data, *weights = shapes
    computed = case == "attention"
    names = ["x", *(f"w{i}" for i in range(len(weights)))]
    inputs = [helper.make_tensor_value_info("x", 1, data)]
    if computed:
        inputs.append(helper.make_tensor_value_info("w0", 1, weights[0]))
    # the first input has the batch of the graph as its first axis
    first = helper.make_tensor_value_info("image", 1, (1 if case.startswith("gemm, t") else 2, 3))
    if operator in ("LSTM", "GRU") or case.startswith("gemm, t"):
        inputs.insert(0, first)
    made = helper.make_graph(
        [helper.make_node(operator, names, ["y"], name="layer", **attributes)],
        "g",
        inputs,
        [helper.make_tensor_value_info("y", 1, None)],
        []
        if computed
        else [
            numpy_helper.from_array(np.zeros(shape, np.float32), f"w{i}")
            for i, shape in enumerate(weights)
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(
        onnx.shape_inference.infer_shapes(model) if inferred else model
    )


@pytest.mark.parametrize("inferred", [True, False], ids=["shapes", "no shapes"])
@pytest.mark.parametrize("case", CASES)
def test_multiply_adds_of_one_image(case: str, inferred: bool) -> None:
    assert multiply_adds(graph_with(case, inferred=inferred)) == {"layer": CASES[case][3]}
