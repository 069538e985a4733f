"""The outputs and the names of a user's file, in the form that every later stage can use.

Names and order of outputs stay. A runtime wants a node behind each output, and each output and
node under a name of its own; files do not always have that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_scnet.core.optional import require
from edge_scnet.export.nodes import all_nodes, free_among
from edge_scnet.graph.model import free_name

if TYPE_CHECKING:
    import onnx_ir as ir


def name_apart(proto: Any) -> bool:
    """Gives nodes of one name names of their own, in place; tells whether there were any.

    ONNX allows nodes of one name, and ONNX Runtime refuses them.
    """
    taken: set[str] = set()
    changed = False
    for node in all_nodes(proto.graph.node):
        if node.name in taken:
            node.name = free_among(taken, node.name)
            changed = True
        if node.name:
            taken.add(node.name)
    return changed


def part_outputs(proto: Any) -> tuple[str, ...]:
    """Gives every output a tensor of its own, in place: outputs that are inputs, or stand twice.

    Returns:
        What was renamed, in words.
    """
    helper, graph = require("onnx", extra="cpu").helper, proto.graph
    taken = {name for node in all_nodes(graph.node) for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output)}
    seen = {value.name for value in graph.input}
    notes = []
    for value in graph.output:
        if value.name in seen:
            name = free_among(taken, value.name)
            taken.add(name)
            graph.node.append(helper.make_node("Identity", [value.name], [name], name=name))
            notes.append(f"another output or input is called {value.name}: here this one is {name}")
            value.name = name
        seen.add(value.name)
    return tuple(notes)


def put_nodes_behind(graph: ir.Graph) -> None:
    """Puts an Identity behind every output that is stored or an input, in place."""
    ir_module = require("onnx_ir", extra="cpu")
    for index, value in enumerate(graph.outputs):
        if value.producer() is not None:
            continue
        name = str(value.name)
        if value.is_initializer():
            del graph.initializers[name]
            value.name = free_name(graph, f"{name}:constant")
            graph.register_initializer(value)
        identity = ir_module.node("Identity", [value], name=name)
        output = identity.outputs[0]
        output.name, output.shape, output.type = name, value.shape, value.type
        graph.append(identity)
        graph.outputs[index] = output
