"""A Q/DQ graph without the rounding of its activations: what it is held against alone.

Where a quantized file is all there is, its float model is not known. The graph that is closest to
it has the weights and biases that the codes stand for, as floats, and in the place of each Q/DQ
pair a Clip to the range of its codes: quantizers leave out a ReLU in front of codes that begin at
zero. What separates the two graphs is the rounding of activations, and nothing else: what the
rounding of the weights and the ranges cost against the float model stays unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.pairs import (
    DEQUANTIZE,
    QUANTIZE,
    codes_type,
    constant,
    input_of,
    integer,
    is_qoperator,
    is_weight,
    label,
    pairs,
    quantizer,
)

if TYPE_CHECKING:
    import onnx_ir as ir

_RANGES = {
    "INT4": (-8, 7),
    "UINT4": (0, 15),
    "INT8": (-128, 127),
    "UINT8": (0, 255),
    "INT16": (-(2**15), 2**15 - 1),
    "UINT16": (0, 2**16 - 1),
    "INT32": (-(2**31), 2**31 - 1),
}
# A Clip in front of them is one behind them: they only pick or move values.
_MOVING = frozenset(
    {"Flatten", "Identity", "MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)


def dequantized(model: ir.Model, *, what: str) -> ir.Model:
    """Returns a copy of a Q/DQ graph in float32.

    Args:
        what: the graph in the words of an error.

    Raises:
        ArtifactError: codes that go elsewhere than to a DequantizeLinear, or come from elsewhere
            than a QuantizeLinear; codes of another type, or scales by channel of activations; an
            operator that computes with codes itself.
    """
    left = next((node for node in model.graph if is_qoperator(node)), None)
    if left is not None:
        raise ArtifactError(
            f"{what}: {label(left)} is {left.op_type}, which has no form as Q/DQ pairs",
            hint="quantize with quant_format=QuantFormat.QDQ in ONNX Runtime, or pass the float"
            " model",
        )
    result = model.clone()
    for node in tuple(pairs(result)):
        if node.op_type == DEQUANTIZE:
            _replace(result.graph, node, _floats_of(result.graph, node, what))
    for node in tuple(pairs(result)):
        output = node.outputs[0]
        if output.uses() or output.is_graph_output():
            raise _unpaired(node, what)
        result.graph.remove(node, safe=True)
    drop_unused(result.graph)
    return result


def _floats_of(graph: ir.Graph, dequantize: ir.Node, what: str) -> ir.Value:
    """What a DQ gives, without rounding at run time."""
    if is_weight(dequantize):
        return add_initializer(
            graph, f"{dequantize.outputs[0].name}_float", _weights(dequantize, what)
        )
    source = quantizer(dequantize)
    if source is None:
        raise _unpaired(dequantize, what)
    value, bounds = source.inputs[0], _bounds(dequantize, what)
    assert value is not None
    if _is_within(value, bounds):
        return value
    ir_module = require("onnx_ir", extra="quantize")
    name = str(dequantize.outputs[0].name)
    low, high = (
        add_initializer(graph, f"{name}_{end}", np.float32(bound))
        for end, bound in zip(("low", "high"), bounds, strict=True)
    )
    clip: ir.Node = ir_module.node("Clip", [value, low, high], name=f"{label(dequantize)}_clip")
    clip.outputs[0].name = f"{name}_clipped"
    clip.outputs[0].shape, clip.outputs[0].type = value.shape, value.type
    graph.insert_before(dequantize, clip)
    return clip.outputs[0]


def _weights(dequantize: ir.Node, what: str) -> np.ndarray:
    """The values that the codes of a weight or a bias stand for."""
    source = quantizer(dequantize)
    data, axis = constant(input_of(source or dequantize, 0)), integer(dequantize, "axis", 1)
    scale, zero = constant(input_of(dequantize, 1)), constant(input_of(dequantize, 2))
    if data is None or scale is None:
        raise _unpaired(dequantize, what)
    low, high = _codes_range(dequantize, what)
    offset = np.zeros_like(scale, np.float64) if zero is None else zero.astype(np.float64)
    shape = [1] * data.ndim
    if scale.size > 1:
        if not -data.ndim <= axis < data.ndim or data.shape[axis] != scale.size:
            raise ArtifactError(
                f"{what}: {label(dequantize)} has {scale.size} scales along axis {axis} of"
                f" {data.shape}",
                hint="one for each output channel",
            )
        shape[axis] = scale.size
    steps, offset = scale.astype(np.float64).reshape(shape), offset.reshape(shape)
    codes = data.astype(np.float64)
    if source is not None:
        codes = np.clip(np.rint(codes / steps) + offset, low, high)
    values: np.ndarray = ((codes - offset) * steps).astype(np.float32)
    return values.reshape(data.shape)


def _bounds(dequantize: ir.Node, what: str) -> tuple[float, float]:
    """The lowest and the highest value that an activation's codes stand for."""
    scale, zero = constant(input_of(dequantize, 1)), constant(input_of(dequantize, 2))
    if scale is None or scale.size != 1:
        raise ArtifactError(
            f"{what}: {label(dequantize)} has no one scale that is stored",
            hint="one scale for an activation, fixed at calibration",
        )
    offset = 0 if zero is None or not zero.size else int(zero.reshape(-1)[0])
    low, high = _codes_range(dequantize, what)
    step = float(scale.reshape(-1)[0])
    return (low - offset) * step, (high - offset) * step


def _codes_range(dequantize: ir.Node, what: str) -> tuple[int, int]:
    kind = codes_type(dequantize)
    if kind not in _RANGES:
        raise ArtifactError(
            f"{what}: {label(dequantize)} has codes of type {kind}; known are {', '.join(_RANGES)}"
        )
    return _RANGES[kind]


def _is_within(value: ir.Value, bounds: tuple[float, float]) -> bool:
    """Whether a tensor is clipped to these bounds already."""
    producer = value.producer()
    while producer is not None and producer.op_type in _MOVING and producer.inputs[0] is not None:
        producer = producer.inputs[0].producer()
    if producer is None or producer.op_type != "Clip":
        return False
    ends = [constant(input_of(producer, index)) for index in (1, 2)]
    if ends[0] is None or ends[1] is None:
        return False
    return bool(ends[0] >= np.float32(bounds[0]) and ends[1] <= np.float32(bounds[1]))


def _replace(graph: ir.Graph, dequantize: ir.Node, value: ir.Value) -> None:
    """Lets the readers of a DQ read a float tensor, and takes the DQ away."""
    ir_module = require("onnx_ir", extra="quantize")
    output = dequantize.outputs[0]
    if output.is_graph_output():
        # the graph's outputs keep their names
        identity: ir.Node = ir_module.node("Identity", [value], name=f"{label(dequantize)}_output")
        graph.insert_before(dequantize, identity)
        value = identity.outputs[0]
        name, value.shape, value.type = output.name, output.shape, output.type
        output.name = f"{name}_dequantized"
        value.name = name
    ir_module.convenience.replace_all_uses_with(output, value, replace_graph_outputs=True)
    graph.remove(dequantize, safe=True)


def _unpaired(node: ir.Node, what: str) -> ArtifactError:
    kind = "codes of" if node.op_type == QUANTIZE else "what is read by"
    return ArtifactError(
        f"{what}: {kind} {label(node)} are no pair of QuantizeLinear and DequantizeLinear",
        hint="edge-scnet inspect FILE names all such places; or pass the float model",
    )
