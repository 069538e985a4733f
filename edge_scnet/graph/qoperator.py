"""Writes operators that compute with codes (QLinearConv and its like) as Q/DQ pairs.

    QLinearConv(x, ..., w, ..., y, ..., bias)  ->  DQ(x), DQ(w), DQ(bias) -> Conv -> Q

Both forms mean the same arithmetic of real numbers, rounded once. Operators between them that only
pick or move codes (MaxPool, Reshape) get the pairs of their codes on both sides. What has no such
form is left as it is, for `graph.lint` to name: scales computed at run time (ConvInteger), and
operators that round in their own way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.model import drop_unused
from edge_scnet.graph.pair_writer import Meaning, PairWriter
from edge_scnet.graph.pairs import QUANTIZE, constant, input_of, integer, is_constant, is_qoperator

if TYPE_CHECKING:
    import onnx_ir as ir

# They give codes that they were given, and the scale of these stays theirs.
_MOVING = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "Identity",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}
_UNARY = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
# The inputs that hold data; the others are scales and zero points. Of QLinearConcat, which has two
# of these first, every third.
_DATA = {
    "QLinearConv": (0, 3, 8),
    "QLinearMatMul": (0, 3),
    "QGemm": (0, 3, 6),
    "QLinearWhere": (0, 1, 4),
    **dict.fromkeys(_BINARY, (0, 3)),
    **dict.fromkeys(_UNARY, (0,)),
}
# Softmax was over all axes from the named one on.
_ONE_AXIS_OPSET = 13


def to_pairs(model: ir.Model) -> int:
    """Rewrites the graph in place.

    Returns:
        How many operators were rewritten.
    """
    if not any(map(is_qoperator, model.graph)):
        return 0
    writer, rewritten = PairWriter(model.graph), 0
    handlers: dict[str, _Handler] = {
        "QLinearConv": _convolution,
        "QLinearMatMul": _product,
        "QGemm": _gemm,
        "QLinearConcat": _concat,
        "QLinearWhere": _where,
        **dict.fromkeys(_BINARY, _binary),
        **dict.fromkeys(_UNARY, _unary),
    }
    for node in tuple(model.graph):  # producers of codes come before their readers
        handler = handlers.get(node.op_type)
        if handler is not None and _has_stored_scales(node):
            rewritten += handler(writer, node)
        elif node.op_type == QUANTIZE and (meaning := _meaning(node, 1)) is not None:
            writer.meanings[node.outputs[0]] = meaning
        elif node.op_type in _MOVING:
            _move(writer, node)
        elif node.op_type == "ArgMax" and (data := input_of(node, 0)) in writer.meanings:
            # the largest code is the largest value
            assert data is not None
            node.replace_input_with(0, writer.floats_of(data, writer.meanings[data], node))
    drop_unused(model.graph)
    return rewritten


_Handler = Callable[[PairWriter, "ir.Node"], bool]


def _has_stored_scales(node: ir.Node) -> bool:
    """Tells whether all scales and zero points are constants."""
    data = _DATA.get(node.op_type, range(2, len(node.inputs), 3))
    return all(
        value is None or index in data or is_constant(value)
        for index, value in enumerate(node.inputs)
    )


def _meaning(node: ir.Node, index: int) -> Meaning | None:
    """The scale at an input of a node, and the zero point behind it."""
    scale = input_of(node, index)
    return None if scale is None else Meaning(scale=scale, zero=input_of(node, index + 1))


def _floats(writer: PairWriter, node: ir.Node, index: int, *, axis: int = 0) -> ir.Value:
    """The float tensor of the codes at an input, whose scale and zero point follow it."""
    codes, meaning = input_of(node, index), _meaning(node, index + 1)
    assert codes is not None and meaning is not None
    return writer.floats_of(codes, meaning, node, axis=axis)


def _bias(writer: PairWriter, node: ir.Node, index: int, factor: float = 1.0) -> list[ir.Value]:
    """The bias at an input, as floats; its scale is the product of input 1's and input 4's."""
    codes = input_of(node, index)
    if codes is None:
        return []
    scales = [constant(input_of(node, 1)), constant(input_of(node, 4)), np.float32(factor)]
    return [writer.bias(node, codes, [np.asarray(scale) for scale in scales])]


def _convolution(writer: PairWriter, node: ir.Node) -> bool:
    if integer(node, "channels_last", 0):
        return False
    inputs = [_floats(writer, node, 0), _floats(writer, node, 3), *_bias(writer, node, 8)]
    writer.replace(node, "Conv", inputs, _meaning(node, 6))
    return True


def _product(writer: PairWriter, node: ir.Node) -> bool:
    axis = max(_rank(node.inputs[3]) - 1, 0)
    inputs = [_floats(writer, node, 0), _floats(writer, node, 3, axis=axis)]
    writer.replace(node, "MatMul", inputs, _meaning(node, 6))
    return True


def _gemm(writer: PairWriter, node: ir.Node) -> bool:
    alpha = node.attributes.get("alpha")
    axis = 0 if integer(node, "transB", 0) else 1
    inputs = [
        _floats(writer, node, 0),
        _floats(writer, node, 3, axis=axis),
        *_bias(writer, node, 6, 1.0 if alpha is None else alpha.as_float()),
    ]
    # without a scale of the output it gives floats
    writer.replace(node, "Gemm", inputs, _meaning(node, 7))
    return True


def _binary(writer: PairWriter, node: ir.Node) -> bool:
    inputs = [_floats(writer, node, 0), _floats(writer, node, 3)]
    writer.replace(node, _BINARY[node.op_type], inputs, _meaning(node, 6))
    return True


def _unary(writer: PairWriter, node: ir.Node) -> bool:
    if integer(node, "channels_last", 0):
        return False  # N x H x W x C, which the operators of ONNX do not take
    if node.op_type == "QLinearSoftmax" and integer(node, "opset", 0) < _ONE_AXIS_OPSET:
        axis, rank = integer(node, "axis", 1), _rank(node.inputs[0])
        if axis != -1 and axis != rank - 1:
            return False
    writer.replace(
        node,
        _UNARY[node.op_type],
        [_floats(writer, node, 0)],
        _meaning(node, 3),
        dropped=("channels_last", "opset"),
    )
    return True


def _where(writer: PairWriter, node: ir.Node) -> bool:
    inputs = [node.inputs[0], _floats(writer, node, 1), _floats(writer, node, 4)]
    writer.replace(node, "Where", inputs, _meaning(node, 7))
    return True


def _concat(writer: PairWriter, node: ir.Node) -> bool:
    inputs = [_floats(writer, node, index) for index in range(2, len(node.inputs), 3)]
    writer.replace(node, "Concat", inputs, _meaning(node, 0))
    return True


def _move(writer: PairWriter, node: ir.Node) -> None:
    """Puts pairs round an operator that moves codes."""
    moved = tuple(node.inputs if node.op_type == "Concat" else node.inputs[:1])
    meanings = [writer.meanings.get(value) for value in moved if value is not None]
    first = meanings[0] if meanings else None
    if first is None or any(other is None or not first.equals(other) for other in meanings):
        return
    mode = node.attributes.get("mode")
    if len(node.outputs) > 1 and node.op_type != "Split":
        return  # MaxPool's indices
    if node.op_type == "Resize" and mode is not None and mode.as_string() != "nearest":
        return  # between codes it rounds in its own way
    for index, value in enumerate(moved):
        if value is not None:
            node.replace_input_with(index, writer.floats_of(value, writer.meanings[value], node))
    for output in node.outputs:
        writer.quantize_output(node, output, first)


def _rank(value: ir.Value | None) -> int:
    """The number of axes of a tensor; 0 where it is not known."""
    array = constant(value)
    if array is not None:
        return array.ndim
    return 0 if value is None or value.shape is None else len(value.shape)
