"""A part of a graph with its own Q/DQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edge_scnet.graph.model import extract
from edge_scnet.graph.names import block_to_cut, module_of

if TYPE_CHECKING:
    import onnx_ir as ir

_QDQ = ("QuantizeLinear", "DequantizeLinear")


def members_of(qdq: ir.Model) -> dict[str, list[ir.Node]]:
    """The graph's nodes, Q/DQ left out, by block ("layer1.0", "conv1")."""
    members: dict[str, list[ir.Node]] = {}
    for node in qdq.graph:
        if node.op_type not in _QDQ:
            members.setdefault(block_to_cut(module_of(node)), []).append(node)
    return members


def cut_out(qdq: ir.Model, nodes: Sequence[ir.Node]) -> tuple[ir.Model, list[str], list[str]]:
    """A part of the graph with its own Q/DQ as a model, and the names of its inputs and outputs."""
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
    while (
        value is not None
        and (producer := value.producer()) is not None
        and producer.op_type in ("QuantizeLinear", "DequantizeLinear")
    ):
        value = producer.inputs[0]
    return value


def _after_quantization(value: ir.Value) -> ir.Value:
    for use in value.uses():
        if use.node.op_type == _QDQ[0]:
            return next(
                u.node for u in use.node.outputs[0].uses() if u.node.op_type == _QDQ[1]
            ).outputs[0]
    return value


def _real_consumers(value: ir.Value) -> list[ir.Node]:
    found = []
    for use in value.uses():
        if use.node.op_type in _QDQ:
            found += _real_consumers(use.node.outputs[0])
        else:
            found.append(use.node)
    return found
