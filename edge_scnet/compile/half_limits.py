"""What FP16 cannot hold: large and tiny tensors, and scales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.operators import passes_scale
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, constant, input_of, integer
from edge_scnet.quantizer.statistics import TensorStats

if TYPE_CHECKING:
    import onnx_ir as ir

# The largest finite FP16, and the smallest with all its digits.
HALF_MAX, _HALF_NORMAL = 65_504.0, 2.0**-14
# A scale this far off costs less than a hundredth of a code over the whole range; below FP16's
# normal numbers it grows.
_SCALE_ERROR = 2.0**-9
_QDQ = (QUANTIZE, DEQUANTIZE)
# Layers whose second input is their weights.
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def kept_nodes(graph: ir.Graph, tensors: Mapping[str, TensorStats]) -> dict[str, str]:
    """Returns the nodes whose tensors, weights or scales FP16 cannot hold, with the reasons.

    Args:
        tensors: statistics of the graph's activations, by name.
    """
    kept: dict[str, str] = {}
    for node in graph:
        if node.op_type not in _QDQ:
            reasons = [*_of_tensors(node, tensors), *_of_constants(node)]
            if reasons:
                kept[str(node.name)] = reasons[-1]
    return kept


def _of_tensors(node: ir.Node, tensors: Mapping[str, TensorStats]) -> Iterator[str]:
    for value in (*node.inputs, *node.outputs):
        name = "" if value is None else _known_source(value, tensors)
        stats = tensors.get(name)
        if stats is not None:
            yield from _beyond(name, max(-stats.minimum, stats.maximum))


def _of_constants(node: ir.Node) -> Iterator[str]:
    for value in node.inputs:
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == DEQUANTIZE and not fits(producer):
            yield f"a scale of {producer.name} is too small for FP16"
    if node.op_type in _WEIGHTED and (weights := constant(input_of(node, 1))) is not None:
        yield from _beyond(f"weights of {node.name}", float(np.abs(weights).max(initial=0)))


def _beyond(name: str, largest: float) -> Iterator[str]:
    """Yields why FP16 cannot hold a tensor of which this is the largest magnitude, if so."""
    if largest > HALF_MAX:
        yield f"{name} reaches {largest:,.0f}, FP16 ends at {HALF_MAX:,.0f}"
    elif 0 < largest < _HALF_NORMAL:
        yield f"{name} reaches {largest:.1g}, FP16 loses digits below {_HALF_NORMAL:.1g}"


def _known_source(value: ir.Value, tensors: Mapping[str, TensorStats]) -> str:
    """Returns the name of the float tensor with statistics whose values a tensor has.

    It lies behind Q/DQ and operators that only pick or move values. "" where there is none.
    """
    source: ir.Value | None = value
    while source is not None and str(source.name) not in tensors:
        producer = source.producer()
        if producer is None or not (producer.op_type in _QDQ or passes_scale(producer)):
            return ""
        source = producer.inputs[0]
    return "" if source is None else str(source.name)


def scales_of(node: ir.Node) -> np.ndarray:
    """Returns the constant scales of a Q or DQ."""
    scale = node.inputs[1]
    assert scale is not None and scale.const_value is not None
    return scale.const_value.numpy()


def fits(node: ir.Node) -> bool:
    """Whether FP16 holds the scales of a Q or DQ closely enough."""
    scales, silent = scales_of(node), _silent_channels(node)
    return bool((silent | (np.abs(rounded(node) / scales - 1) <= _SCALE_ERROR)).all())


def rounded(node: ir.Node) -> np.ndarray:
    """Returns the scales as FP16 holds them, in float32.

    It is 1 for channels whose codes are all 0: there any scale will do, but 0.
    """
    with np.errstate(over="ignore"):
        rounded = scales_of(node).astype(np.float16).astype(np.float32)
    return np.where(_silent_channels(node), np.float32(1), rounded)


def _silent_channels(node: ir.Node) -> np.ndarray:
    """Returns which channels of constant codes are all 0, in the shape of the scales."""
    scales, codes = scales_of(node), node.inputs[0]
    if codes is None or codes.const_value is None or codes.const_value.dtype.is_floating_point():
        return np.zeros(scales.shape, bool)
    array = codes.const_value.numpy()
    axis = integer(node, "axis", 1)
    rows = (
        np.moveaxis(array, axis, 0).reshape(scales.size, -1)
        if scales.ndim
        else array.reshape(1, -1)
    )
    return ~rows.any(axis=1).reshape(scales.shape)
