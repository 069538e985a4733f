"""Writes Q/DQ graphs: a float graph with QuantizeLinear and DequantizeLinear put in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.quantize.correct import QuantizedLayer
from edge_scnet.quantize.sites import ActivationSite, Placement

if TYPE_CHECKING:
    import onnx_ir as ir


def write_qdq(model: ir.Model, placement: Placement, layers: Sequence[QuantizedLayer]) -> ir.Model:
    """Returns a copy with the placement's Q/DQ pairs.

    Weights are int8 initializers behind a DequantizeLinear. Biases stay float: OpenVINO folds them,
    and TensorRT refuses INT32 biases with a DequantizeLinear. A layer without one gets one where
    there is a mean error to correct.
    """
    ir_module = require("onnx_ir", extra="quantize")
    result = model.clone()
    graph = result.graph
    values = {v.name: v for v in graph.inputs} | {v.name: v for node in graph for v in node.outputs}
    nodes = {node.name: node for node in graph}
    for site in placement.activations:
        _write_pair(graph, values[site.tensor], site)
    stored: dict[tuple[str, int], list[ir.Value]] = {}
    for layer in layers:
        weight, node = layer.site, nodes[layer.site.node]
        # layers may share a weight: one set of codes, a DequantizeLinear for each
        if (key := (weight.tensor, weight.axis)) not in stored:
            stored[key] = _weight_constants(graph, layer)
        dequantize = ir_module.node(
            "DequantizeLinear",
            stored[key],
            attributes={"axis": weight.axis},
            name=f"{weight.node}/weight/DQ",
        )
        dequantize.outputs[0].name = f"{weight.node}/weight_dq"
        graph.insert_before(node, dequantize)
        node.replace_input_with(1, dequantize.outputs[0])
        if layer.bias_shift is not None:
            _shift_bias(graph, node, layer.bias_shift)
    drop_unused(graph)
    return result


def _write_pair(graph: ir.Graph, value: ir.Value, site: ActivationSite) -> None:
    ir_module = require("onnx_ir", extra="quantize")
    tensor, params = site.tensor, site.params
    scale = add_initializer(graph, f"{tensor}_scale", np.float32(params.scale))
    zero = add_initializer(graph, f"{tensor}_zero_point", np.array(params.zero_point, params.dtype))
    quantize = ir_module.node("QuantizeLinear", [value, scale, zero], name=f"{tensor}/Q")
    dequantize = ir_module.node(
        "DequantizeLinear", [quantize.outputs[0], scale, zero], name=f"{tensor}/DQ"
    )
    quantize.outputs[0].name = f"{tensor}_q"
    dequantize.outputs[0].name = f"{tensor}_dq"
    for use in tuple(value.uses()):
        if use.node.name not in site.float_consumers:
            use.node.replace_input_with(use.idx, dequantize.outputs[0])
    quantize.replace_input_with(0, value)
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], [quantize, dequantize])
    else:
        graph.insert_after(producer, [quantize, dequantize])


def _weight_constants(graph: ir.Graph, layer: QuantizedLayer) -> list[ir.Value]:
    """int8 codes, scales and zero points of one weight tensor, as initializers."""
    site = layer.site
    name = f"{site.tensor}_axis{site.axis}" if site.axis else site.tensor
    return [
        add_initializer(graph, f"{name}_int8", layer.codes),
        add_initializer(graph, f"{name}_scale", layer.scales),
        add_initializer(graph, f"{name}_zero_point", np.zeros(layer.scales.shape, np.int8)),
    ]


def _shift_bias(graph: ir.Graph, node: ir.Node, shift: np.ndarray) -> None:
    """Adds to a layer's bias, or gives it one; a bias that is computed stays."""
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None:
        if len(node.inputs) == 2:
            node.resize_inputs(3)
        node.replace_input_with(2, add_initializer(graph, f"{node.name}/bias_corrected", shift))
    elif bias.const_value is not None:
        corrected = (bias.const_value.numpy() + shift).astype(np.float32)
        node.replace_input_with(2, add_initializer(graph, f"{node.name}/bias_corrected", corrected))
