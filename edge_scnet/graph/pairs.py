"""Reads the QuantizeLinear and DequantizeLinear (Q and DQ) of any ONNX graph.

The graph may be made by others, so nothing is taken for granted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
# Operators of quantization at run time.
DYNAMIC = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }
)
_QOPERATORS = DYNAMIC | {"QGemm"}
_MOVING = ("Transpose", "Reshape", "Identity", "Unsqueeze")


def label(node: ir.Node) -> str:
    """Returns the node's name, or its first output's: ONNX does not ask for the former."""
    return node.name or str(node.outputs[0].name)


def input_of(node: ir.Node, index: int) -> ir.Value | None:
    """Returns an input of a node; None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def integer(node: ir.Node, name: str, default: int) -> int:
    """Returns an attribute that is one integer."""
    attribute = node.attributes.get(name)
    return default if attribute is None else attribute.as_int()


def constant(value: ir.Value | None) -> np.ndarray | None:
    """Returns the array of an initializer or of a Constant node; None where it is computed."""
    if value is None:
        return None
    tensor = require("onnx_ir", extra="quantize").convenience.get_const_tensor(value)
    return None if tensor is None else np.asarray(tensor.numpy())


def is_constant(value: ir.Value | None) -> bool:
    """Tells whether `constant` has an array, without reading it."""
    if value is None:
        return False
    producer = value.producer()
    return value.const_value is not None or (
        producer is not None and producer.op_type == "Constant"
    )


def pairs(model: ir.Model) -> Iterator[ir.Node]:
    """Yields every QuantizeLinear and DequantizeLinear, in the graph's order."""
    return (node for node in model.graph if node.op_type in (QUANTIZE, DEQUANTIZE))


def is_qoperator(node: ir.Node) -> bool:
    """Tells whether the node computes with codes itself (QLinearConv and its like)."""
    return node.op_type.startswith("QLinear") or node.op_type in _QOPERATORS


def is_quantized(model: ir.Model) -> bool:
    """Tells whether the graph holds any quantization: to quantize it again would be wrong."""
    return any(node.op_type in (QUANTIZE, DEQUANTIZE) or is_qoperator(node) for node in model.graph)


def quantizer(dequantize: ir.Node) -> ir.Node | None:
    """Returns the Q directly in front of a DQ; None where there is none."""
    data = input_of(dequantize, 0)
    producer = data.producer() if data is not None else None
    return producer if producer is not None and producer.op_type == QUANTIZE else None


def dequantizers(quantize: ir.Node) -> list[ir.Node]:
    """Returns the DQ directly behind a Q."""
    return [use.node for use in quantize.outputs[0].uses() if use.node.op_type == DEQUANTIZE]


def is_weight(node: ir.Node) -> bool:
    """Tells whether a Q or DQ works on a constant: float -> Q -> DQ, or codes -> DQ."""
    return is_constant(_data_of(node))


def weight_shape(node: ir.Node) -> tuple[int, ...]:
    """Returns the shape of the constant behind a Q or DQ; () where there is none.

    The outputs of nodes often have no shape in the file, the array always has.
    """
    data = constant(_data_of(node))
    return () if data is None else data.shape


def _data_of(node: ir.Node) -> ir.Value | None:
    """The tensor in front of a Q, or of a DQ and its Q."""
    source = quantizer(node) if node.op_type == DEQUANTIZE else None
    return input_of(source if source is not None else node, 0)


def codes_type(node: ir.Node) -> str:
    """Returns the type of the codes of a Q or DQ: "INT8", "UINT8", "INT32", ...

    ONNX takes it from the zero point; for a Q without one it is UINT8.
    """
    if (kind := _type_of(input_of(node, 2))) is not None:
        return kind
    source = quantizer(node) if node.op_type == DEQUANTIZE else None
    if source is not None:
        return codes_type(source)
    if node.op_type == DEQUANTIZE:
        return _type_of(input_of(node, 0)) or "UNKNOWN"
    declared = node.attributes.get("output_dtype")
    if declared is not None and declared.as_int():
        return str(require("onnx_ir", extra="quantize").DataType(declared.as_int()).name)
    return "UINT8"


def _type_of(value: ir.Value | None) -> str | None:
    if value is None:
        return None
    # a Constant node's output has a type only where the file stores one
    tensor = require("onnx_ir", extra="quantize").convenience.get_const_tensor(value)
    kind = value.dtype if tensor is None else tensor.dtype
    return None if kind is None else kind.name


def is_per_channel(node: ir.Node) -> bool:
    """Tells whether a Q or DQ has more than one scale."""
    scale = constant(input_of(node, 1))
    return scale is not None and scale.size > 1


def codes_of(dequantize: ir.Node) -> np.ndarray | None:
    """Returns the codes of a constant weight as int64, with the zero point taken off.

    They are the stored ones, or those that its Q makes. With a scale for each channel the channels
    are the last axis.

    Returns:
        None where the weight is computed, or its scales are not above 0 or do not fit its shape.
    """
    source, axis = quantizer(dequantize), integer(dequantize, "axis", 1)
    data, scale = constant(input_of(source or dequantize, 0)), constant(input_of(dequantize, 1))
    zero = constant(input_of(dequantize, 2))
    if data is None or scale is None or not data.size or not (scale > 0).all():
        return None
    if scale.size > 1:
        if not -data.ndim <= axis < data.ndim or data.shape[axis] != scale.size:
            return None
        data = np.moveaxis(data, axis, -1)
    if source is not None:
        rounded: np.ndarray = np.rint(data.astype(np.float64) / scale.astype(np.float64)).astype(
            np.int64
        )
        return rounded
    offset = zero.astype(np.int64) if zero is not None and zero.shape == scale.shape else 0
    stored: np.ndarray = data.astype(np.int64) - offset
    return stored


def largest_code(dequantize: ir.Node) -> int:
    """Returns the largest absolute code of a weight; 0 where `codes_of` has none."""
    codes = codes_of(dequantize)
    return 0 if codes is None else int(np.abs(codes).max())


def behind_moves(value: ir.Value) -> ir.Value:
    """Returns the weights before they were turned or reshaped."""
    while (producer := value.producer()) is not None and producer.op_type in _MOVING:
        if producer.inputs[0] is None:
            break
        value = producer.inputs[0]
    return value


def has_codes(value: ir.Value | None, keeps: frozenset[str]) -> bool:
    """Tells whether a tensor comes from a DequantizeLinear of an activation.

    Args:
        keeps: operators that may lie between; they only pick or move values.
    """
    return bool(types_of_codes(value, keeps))


def types_of_codes(value: ir.Value | None, keeps: frozenset[str]) -> frozenset[str]:
    """Returns the types of the codes that a tensor comes from, as `codes_type` has them.

    They are none where it, or one of the tensors that a Concat joins, comes from no
    DequantizeLinear of an activation.

    Args:
        keeps: operators that may lie between; they only pick or move values.
    """
    producer = value.producer() if value is not None else None
    if producer is None:
        return frozenset()
    if producer.op_type == DEQUANTIZE:
        return frozenset() if is_weight(producer) else frozenset({codes_type(producer)})
    if producer.op_type not in keeps:
        return frozenset()
    inputs = producer.inputs if producer.op_type == "Concat" else producer.inputs[:1]
    joined = [types_of_codes(source, keeps) for source in inputs]
    return frozenset().union(*joined) if all(joined) else frozenset()


def reader_of(dequantize: ir.Node) -> ir.Node:
    """Returns the node that reads weights or a bias, past what only turns or reshapes them.

    It is the DequantizeLinear itself where nothing reads it.
    """
    value = dequantize.outputs[0]
    while len(uses := tuple(value.uses())) == 1 and uses[0].node.op_type in _MOVING:
        value = uses[0].node.outputs[0]
    return uses[0].node if uses else dequantize
