"""Raises files of other real numbers, FP16 above all, to float32, and bytes on their way in.

FP16 and BFLOAT16 are held by float32 exactly: weights, constants and bounds keep their values, and
what the file rounds inside is rounded no more. DOUBLE is rounded to float32. Casts that change
nothing any more go.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.export.rewriting import attributes, context_of, drop, graphs_of, made, rewrite

# Attributes that name a type.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "output_datatype")
# The relative step of FP16 is 2 ** -10, and of BFLOAT16 2 ** -7: a value is off by half of it.
_ROUNDING = {"FLOAT16": 2.0**-11, "BFLOAT16": 2.0**-8}
# Every layer's roundings add up as random errors do, to the root of their number; networks as they
# are amplify them by up to so much.
_AMPLIFIED = 4.0

# What takes values from one place to another; the first input is the data.
_MOVES = frozenset(
    {
        *("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Gather"),
        *("Split", "Expand", "Tile", "DepthToSpace", "SpaceToDepth"),
    }
)


def rounding_of(proto: Any) -> float:
    """Returns how far a file's outputs may lie from exact ones, as a share of their range.

    0 where the file computes in float32, whatever its weights are stored in.
    """
    tensor = require("onnx", extra="cpu").TensorProto
    types = context_of(proto).types
    worst = 0.0
    for name, step in _ROUNDING.items():
        kind = tensor.DataType.Value(name)
        rounding = sum(
            node.op_type != "Constant" and any(types.get(output) == kind for output in node.output)
            for graph in graphs_of(proto.graph)
            for node in graph.node
        )
        worst = max(worst, _AMPLIFIED * step * rounding**0.5)
    return worst


def raise_to_float32(proto: Any) -> bool:
    """Writes a file's real numbers as float32, in place; returns whether there were others."""
    tensor = require("onnx", extra="cpu").TensorProto
    others = {tensor.FLOAT16, tensor.BFLOAT16, tensor.DOUBLE}
    changed = False
    for graph in graphs_of(proto.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            changed |= _raise_type(value.type, others)
        for stored in _tensors(graph):
            changed |= _raise_tensor(stored, others)
        for node in graph.node:
            for item in node.attribute:
                if item.name in _TYPE_ATTRIBUTES and item.i in others:
                    item.i = tensor.FLOAT
                    changed = True
    if changed:
        drop_idle_casts(proto)
    return changed


def drop_idle_casts(proto: Any) -> None:
    """Makes nodes that pass a tensor on of casts to the type that it has; folding takes them."""
    types = context_of(proto).types

    def rule(node: Any) -> None:
        if node.op_type == "Cast" and types.get(node.input[0]) == attributes(node)["to"]:
            node.op_type = "Identity"
            drop(node, *attributes(node))

    rewrite(proto, rule)


def follow_float_input(proto: Any, name: str) -> None:
    """Makes a graph of bytes right for an input that has become float32, in place.

    Steps that move values work on them as they are, up to the Cast that wanted float32. In front of
    other steps they are rounded back to bytes: an addition of bytes wraps around.
    """
    tensor = require("onnx", extra="cpu").TensorProto
    real, bytes_of = {name}, {}

    def rule(node: Any) -> list[Any] | None:
        hit = [index for index, item in enumerate(node.input) if item in real]
        if not hit or (node.op_type == "Cast" and attributes(node)["to"] in _real_types(tensor)):
            return None
        moves = node.op_type in _MOVES and hit == [0]
        if moves or (node.op_type == "Concat" and len(hit) == len(node.input)):
            real.update(node.output)
            return None
        nodes = []
        for index in hit:
            if node.input[index] not in bytes_of:
                back = _back_to_bytes(proto, node.input[index])
                bytes_of[node.input[index]] = back[-1].output[0]
                nodes += back
            node.input[index] = bytes_of[node.input[index]]
        return [*nodes, node]

    rewrite(proto, rule)
    # what was inferred of bytes is wrong now
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        if value.name in real:
            _give_bytes(proto, value.name)


def _give_bytes(proto: Any, name: str) -> None:
    """Rounds an output of the graph to bytes, under its name."""
    inner = context_of(proto).fresh(f"{name}_float32")
    for graph in graphs_of(proto.graph):
        for node in graph.node:
            for names in (node.input, node.output):
                for index, tensor in enumerate(names):
                    names[index] = inner if tensor == name else tensor
    nodes = _back_to_bytes(proto, inner)
    nodes[-1].output[0] = name
    proto.graph.node.extend(nodes)


def _real_types(tensor: Any) -> tuple[int, ...]:
    return (tensor.FLOAT, tensor.FLOAT16, tensor.BFLOAT16, tensor.DOUBLE)


def _back_to_bytes(proto: Any, name: str) -> list[Any]:
    """The nodes that round float32 to bytes, with operators that every opset has."""
    onnx = require("onnx", extra="cpu")
    context = context_of(proto)
    nodes = []
    value = name
    for op, number in (("Add", 0.5), ("Max", 0.0), ("Min", 255.0)):
        constant = context.fresh(f"{name}_{op.lower()}")
        array = np.array([number], np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, constant))
        output = context.fresh(f"{name}_bytes")
        nodes.append(made(op, [value, constant], [output], name=output))
        value = output
    floor, back = context.fresh(f"{name}_floor"), context.fresh(f"{name}_uint8")
    nodes.append(made("Floor", [value], [floor], name=floor))
    nodes.append(made("Cast", [floor], [back], name=back, to=onnx.TensorProto.UINT8))
    return nodes


def _tensors(graph: Any) -> Iterator[Any]:
    """Yields what a graph stores: initializers, and tensors that are attributes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
    for node in graph.node:
        for item in node.attribute:
            if item.HasField("t"):
                yield item.t
            if item.HasField("sparse_tensor"):
                yield item.sparse_tensor.values
            yield from item.tensors


def _raise_tensor(stored: Any, others: set[int]) -> bool:
    if stored.data_type not in others:
        return False
    numpy_helper = require("onnx", extra="cpu").numpy_helper
    array = numpy_helper.to_array(stored).astype(np.float32)
    stored.CopyFrom(numpy_helper.from_array(array, stored.name))
    return True


def _raise_type(kind: Any, others: set[int]) -> bool:
    """Raises the type of a tensor, or of what a sequence or optional holds."""
    which = kind.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        tensor = getattr(kind, which)
        if tensor.elem_type not in others:
            return False
        tensor.elem_type = require("onnx", extra="cpu").TensorProto.FLOAT
        return True
    if which in ("sequence_type", "optional_type"):
        return _raise_type(getattr(kind, which).elem_type, others)
    return False
