"""What rules that rewrite the nodes of an ONNX file may ask and use.

A file is rewritten as it was read, before its graph is folded: shapes are known as far as ONNX's
inference finds them, and of computed values the few that rules ask for, where they follow from
constants and known sizes alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.export.known import Shape, computed_constants


class NotWritable(Exception):
    """A node has no equivalent in the other opset; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The graph around a node, and the constants that rules add to it."""

    proto: Any
    # by tensor; None: a size that is open
    shapes: Mapping[str, Shape]
    # ONNX's number of the type, by tensor
    types: Mapping[str, int]
    # initializers, values of Constant nodes, and computed ones that rules ask for
    constants: dict[str, Any]
    # names of tensors and nodes
    taken: set[str]
    # tensors that a node reads or the graph gives
    used: frozenset[str]

    def constant(self, name: str) -> np.ndarray | None:
        """Returns the value of a tensor; None where it is not known."""
        tensor = self.constants.get(name)
        if tensor is None:
            return None
        array: np.ndarray = require("onnx", extra="cpu").numpy_helper.to_array(tensor)
        return array

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Returns the shape of a tensor; None where it is not known in full."""
        shape = self.shapes.get(name)
        return None if shape is None or None in shape else tuple(int(size or 0) for size in shape)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Returns the type of a tensor; float32 where it is not known."""
        kind = self.types.get(name)
        if not kind:
            return np.dtype(np.float32)
        helper = require("onnx", extra="cpu").helper
        dtype: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(kind))
        return dtype

    def add(self, like: Any, suffix: str, array: np.ndarray) -> str:
        """Stores a constant for a node and returns its name."""
        name = self.fresh(f"{like.name or like.output[0]}_{suffix}")
        helper = require("onnx", extra="cpu").numpy_helper
        tensor = helper.from_array(array, name)
        self.proto.graph.initializer.append(tensor)
        self.constants[name] = tensor
        return name

    def fresh(self, wanted: str) -> str:
        """Returns a name that no tensor or node has."""
        name, number = wanted, 1
        while name in self.taken:
            number += 1
            name = f"{wanted}_{number}"
        self.taken.add(name)
        return name


Rule = Callable[[Any, Context], list[Any] | None]
"""Takes a node and returns what it becomes; None: it stays, changed in place or not at all.

Raises NotWritable where it has no equivalent.
"""


# The number of values up to which a constant may be sizes, axes or pads.
_SMALL = 256
# Operators whose further inputs rules ask the values of.
_ASKED = re.compile("Reduce.*|Resize|Upsample|Split|Pad|DFT")


def context_of(proto: Any) -> Context:
    """Returns the context of a file's graph, shapes inferred; subgraphs are part of it."""
    onnx = require("onnx", extra="cpu")
    try:
        inferred = onnx.shape_inference.infer_shapes(_without_weights(proto), data_prop=True)
    except Exception:
        # the graph is inferred again, strictly, when it is converted: the error is reported then
        inferred = proto
    shapes: dict[str, Shape] = {}
    types: dict[str, int] = {}
    constants: dict[str, Any] = {}
    taken: set[str] = set()
    used: set[str] = set()
    for graph in graphs_of(inferred.graph):
        values = (*graph.input, *graph.output, *graph.value_info)
        types |= {value.name: value.type.tensor_type.elem_type for value in values}
        shapes |= {value.name: shape for value in values if (shape := _shape(value)) is not None}
        constants |= {
            node.output[0]: tensor
            for node in graph.node
            if node.op_type == "Constant" and (tensor := _stored(node)) is not None
        }
        used.update(name for node in graph.node for name in node.input)
        used.update(value.name for value in graph.output)
        taken.update(value.name for value in graph.input)
        taken.update(name for node in graph.node for name in (node.name, *node.output))
    for graph in graphs_of(proto.graph):
        constants |= {tensor.name: tensor for tensor in graph.initializer}
    for name, tensor in constants.items():
        shapes.setdefault(name, tuple(tensor.dims))
        types.setdefault(name, tensor.data_type)
    asked = {
        name
        for node in inferred.graph.node
        if _ASKED.fullmatch(node.op_type)
        for name in node.input[1:]
        if name and name not in constants
    }
    constants |= computed_constants(inferred, asked, constants=constants, shapes=shapes)
    return Context(
        proto=proto,
        shapes=shapes,
        types=types,
        constants=constants,
        taken=taken | set(constants),
        used=frozenset(used),
    )


def _without_weights(proto: Any) -> Any:
    """A copy of a file whose large weights are inputs: inference goes over all bytes else."""
    onnx = require("onnx", extra="cpu")
    light = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    graph, light_graph = proto.graph, light.graph
    light_graph.name = graph.name
    light_graph.node.extend(graph.node)
    light_graph.input.extend(graph.input)
    light_graph.output.extend(graph.output)
    light_graph.value_info.extend(graph.value_info)
    inputs = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            light_graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            light_graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return light


def _shape(value: Any) -> Shape | None:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)


def _stored(node: Any) -> Any:
    """The tensor of a Constant node, however it is written; None: it holds no numbers."""
    from_array = require("onnx", extra="cpu").numpy_helper.from_array
    kinds: dict[str, type[np.generic]] = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    for item in node.attribute:
        if item.name == "value":
            return item.t
        if item.name in kinds:
            value = attributes(node)[item.name]
            return from_array(np.array(value, kinds[item.name]), node.output[0])
    return None


def graphs_of(graph: Any) -> Iterator[Any]:
    """Yields a graph and the graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def rewrite(proto: Any, rule: Callable[[Any], list[Any] | None]) -> bool:
    """Puts what a rule gives in the place of every node; returns whether a node was replaced."""
    replaced = False
    for graph in list(graphs_of(proto.graph)):
        nodes: list[Any] = []
        changed = False
        for node in graph.node:
            made = rule(node)
            changed |= made is not None
            nodes += [node] if made is None else made
        if changed:
            node_type = require("onnx", extra="cpu").NodeProto
            copies = [node_type.FromString(node.SerializeToString()) for node in nodes]
            del graph.node[:]
            graph.node.extend(copies)
            replaced = True
    return replaced


def attributes(node: Any) -> dict[str, Any]:
    """Returns a node's attributes as Python values; texts as `str`."""
    helper = require("onnx", extra="cpu").helper
    values = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    return {
        name: value.decode() if isinstance(value, bytes) else value
        for name, value in values.items()
    }


def drop(node: Any, *names: str) -> None:
    """Takes attributes away where they are."""
    kept = [item for item in node.attribute if item.name not in names]
    if len(kept) != len(node.attribute):
        copies = [type(item).FromString(item.SerializeToString()) for item in kept]
        del node.attribute[:]
        node.attribute.extend(copies)


def put(node: Any, **values: Any) -> None:
    """Sets attributes."""
    helper = require("onnx", extra="cpu").helper
    drop(node, *values)
    node.attribute.extend(helper.make_attribute(name, value) for name, value in values.items())


def made(op: str, inputs: list[str], outputs: list[str], name: str = "", **values: Any) -> Any:
    """Returns a new node."""
    helper = require("onnx", extra="cpu").helper
    return helper.make_node(op, inputs, outputs, name=name, **values)
