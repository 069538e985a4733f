"""Cuts a part out of a Q/DQ graph, with the Q/DQ that belong to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_scnet.graph.model import extract
from edge_scnet.graph.names import block_to_cut, module_of
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, dequantizers

if TYPE_CHECKING:
    import onnx_ir as ir

_QDQ = (QUANTIZE, DEQUANTIZE)


def members_of(qdq: ir.Model) -> dict[str, list[ir.Node]]:
    """Returns the graph's nodes by block ("layer1.0", "conv1"), without Q and DQ."""
    members: dict[str, list[ir.Node]] = {}
    for node in qdq.graph:
        if node.op_type not in _QDQ:
            members.setdefault(block_to_cut(module_of(node)), []).append(node)
    return members


def cut_out(qdq: ir.Model, nodes: Sequence[ir.Node]) -> tuple[ir.Model, list[str], list[str]]:
    """Returns a part of the graph as a model of its own.

    Args:
        nodes: the part, without Q and DQ; those at its edge go with it: the part takes the float
            tensors in front of its inputs' Q, and gives what lies behind its outputs' DQ.

    Returns:
        The model, and the names of its inputs and of its outputs.
    """
    inside = {id(node) for node in nodes}
    inputs: dict[str, None] = {}
    outputs: dict[str, None] = {}
    for node in nodes:
        for value in node.inputs:
            source = _before_quantization(value)
            if source is None or source.is_initializer():
                continue
            producer = source.producer()
            if producer is None or id(producer) not in inside:
                inputs[str(source.name)] = None
        for value in node.outputs:
            if value.is_graph_output() or any(id(n) not in inside for n in _real_consumers(value)):
                outputs[str(_after_quantization(value).name)] = None
    return extract(qdq, list(inputs), list(outputs)), list(inputs), list(outputs)


def _before_quantization(value: ir.Value | None) -> ir.Value | None:
    """The float tensor in front of the Q/DQ that give this one."""
    while (
        value is not None
        and (producer := value.producer()) is not None
        and producer.op_type in _QDQ
    ):
        value = producer.inputs[0]
    return value


def _after_quantization(value: ir.Value) -> ir.Value:
    """The tensor behind the Q/DQ of this one; itself where it has none."""
    for use in value.uses():
        if use.node.op_type == QUANTIZE:
            return dequantizers(use.node)[0].outputs[0]
    return value


def _real_consumers(value: ir.Value) -> list[ir.Node]:
    """The nodes that read a tensor, past Q and DQ."""
    consumers = []
    for use in value.uses():
        if use.node.op_type in _QDQ:
            consumers += _real_consumers(use.node.outputs[0])
        else:
            consumers.append(use.node)
    return consumers
