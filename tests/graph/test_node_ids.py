"""Nodes by their names and by the tensors that they give."""

from __future__ import annotations

import onnx_ir as ir

from edge_scnet.graph.node_ids import node_ids


def test_a_node_is_found_by_its_name_and_by_what_it_gives() -> None:
    x = ir.Input("x")
    named = ir.node("Relu", [x], name="relu", outputs=[ir.Value(name="logits")])
    clash = ir.node("Neg", [x], name="other", outputs=[ir.Value(name="relu")])
    nameless = ir.node("Abs", [x], outputs=[ir.Value(name="y")])
    nodes = [named, clash, nameless]
    graph = ir.Graph([x], [node.outputs[0] for node in nodes], nodes=nodes)
    nameless.name = None  # the graph gives names to those without
    assert node_ids(ir.Model(graph, ir_version=10)) == {
        "logits": "relu",
        "relu": "relu",
        "other": "other",
    }
