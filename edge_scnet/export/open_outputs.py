"""Outputs whose size depends on the data: what such a file must be like to be built."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge_scnet.errors import ArtifactError
from edge_scnet.export.nodes import all_nodes
from edge_scnet.graph.counting import (
    COUNTING_OPS,
    command_for_front,
    compared_tensors,
    counted_outputs,
    origins_of,
    words_of,
)
from edge_scnet.graph.names import module_of

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# More are no help in a message.
_MOST_NAMES = 8


def may_count(proto: Any) -> bool:
    """Whether a file has an operator whose result's size depends on the data."""
    return any(node.op_type in COUNTING_OPS for node in all_nodes(proto.graph.node))


def check_batch(model: ir.Model, path: Path, *, batch: int) -> None:
    """Refuses several images at once where nobody could tell whose part of an output is which.

    Args:
        model: the file's graph with its own batch, static and folded.
        batch: that it is to be built at.

    Raises:
        ArtifactError: the size of an output depends on the data, and the batch is not 1.
    """
    counted = counted_outputs(model.graph)
    if batch == 1 or not counted:
        return
    name, origin = next(iter(counted.items()))
    raise ArtifactError(
        f"{path}: the size of output {name!r} depends on the data ({words_of(origin)}): of"
        f" {batch} images at once nobody can tell which part of it is whose",
        hint=f"--batch 1; or, at batch {batch}, {_part(model, path)}",
    )


def check_open_outputs(
    model: ir.Model, path: Path, *, named_as_in_file: ir.Model
) -> tuple[str, ...]:
    """Looks at the outputs whose size depends on the data.

    Args:
        model: the prepared graph.
        named_as_in_file: the same graph before nodes and tensors got names.

    Returns:
        What is to be known of them, in words.

    Raises:
        ArtifactError: a layer with weights is behind the node that counts.
    """
    counted = counted_outputs(model.graph)
    if not counted:
        return ()
    origin = next(iter(counted.values()))
    origins = origins_of(model.graph)
    for node in model.graph:
        if node.op_type in _WEIGHTED and any(id(value) in origins for value in node.inputs):
            behind = next(origins[id(value)] for value in node.inputs if id(value) in origins)
            raise ArtifactError(
                f"{path}: {node.op_type} at {module_of(node)!r} has weights, and how often it runs"
                f" depends on the data: it is behind {words_of(behind)}",
                hint=_part(named_as_in_file, path),
            )
    names = ", ".join(repr(each) for each in counted)
    return (f"the size of {names} depends on the data ({words_of(origin)})",)


def _part(model: ir.Model, path: Path) -> str:
    """What to do instead."""
    inputs = [str(value.name) for value in model.graph.inputs]
    command = command_for_front(str(path), inputs, compared_tensors(model.graph), most=_MOST_NAMES)
    return f"build the part in front of it, and run the rest behind the engine: {command}"
