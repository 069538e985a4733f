"""Refuses outputs whose size depends on the data: nothing can be compared with them.

The engine and the float graph give other numbers of boxes for the same picture, and no accuracy can
be told. What is in front of the node that counts has a size, and can be built.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.errors import ArtifactError
from edge_scnet.export.fold import sizes_of
from edge_scnet.export.nodes import all_nodes
from edge_scnet.export.static import COUNTING_OPS
from edge_scnet.graph.names import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

_OPERATORS = {
    **COUNTING_OPS,
    "NonMaxSuppression": "it keeps another number of boxes for every picture",
}
# More are no help in a message.
_MOST_NAMES = 8


def may_count(proto: Any) -> bool:
    """Whether a file has an operator whose result's size depends on the data."""
    return any(node.op_type in _OPERATORS for node in all_nodes(proto.graph.node))


def check_open_outputs(model: ir.Model, path: Path) -> None:
    """Raises ArtifactError for the first output whose size depends on the data.

    Args:
        model: the file's graph, static and folded, under the file's own names.
    """
    counted = _counted(model.graph)
    for output in model.graph.outputs:
        origin = counted.get(id(output))
        if sizes_of(output) is not None or origin is None:
            continue
        inputs = [str(value.name) for value in model.graph.inputs]
        raise ArtifactError(
            f"{path}: the size of output {str(output.name)!r} depends on the data:"
            f" {origin.op_type} at {module_of(origin)!r}: {_OPERATORS[origin.op_type]}, so that no"
            " accuracy can be told",
            hint=(
                "build the part in front of it, and run the rest behind the engine:"
                f" onnx.utils.extract_model({str(path)!r}, 'part.onnx', {inputs},"
                f" {_cut(model.graph, counted)})"
            ),
        )


def _counted(graph: ir.Graph) -> dict[int, ir.Node]:
    """The counting node that each tensor comes from, by the tensor's identity."""
    origins: dict[int, ir.Node] = {}
    for node in graph:
        known = [origins[id(value)] for value in node.inputs if id(value) in origins]
        origin = known[0] if known else node if node.op_type in _OPERATORS else None
        if origin is not None:
            origins |= {id(value): origin for value in node.outputs}
    return origins


def _cut(graph: ir.Graph, counted: dict[int, ir.Node]) -> list[str]:
    """The tensors that the part in front of all counting nodes gives."""
    outputs = [value for value in graph.outputs if id(value) not in counted]
    for node in graph:
        if node.outputs and id(node.outputs[0]) in counted:
            outputs += [
                value
                for value in node.inputs
                if value is not None and value.producer() is not None and id(value) not in counted
            ]
    names = list(dict.fromkeys(str(value.name) for value in outputs))
    return names[:_MOST_NAMES] + ["..."] * (len(names) > _MOST_NAMES)
