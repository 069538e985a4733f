"""Writes Q/DQ graphs: a float graph with QuantizeLinear and DequantizeLinear put in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, drop_unused, free_name, names_in
from edge_scnet.graph.operators import LINEAR_OPS, rank_of
from edge_scnet.quantizer.correct import QuantizedLayer
from edge_scnet.quantizer.sites import ActivationSite, Placement

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
    nodes, taken = {node.name: node for node in graph}, names_in(graph)
    for site in placement.activations:
        _write_pair(graph, values[site.tensor], site, taken)
    stored: dict[tuple[str, int], list[ir.Value]] = {}
    for layer in layers:
        weight, node = layer.site, nodes[layer.site.node]
        # layers may share a weight: one set of codes, a DequantizeLinear for each
        if (key := (weight.tensor, weight.axis)) not in stored:
            stored[key] = _weight_constants(graph, layer, taken)
        dequantize = ir_module.node(
            "DequantizeLinear",
            stored[key],
            attributes={"axis": weight.axis},
            name=f"{weight.node}/weight/DQ",
        )
        dequantize.outputs[0].name = free_name(graph, f"{weight.node}/weight_dq", taken=taken)
        graph.insert_before(node, dequantize)
        node.replace_input_with(1, dequantize.outputs[0])
        if layer.bias_shift is not None:
            _shift_bias(graph, node, layer.bias_shift, taken)
    drop_unused(graph)
    return result


def _write_pair(
    graph: ir.Graph, value: ir.Value, site: ActivationSite, taken: set[str | None]
) -> None:
    ir_module = require("onnx_ir", extra="quantize")
    tensor, params = site.tensor, site.params
    add = partial(add_initializer, graph, taken=taken)
    scale = add(f"{tensor}_scale", np.float32(params.scale))
    zero = add(f"{tensor}_zero_point", np.array(params.zero_point, params.dtype))
    quantize = ir_module.node("QuantizeLinear", [value, scale, zero], name=f"{tensor}/Q")
    dequantize = ir_module.node(
        "DequantizeLinear", [quantize.outputs[0], scale, zero], name=f"{tensor}/DQ"
    )
    quantize.outputs[0].name = free_name(graph, f"{tensor}_q", taken=taken)
    dequantize.outputs[0].name = free_name(graph, f"{tensor}_dq", taken=taken)
    for use in tuple(value.uses()):
        if use.node.name not in site.float_consumers:
            use.node.replace_input_with(use.idx, dequantize.outputs[0])
    quantize.replace_input_with(0, value)
    producer = value.producer()
    if producer is None:
        graph.insert_before(graph[0], [quantize, dequantize])
    else:
        graph.insert_after(producer, [quantize, dequantize])


def _weight_constants(
    graph: ir.Graph, layer: QuantizedLayer, taken: set[str | None]
) -> list[ir.Value]:
    """int8 codes, scales and zero points of one weight tensor, as initializers."""
    site = layer.site
    name = f"{site.tensor}_axis{site.axis}" if site.axis else site.tensor
    add = partial(add_initializer, graph, taken=taken)
    return [
        add(f"{name}_int8", layer.codes),
        add(f"{name}_scale", layer.scales),
        add(f"{name}_zero_point", np.zeros(layer.scales.shape, np.int8)),
    ]


def corrected_name(node: ir.Node) -> str:
    """Returns the name of a layer's corrected bias, or of the Add that has it."""
    return f"{node.name}/bias_corrected"


def _shift_bias(graph: ir.Graph, node: ir.Node, shift: np.ndarray, taken: set[str | None]) -> None:
    """Adds to what a layer adds to its products, or has it add that.

    A stored bias is changed; so is the constant that an Add behind a MatMul has. Else the layer
    gets a bias, or where it can have none, or a computed one, an Add.
    """
    name = corrected_name(node)
    shift, scale = _as_bias(node, shift)
    taker, index = node, 2
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if node.op_type in ("MatMul", "ConvTranspose") and bias is None:
        # OpenVINO loses the name of a transposed convolution whose bias is not the only one
        if (found := _constant_of_add(node)) is not None:
            taker, index = found
            bias, shift = taker.inputs[index], _along_channels(node, shift)
        elif node.op_type == "MatMul":
            _add_behind(graph, node, shift, taken)
            return
    if scale == 0.0 or (bias is not None and bias.const_value is None):
        _add_behind(graph, node, shift, taken)
        return
    shift = (shift / np.float32(scale)).astype(np.float32)
    if bias is None:
        taker.resize_inputs(max(len(taker.inputs), index + 1))
        taker.replace_input_with(index, add_initializer(graph, name, shift, taken=taken))
        return
    assert bias.const_value is not None
    corrected = (bias.const_value.numpy() + shift).astype(np.float32)
    taker.replace_input_with(index, add_initializer(graph, name, corrected, taken=taken))


def _as_bias(node: ir.Node, shift: np.ndarray) -> tuple[np.ndarray, float]:
    """The shift of a layer's output, and the factor that the layer gives its bias."""
    if node.op_type != "Gemm":
        return shift, 1.0
    alpha, beta = node.attributes.get("alpha"), node.attributes.get("beta")
    factor = np.float32(1.0 if alpha is None else alpha.as_float())
    return shift * factor, 1.0 if beta is None else beta.as_float()


def _along_channels(node: ir.Node, shift: np.ndarray) -> np.ndarray:
    """The shift, shaped to broadcast over the layer's output."""
    axes = 0 if node.op_type in LINEAR_OPS else max(rank_of(node.outputs[0]) - 2, 0)
    return shift.reshape(-1, *[1] * axes)


def _constant_of_add(node: ir.Node) -> tuple[ir.Node, int] | None:
    """The Add with a constant that alone reads a layer, and the constant's index; None: none."""
    uses = tuple(node.outputs[0].uses())
    if len(uses) != 1 or uses[0].node.op_type != "Add" or node.outputs[0].is_graph_output():
        return None
    add, index = uses[0].node, 1 - uses[0].idx
    other = add.inputs[index]
    return None if other is None or other.const_value is None else (add, index)


def _add_behind(graph: ir.Graph, node: ir.Node, shift: np.ndarray, taken: set[str | None]) -> None:
    """Puts an Add behind a layer, one value an output channel; its result has the layer's name."""
    ir_module = require("onnx_ir", extra="quantize")
    name, product = corrected_name(node), node.outputs[0]
    constant = add_initializer(graph, f"{name}/value", _along_channels(node, shift), taken=taken)
    add = ir_module.node("Add", [product, constant], name=name)
    result = add.outputs[0]
    result.shape, result.type = product.shape, product.type
    for use in tuple(product.uses()):
        if use.node is not add:
            use.node.replace_input_with(use.idx, result)
    for index, output in enumerate(graph.outputs):
        if output is product:
            graph.outputs[index] = result
    product.name, result.name = f"{product.name}/product", product.name
    taken.add(product.name)
    graph.insert_after(node, add)
