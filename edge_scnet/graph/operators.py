"""What quantization needs to know of ONNX operators.

Which pass a scale on, which pad with zeros, where weights lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx_ir as ir

COMPUTE_OPS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LINEAR_OPS = ("Gemm", "MatMul")
# Slice, Split and Gather pick values too, but what they leave out may have another range.
# SpaceToDepth and Tile do as well, but behind a Q before them OpenVINO runs a convolution in float.
_PASSING = frozenset(
    {
        "DepthToSpace",
        "Expand",
        "Flatten",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "ReduceMax",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


def passes_scale(node: ir.Node) -> bool:
    """Tells whether a node only picks or moves values.

    Its output then has its input's scale, and no Q is needed behind it.
    """
    if node.op_type == "Resize":
        mode = node.attributes.get("mode")
        return mode is None or mode.as_string() == "nearest"  # nearest is ONNX's default
    if node.op_type == "Pad":
        return not _pads_with_a_number(node)
    return node.op_type in _PASSING


def _pads_with_a_number(node: ir.Node) -> bool:
    """Whether a Pad fills with something that is neither 0 nor one of the tensor's own values."""
    mode = node.attributes.get("mode")
    if mode is not None and mode.as_string() != "constant":
        return False
    value = node.inputs[2] if len(node.inputs) > 2 else None
    return value is not None and (
        value.const_value is None or bool(value.const_value.numpy().any())
    )


def pads_average_with_zeros(node: ir.Node) -> bool:
    """Tells whether a node is an AveragePool that counts its padding."""
    if node.op_type != "AveragePool":
        return False
    pads, include = node.attributes.get("pads"), node.attributes.get("count_include_pad")
    automatic = node.attributes.get("auto_pad")
    padded = (pads is not None and any(pads.as_ints())) or (
        automatic is not None and automatic.as_string().startswith("SAME")
    )
    return padded and include is not None and bool(include.as_int())


def producer_type(value: ir.Value | None) -> str | None:
    """Returns the operator that gives a tensor; None for inputs and constants of the graph."""
    producer = value.producer() if value is not None else None
    return None if producer is None else producer.op_type


def channels_of(value: ir.Value) -> int:
    """Returns the size of the second axis, N x C or N x C x ...; 0 where it is not known."""
    shape = value.shape
    return (
        shape[1]
        if shape is not None and len(shape) in (2, 3, 4, 5) and isinstance(shape[1], int)
        else 0
    )


def rank_of(value: ir.Value | None) -> int:
    """Returns the number of axes of a tensor; 0 where it is not known."""
    return 0 if value is None or value.shape is None else len(value.shape)


def integer_of(node: ir.Node, name: str, default: int) -> int:
    """Returns an attribute that is one integer."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def weight_of(node: ir.Node) -> np.ndarray | None:
    """Returns the constant weights of a layer that reads a computed tensor, else None.

    A layer is a convolution, a transposed one, or a product with a stored matrix on the right.
    """
    if node.op_type not in COMPUTE_OPS or len(node.inputs) < 2:
        return None
    data, weight = node.inputs[:2]
    if data is None or weight is None or data.is_initializer() or producer_type(data) == "Constant":
        return None
    if not weight.is_initializer() or weight.const_value is None:
        return None
    if node.op_type in LINEAR_OPS and (
        len(weight.const_value.shape) != 2 or integer_of(node, "transA", 0)
    ):
        return None
    return weight.const_value.numpy()


def output_axis(node: ir.Node) -> int:
    """Returns the axis of the output channels in a layer's weights.

    It is 0 for a Conv and for a Gemm with transB, and 1 for other layers.
    """
    return 0 if node.op_type == "Conv" or integer_of(node, "transB", 0) else 1


def weight_columns(node: ir.Node, per_input: np.ndarray) -> np.ndarray:
    """Returns a value per input channel, shaped to broadcast over the node's weights.

    In a grouped convolution each group of output channels has the values of its own inputs.
    """
    if node.op_type in LINEAR_OPS:
        return per_input[None, :] if output_axis(node) == 0 else per_input[:, None]
    ones, outputs, columns = _kernel_shape(node)
    if node.op_type == "ConvTranspose":
        return per_input.reshape(-1, 1, *ones)
    groups = per_input.size // columns
    spread = np.repeat(per_input.reshape(groups, columns), outputs // groups, axis=0)
    return spread.reshape(outputs, columns, *ones)


def weight_rows(node: ir.Node, per_output: np.ndarray) -> np.ndarray:
    """Returns a value per output channel, shaped to broadcast over the node's weights.

    In a grouped transposed convolution each group of input channels has the values of its own
    outputs.
    """
    if node.op_type in LINEAR_OPS:
        return per_output[:, None] if output_axis(node) == 0 else per_output[None, :]
    ones, inputs, columns = _kernel_shape(node)
    if node.op_type == "Conv":
        return per_output.reshape(-1, 1, *ones)
    groups = per_output.size // columns
    spread = np.repeat(per_output.reshape(groups, columns), inputs // groups, axis=0)
    return spread.reshape(inputs, columns, *ones)


def _kernel_shape(node: ir.Node) -> tuple[list[int], int, int]:
    """A one for each axis of a convolution's kernel, and the sizes of the two axes before it."""
    weight = node.inputs[1]
    assert weight is not None and weight.const_value is not None
    first, second, *kernel = weight.const_value.shape.numpy()
    return [1] * len(kernel), first, second


def is_spatial_mean(node: ir.Node) -> bool:
    """Tells whether a node is a ReduceMean over all axes of N x C x ... but the first two.

    The axes are an input; a tensor of which no shape is known is taken for N x C x H x W.
    """
    if node.op_type != "ReduceMean" or len(node.inputs) < 2 or node.inputs[1] is None:
        return False
    axes, rank = node.inputs[1].const_value, rank_of(node.inputs[0]) or 4
    return (
        axes is not None
        and rank > 2
        and sorted(int(axis) % rank for axis in axes.numpy()) == list(range(2, rank))
    )


def result_of(node: ir.Node) -> ir.Value:
    """The tensor that a layer's kernel gives in ONNX Runtime.

    It is behind the Relu or Clip that alone reads the layer: that is folded into the range of the
    codes.
    """
    output = node.outputs[0]
    uses = tuple(output.uses())
    if len(uses) == 1 and not output.is_graph_output() and uses[0].node.op_type in ("Relu", "Clip"):
        return uses[0].node.outputs[0]
    return output
