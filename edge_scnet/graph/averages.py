"""Averages of codes, which a runtime may round to codes once more.

OpenVINO keeps a tensor in 8 bits behind an average pool where it takes what follows for a quantized
layer: the averages are rounded to the scale of what they are averages of (2026.4.1, Pooling u8 with
a Reorder to u8 behind it). ONNX's graph does not round there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.graph.model import free_name
from edge_scnet.graph.operators import is_spatial_mean, passes_scale
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, constant, input_of, is_weight, label

if TYPE_CHECKING:
    import onnx_ir as ir

_POOLS = ("AveragePool", "GlobalAveragePool")


def with_rounded_averages(model: ir.Model) -> ir.Model | None:
    """Returns a copy of a Q/DQ graph in which every average of codes is rounded to codes.

    Returns:
        None where there is no such average, or each is quantized as it is.
    """
    ir_module = require("onnx_ir", extra="quantize")
    result = model.clone()
    found = [
        (node, source)
        for node in result.graph
        if _averages(node)
        and not _is_quantized(node)
        and (source := _dequantizer(node)) is not None
    ]
    for node, source in found:
        output = node.outputs[0]
        uses, parameters = tuple(output.uses()), list(source.inputs[1:])
        quantize = ir_module.node(QUANTIZE, [output, *parameters], name=f"{label(node)}/Q")
        rounded = ir_module.node(
            DEQUANTIZE, [quantize.outputs[0], *parameters], name=f"{label(node)}/DQ"
        )
        quantize.outputs[0].name = free_name(result.graph, f"{output.name}_q")
        result.graph.insert_after(node, [quantize, rounded])
        floats = rounded.outputs[0]
        for use in uses:
            use.node.replace_input_with(use.idx, floats)
        floats.shape, floats.type = output.shape, output.type
        name = str(output.name)
        output.name, floats.name = free_name(result.graph, f"{name}_exact"), name
        for index, value in enumerate(result.graph.outputs):
            if value is output:
                result.graph.outputs[index] = floats
    return result if found else None


def _averages(node: ir.Node) -> bool:
    return node.op_type in _POOLS or is_spatial_mean(node)


def _is_quantized(node: ir.Node) -> bool:
    """Whether an average goes into Q alone, which round it anyway."""
    output = node.outputs[0]
    uses = tuple(output.uses())
    return not output.is_graph_output() and all(use.node.op_type == QUANTIZE for use in uses)


def _dequantizer(node: ir.Node) -> ir.Node | None:
    """The DQ of an activation that a node's input comes from, with one scale; None: none."""
    value = input_of(node, 0)
    while value is not None and (producer := value.producer()) is not None:
        if producer.op_type == DEQUANTIZE:
            scale = constant(input_of(producer, 1))
            one_scale = scale is not None and scale.size == 1
            return producer if one_scale and not is_weight(producer) else None
        if not (passes_scale(producer) or _averages(producer) or producer.op_type == "Relu"):
            return None
        value = input_of(producer, 0)
    return None
