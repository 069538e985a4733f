"""What quantization needs to know of ONNX operators.

Which pass a scale on, which pad with zeros, where weights lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

COMPUTE_OPS = ("Conv", "Gemm")
_PASSING = frozenset(
    {"MaxPool", "Reshape", "Flatten", "Identity", "Transpose", "Squeeze", "Unsqueeze"}
)


def passes_scale(node: ir.Node) -> bool:
    """Tells whether a node only picks or moves values.

    Its output then has its input's scale, and no Q is needed behind it.
    """
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() == "nearest"  # nearest is ONNX's default
    return node.op_type in _PASSING


def pads_average_with_zeros(node: ir.Node) -> bool:
    """Tells whether a node is an AveragePool that counts its padding."""
    if node.op_type != "AveragePool":
        return False
    pads, include = node.attributes.get("pads"), node.attributes.get("count_include_pad")
    return (
        pads is not None and any(pads.as_ints()) and include is not None and bool(include.as_int())
    )


def producer_type(value: ir.Value | None) -> str | None:
    """Returns the operator that gives a tensor; None for inputs and constants of the graph."""
    producer = value.producer() if value is not None else None
    return None if producer is None else producer.op_type


def channels_of(value: ir.Value) -> int:
    """Returns the channels of an N x C or N x C x H x W tensor; 0 where they are not known."""
    shape = value.shape
    return (
        shape[1] if shape is not None and len(shape) in (2, 4) and isinstance(shape[1], int) else 0
    )


def weight_of(node: ir.Node) -> np.ndarray | None:
    """Returns the constant weights of a Conv or Gemm that reads a computed tensor, else None."""
    if node.op_type not in COMPUTE_OPS or len(node.inputs) < 2:
        return None
    data, weight = node.inputs[:2]
    if data is None or weight is None or data.is_initializer() or producer_type(data) == "Constant":
        return None
    return (
        weight.const_value.numpy()
        if weight.is_initializer() and weight.const_value is not None
        else None
    )


def output_axis(node: ir.Node) -> int:
    """Returns the axis of the output channels in a layer's weights.

    It is 0 for a Conv and for a Gemm with transB, and 1 for other layers.
    """
    transposed = node.attributes.get("transB")
    return 0 if node.op_type == "Conv" or (transposed is not None and transposed.as_int()) else 1


def weight_columns(node: ir.Node, per_input: np.ndarray) -> np.ndarray:
    """Returns a value per input channel, shaped to broadcast over the node's weights.

    In a grouped convolution each group of output channels has the values of its own inputs.
    """
    if node.op_type == "Gemm":
        return per_input[None, :] if output_axis(node) == 0 else per_input[:, None]
    weight = node.inputs[1]
    assert weight is not None and weight.shape is not None
    outputs, columns = weight.shape[0], weight.shape[1]
    assert isinstance(outputs, int) and isinstance(columns, int)
    groups = per_input.size // columns
    spread = np.repeat(per_input.reshape(groups, columns), outputs // groups, axis=0)
    return spread.reshape(outputs, columns, *[1] * (len(weight.shape) - 2))


def is_spatial_mean(node: ir.Node) -> bool:
    """Tells whether a node is a ReduceMean over height and width of N x C x H x W."""
    if node.op_type != "ReduceMean" or len(node.inputs) < 2 or node.inputs[1] is None:
        return False
    axes = node.inputs[1].const_value
    return axes is not None and sorted(int(axis) % 4 for axis in axes.numpy()) == [2, 3]
