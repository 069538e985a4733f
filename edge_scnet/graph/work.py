"""Multiply-adds of a graph's layers, from the shapes of its tensors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge_scnet.core.optional import require
from edge_scnet.graph.model import batch_of
from edge_scnet.graph.operators import COMPUTE_OPS, integer_of

if TYPE_CHECKING:
    import onnx_ir as ir

RECURRENT_OPS = ("LSTM", "GRU", "RNN")


def multiply_adds(model: ir.Model) -> dict[str, int]:
    """Returns the multiply-adds of every layer for one image, by node.

    Counted are convolutions, transposed ones, products of matrices, stored or computed, and
    recurrent layers; those of graphs inside a node count as the node's. Open sizes count as 1.
    """
    kinds = (*COMPUTE_OPS, *RECURRENT_OPS)
    if any(not _has_shapes(node) for node in model.graph if node.op_type in kinds):
        model = _with_shapes(model)
    batch = batch_of(model) or 1
    work = {
        str(node.name): round(_work(node) / batch) for node in model.graph if node.op_type in kinds
    }
    inside = {str(node.name): round(_work_inside(node) / batch) for node in model.graph}
    return work | {name: count for name, count in inside.items() if count}


def _work_inside(node: ir.Node) -> int:
    """The multiply-adds of the graphs inside a node, with the rounds of a Loop that are known.

    Of several branches the largest counts.
    """
    graphs = [
        attribute.as_graph()
        for attribute in node.attributes.values()
        if attribute.type.name == "GRAPH"
    ]
    if not graphs:
        return 0
    kinds = (*COMPUTE_OPS, *RECURRENT_OPS)
    work = max(
        sum(_work(inner) if inner.op_type in kinds else _work_inside(inner) for inner in graph)
        for graph in graphs
    )
    rounds = node.inputs[0].const_value if node.op_type == "Loop" and node.inputs[0] else None
    return work * (1 if rounds is None else int(rounds.numpy()))


def _has_shapes(node: ir.Node) -> bool:
    values = [*node.inputs[:2], node.outputs[0]]
    return all(value is not None and value.shape is not None for value in values)


def _with_shapes(model: ir.Model) -> ir.Model:
    """A copy in which shapes are inferred, as far as they can be."""
    common = require("onnx_ir.passes.common", extra="quantize")
    inferred: ir.Model = common.ShapeInferencePass()(model.clone()).model
    return inferred


def _work(node: ir.Node) -> int:
    """The multiply-adds of a node for the whole batch."""
    first, second = _sizes(node.inputs[0]), _sizes(node.inputs[1])
    output = _sizes(node.outputs[0])
    if node.op_type == "Conv":
        return math.prod(output) * math.prod(second[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(second[1:])
    if node.op_type in RECURRENT_OPS:
        # every step multiplies each of the weights, of the input and of the state, once an image
        return math.prod(first[:2]) * (math.prod(second) + math.prod(_sizes(node.inputs[2])))
    depth = first[:1] if integer_of(node, "transA", 0) else first[-1:]
    return math.prod(output) * math.prod(depth)


def _sizes(value: ir.Value | None) -> tuple[int, ...]:
    if value is None or value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else 1 for size in value.shape)
