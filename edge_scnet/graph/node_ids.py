"""Which node of a graph a runtime means: by its name, or by that of a tensor that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx_ir as ir


def node_ids(model: ir.Model) -> dict[str, str]:
    """Returns of each name of a node or of what it gives the node's own name.

    OpenVINO names the node that gives an output of the graph after that output. Nodes without a
    name are left out: viewers give them names of their own.
    """
    named = [node for node in model.graph if node.name]
    tensors = {str(value.name): str(node.name) for node in named for value in node.outputs}
    # a tensor may be called like another node
    return {**tensors, **{str(node.name): str(node.name) for node in named}}
