"""Graphs of one layer of each kind that is quantized."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A layer and what it reads."""

    operator: str
    # with the batch axis, where there is one
    shape: tuple[int, ...]
    weights: tuple[int, ...]
    attributes: dict[str, Any] = field(default_factory=dict)
    # of the stored bias; None: there is none
    bias: tuple[int, ...] | None = None
    # of the output channels, in the weights and in the output
    axis: int = 0
    output_axis: int = 1
    # whether an Add with the bias is behind the layer
    add: bool = False


KINDS = {
    "conv 1-d": Kind(
        operator="Conv", shape=(1, 4, 64), weights=(6, 4, 3), attributes={"pads": [1, 1]}, bias=(6,)
    ),
    "conv 1-d depthwise": Kind(
        operator="Conv", shape=(1, 4, 64), weights=(4, 1, 5), attributes={"group": 4}
    ),
    "conv 2-d grouped": Kind(
        operator="Conv",
        shape=(1, 4, 9, 9),
        weights=(6, 2, 3, 3),
        attributes={"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]},
    ),
    "conv 3-d": Kind(
        operator="Conv",
        shape=(1, 4, 5, 6, 5),
        weights=(6, 4, 3, 3, 3),
        attributes={"pads": [1] * 6},
    ),
    "transposed": Kind(
        operator="ConvTranspose",
        shape=(1, 4, 8, 8),
        weights=(4, 6, 3, 3),
        attributes={"strides": [2, 2], "pads": [1] * 4},
        bias=(6,),
        axis=1,
    ),
    "transposed 1-d without bias": Kind(
        operator="ConvTranspose",
        shape=(1, 4, 32),
        weights=(4, 6, 2),
        attributes={"strides": [2]},
        axis=1,
    ),
    "transposed with an add": Kind(
        operator="ConvTranspose",
        shape=(1, 4, 8, 8),
        weights=(4, 6, 2, 2),
        attributes={"strides": [2, 2]},
        bias=(1, 6, 1, 1),
        axis=1,
        add=True,
    ),
    "gemm over rows": Kind(
        operator="Gemm",
        shape=(1, 48, 8),
        weights=(8, 6),
        attributes={"alpha": 2.0, "beta": 0.5},
        bias=(1, 6),
        axis=1,
    ),
    "gemm transposed, without bias": Kind(
        operator="Gemm", shape=(1, 48, 8), weights=(6, 8), attributes={"transB": 1}
    ),
    "matmul of rank 3": Kind(
        operator="MatMul", shape=(1, 48, 8), weights=(8, 6), axis=1, output_axis=-1
    ),
    "matmul of rank 4 with an add": Kind(
        operator="MatMul",
        shape=(1, 4, 12, 8),
        weights=(8, 6),
        bias=(6,),
        axis=1,
        output_axis=-1,
        add=True,
    ),
}
LAYER = "layer"


def kind_graph(kind: Kind, weights: np.ndarray | None = None) -> ir.Model:
    """Input, the layer, output; what a Gemm reads are the rows of the input."""
    rng = np.random.default_rng(0)
    if weights is None:
        weights = rng.standard_normal(kind.weights).astype(np.float32)
    constants = [numpy_helper.from_array(weights, "w")]
    inputs = ["x", "w"]
    nodes = []
    if kind.operator == "Gemm":
        constants.append(numpy_helper.from_array(np.array([-1, kind.shape[-1]]), "rows"))
        nodes.append(helper.make_node("Reshape", ["x", "rows"], ["r"], name="reshape"))
        inputs[0] = "r"
    if kind.bias is not None:
        bias = rng.standard_normal(kind.bias).astype(np.float32)
        constants.append(numpy_helper.from_array(bias, "b"))
        inputs += [] if kind.add else ["b"]
    last = "sum" if kind.add else "y"
    nodes.append(helper.make_node(kind.operator, inputs, ["y"], name=LAYER, **kind.attributes))
    if kind.add:
        nodes.append(helper.make_node("Add", ["b", "y"], ["sum"], name="sum"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, kind.shape)],
        [helper.make_tensor_value_info(last, 1, None)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made, strict_mode=True))


def kind_images(kind: Kind, count: int = 6) -> np.ndarray:
    """Samples whose channels go together, as behind a ReLU."""
    rng = np.random.default_rng(3)
    channel = -1 if kind.operator in ("Gemm", "MatMul") else 1
    shape = (count * kind.shape[0], *kind.shape[1:])
    common = rng.standard_normal(
        [1 if a == channel % len(shape) else s for a, s in enumerate(shape)]
    )
    return np.maximum(common + 0.3 * rng.standard_normal(shape) + 0.5, 0).astype(np.float32)
