"""Small steps with ONNX graphs.

Read and write a file, find its batch, make inner tensors outputs, cut a part out, add and drop
constants.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir


def load(path: Path | str) -> ir.Model:
    """Reads an ONNX file; weights in a file beside it are read when they are used."""
    model: ir.Model = require("onnx_ir", extra="quantize").load(path)
    own_weights(model)
    return model


def own_weights(model: ir.Model) -> None:
    """Copies the weights out of the file they were read with, in place.

    The file's protobuf stays in memory as a whole while any of them is left in it, also where all
    the others were replaced.
    """
    ir_module = require("onnx_ir", extra="quantize")
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir_module.serde.TensorProtoTensor) and tensor.dtype.bitwidth >= 8:
            # a damaged one is told of where it is used
            with contextlib.suppress(ValueError):
                value.const_value = ir_module.tensor(np.array(tensor.numpy()), name=value.name)


def save(model: ir.Model, path: Path) -> None:
    """Writes the graph in one file, whole or not at all."""
    ir_module = require("onnx_ir", extra="cpu")
    with write_atomic(path) as temporary:
        ir_module.save(model, temporary)


def opset_of(proto: Any) -> int:
    """Returns the opset of a file's standard operators; 0 where it names none.

    Args:
        proto: the file as a protobuf.
    """
    return next((item.version for item in proto.opset_import if item.domain in ("", "ai.onnx")), 0)


def batch_of(model: ir.Model, *, dynamic: int = 1) -> int:
    """Returns the batch of the graph's first input.

    Args:
        dynamic: what is returned where the file leaves the batch open.
    """
    shape = model.graph.inputs[0].shape
    return shape[0] if shape is not None and isinstance(shape[0], int) else dynamic


def expose(model: ir.Model, names: Iterable[str]) -> ir.Model:
    """Returns a copy whose named tensors are outputs as well, behind the outputs it has."""
    result = model.clone()
    values = {value.name: value for node in result.graph for value in node.outputs}
    outputs = result.graph.outputs
    present = {value.name for value in outputs}
    outputs.extend(values[name] for name in dict.fromkeys(names) if name not in present)
    return result


def extract(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> ir.Model:
    """Returns a copy of the part of the graph between the named tensors."""
    ir_module = require("onnx_ir", extra="quantize")
    graph = ir_module.convenience.extract(model.graph, list(inputs), list(outputs))
    part: ir.Model = ir_module.Model(graph, ir_version=model.ir_version)
    return part


def add_initializer(
    graph: ir.Graph,
    name: str,
    array: np.ndarray | np.generic,
    *,
    taken: set[str | None] | None = None,
) -> ir.Value:
    """Adds a constant to the graph and returns it.

    Args:
        name: as it is to be called; where the graph has such a tensor, the next that is free.
        taken: as for `free_name`.
    """
    ir_module = require("onnx_ir", extra="quantize")
    name = free_name(graph, name, taken=taken)
    tensor = ir_module.tensor(np.asarray(array), name=name)
    value: ir.Value = ir_module.Value(
        name=name, const_value=tensor, shape=tensor.shape, type=ir_module.TensorType(tensor.dtype)
    )
    graph.register_initializer(value)
    return value


def free_name(graph: ir.Graph, wanted: str, *, taken: set[str | None] | None = None) -> str:
    """Returns the wanted name of a tensor, with underscores behind it while another has it.

    Names inside the graphs of nodes count too.

    Args:
        taken: `names_in` of the graph, where many names are wanted: to list them takes as long as
            the graph is. The name is added to it.
    """
    if taken is None:
        taken = names_in(graph)
    while wanted in taken:
        wanted += "_"
    taken.add(wanted)
    return wanted


def names_in(graph: ir.Graph) -> set[str | None]:
    """Returns the names of all tensors of a graph, and of the graphs of its nodes."""
    return set(_names_given_in(graph))


def _names_given_in(graph: ir.Graph) -> Iterator[str | None]:
    """The names of what a graph and the graphs of its nodes hold; not of what they only read."""
    yield from graph.initializers
    yield from (value.name for value in graph.inputs)
    for node in graph:
        yield from (value.name for value in node.outputs)
        for attribute in node.attributes.values():
            if attribute.type.name == "GRAPH":
                yield from _names_given_in(attribute.as_graph())
            elif attribute.type.name == "GRAPHS":
                for inner in attribute.as_graphs():
                    yield from _names_given_in(inner)


def drop_unused(graph: ir.Graph) -> None:
    """Removes the constants that no node reads and that are no output, in place."""
    unused = [
        name
        for name, value in graph.initializers.items()
        if not value.uses() and not value.is_graph_output()
    ]
    for name in unused:
        del graph.initializers[name]
