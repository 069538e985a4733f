"""A graph in FP16 around its INT8 part, as a strongly typed TensorRT network (from 10 on) wants it.

Such a network has the types that the file says: what is not INT8 runs in FP16 only where the file
has FP16 there, scales included (ONNX opset 19). Which codes and scales there are was decided
before: here they are only written in another type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.compile.half_limits import HALF_MAX, fits, kept_nodes, rounded, scales_of
from edge_scnet.compile.half_schemas import HalfPlaces, half_places
from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE
from edge_scnet.quantizer.statistics import TensorStats

if TYPE_CHECKING:
    import onnx_ir as ir

# The first opset whose Q/DQ take FP16 scales.
HALF_OPSET = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class Halved:
    """A graph in FP16, and which of its nodes are not, and why."""

    model: ir.Model
    # The reason, by node in FP32.
    kept: dict[str, str]


def to_half(model: ir.Model, tensors: Mapping[str, TensorStats]) -> Halved:
    """Returns a copy in FP16, with or without Q/DQ; its inputs and outputs stay FP32.

    Args:
        tensors: statistics of this graph's activations, by name; a tensor whose range passes 65,504
            stays FP32.

    Raises:
        ValueError: the graph's opset is below 19 and it holds Q/DQ.
    """
    ir_module = require("onnx_ir", extra="quantize")
    result = _typed(model)
    if result.opset_imports.get("", 0) < HALF_OPSET and any(
        node.op_type == QUANTIZE for node in result.graph
    ):
        raise ValueError(
            f"Q/DQ take FP16 scales from opset {HALF_OPSET}, the graph has"
            f" {result.opset_imports.get('')}"
        )
    writer = _Writer(ir_module, result, kept_nodes(result.graph, tensors))
    # the pairs of an activation last: what reads them has its type by then
    for node in tuple(result.graph):
        if node.op_type not in (QUANTIZE, DEQUANTIZE):
            writer.compute(node)
    writer.subgraphs()
    for node in tuple(result.graph):
        if node.op_type == DEQUANTIZE:
            writer.dequantize(node)
    for node in tuple(result.graph):
        if node.op_type == QUANTIZE:
            writer.quantize(node)
    writer.finish_outputs()
    result.graph.sort()
    drop_unused(result.graph)
    return Halved(model=result, kept=writer.kept)


def _typed(model: ir.Model) -> ir.Model:
    """Returns a copy whose tensors have types, and whose Constant nodes are initializers.

    The type of a constant then depends on who reads it.
    """
    passes = require("onnx_ir.passes.common", extra="quantize")
    result = model.clone()
    lifted: ir.Model = passes.LiftConstantsToInitializersPass(
        lift_all_constants=True, size_limit=0
    )(result).model
    computing = [node for node in lifted.graph if node.op_type not in (QUANTIZE, DEQUANTIZE)]
    if all(value.dtype is not None for node in computing for value in node.outputs if value.name):
        return lifted
    inferred: ir.Model = passes.ShapeInferencePass()(lifted).model
    return inferred


class _Writer:
    """Gives each node its types.

    A Cast stands only where a float tensor crosses over, never next to a DequantizeLinear.
    """

    def __init__(self, ir_module: Any, model: ir.Model, kept: dict[str, str]) -> None:
        self._ir, self._graph, self.kept = ir_module, model.graph, kept
        self._opset = model.opset_imports.get("", 0)
        self._half: ir.DataType = ir_module.DataType.FLOAT16
        self._full: ir.DataType = ir_module.DataType.FLOAT
        # of a computed float tensor, by id
        self._type: dict[int, ir.DataType] = {}
        self._places: dict[int, HalfPlaces] = {}
        self._casts: dict[tuple[int, ir.DataType], ir.Value] = {}
        self._constants: dict[tuple[str, ir.DataType], ir.Value] = {}
        for value in model.graph.inputs:
            if value.dtype == self._full:
                self._type[id(value)] = self._full
        for node in model.graph:
            if node.op_type not in (QUANTIZE, DEQUANTIZE):
                self._decide(node)

    def _decide(self, node: ir.Node) -> None:
        """Decides the types of a node's outputs."""
        places = half_places(node, self._opset, [self._is_float(value) for value in node.inputs])
        if str(node.name) in self.kept:
            places = HalfPlaces(
                inputs=(False,) * len(node.inputs), outputs=(False,) * len(node.outputs)
            )
        self._places[id(node)] = places
        for value, follows in zip(node.outputs, places.outputs, strict=True):
            if value.dtype == self._full:
                in_half = follows or places.attribute is not None
                self._type[id(value)] = self._half if in_half else self._full

    def _is_float(self, value: ir.Value | None) -> bool:
        """Whether a tensor is of real numbers, FP32 in the graph as it was."""
        if value is None:
            return False
        producer = value.producer()
        if producer is not None and producer.op_type == DEQUANTIZE:
            return True
        return value.dtype == self._full or id(value) in self._type

    def _wanted(self, node: ir.Node, index: int) -> ir.DataType:
        """The type in which a node reads an input of real numbers."""
        if node.graph is not self._graph:
            return self._full  # graphs inside nodes stay as they are
        places = self._places.get(id(node))
        if places is None:  # a Q reads what it is given
            return self._full if str(node.name) in self.kept else self._half
        return self._half if places.inputs[index] else self._full

    def compute(self, node: ir.Node) -> None:
        """Gives a node that computes its inputs and outputs in its types."""
        for index, value in enumerate(node.inputs):
            if value is None or not self._is_float(value):
                continue
            wanted, producer = self._wanted(node, index), value.producer()
            if value.is_initializer():
                node.replace_input_with(index, self._constant(value, wanted))
            elif producer is not None and producer.op_type == DEQUANTIZE:
                continue  # `dequantize` gives every reader its own type
            elif self._type[id(value)] != wanted:
                node.replace_input_with(index, self._cast(value, wanted))
        for value in node.outputs:
            if id(value) in self._type:
                value.type = self._ir.TensorType(self._type[id(value)])
        attribute = self._places[id(node)].attribute
        if attribute is not None:
            node.attributes[attribute] = self._ir.AttrInt64(attribute, int(self._half))

    def subgraphs(self) -> None:
        """Gives the graphs inside nodes what they read of this one as it was, in FP32."""
        inside = self._ir.traversal.RecursiveGraphIterator(self._graph)
        for node in [node for node in inside if node.graph is not self._graph]:
            for index, value in enumerate(node.inputs):
                if value is not None and self._type.get(id(value)) is self._half:
                    node.replace_input_with(index, self._cast(value, self._full))

    def dequantize(self, node: ir.Node) -> None:
        """Writes the second half of a pair once for every type in which it is read."""
        output, scales = node.outputs[0], node.inputs[1]
        assert scales is not None
        readers: dict[ir.DataType, list[tuple[ir.Node, int]]] = {}
        if output.is_graph_output():  # the graph's own tensor comes first, and is FP32
            readers[self._full] = []
        for use in tuple(output.uses()):
            wanted = self._wanted(use.node, use.idx)
            readers.setdefault(wanted, []).append((use.node, use.idx))
        exact = rounded(node) if fits(node) else scales_of(node)
        first = True
        for wanted, uses in readers.items():
            target = node
            if not first:
                target = self._ir.node(
                    "DequantizeLinear",
                    list(node.inputs),
                    attributes=dict(node.attributes),
                    name=f"{node.name}/{wanted.name}",
                )
                target.outputs[0].name = f"{output.name}_{wanted.name}"
                self._graph.insert_after(node, target)
                for reader, index in uses:
                    reader.replace_input_with(index, target.outputs[0])
            first = False
            target.replace_input_with(1, self._scale(scales, exact, wanted))
            target.outputs[0].type = self._ir.TensorType(wanted)

    def quantize(self, node: ir.Node) -> None:
        """Writes the first half of a pair in the type of what it reads."""
        value, scales = node.inputs[0], node.inputs[1]
        assert value is not None and scales is not None
        if value.is_initializer():
            return  # float weights: TensorRT 8's form, which has no FP16
        wanted = self._type.get(id(value)) or value.dtype or self._full
        exact = rounded(node) if fits(node) else scales_of(node)
        if wanted is self._half and not fits(node):
            wanted = self._full
            node.replace_input_with(0, self._cast(value, wanted))
        node.replace_input_with(1, self._scale(scales, exact, wanted))

    def finish_outputs(self) -> None:
        """Casts the graph's outputs back to FP32, under their own names."""
        outputs = self._graph.outputs
        for index, value in enumerate(tuple(outputs)):
            if self._type.get(id(value)) is not self._half:
                continue
            name = str(value.name)
            value.name = f"{name}_fp16"
            cast = self._ir.node(
                "Cast", [value], attributes={"to": int(self._full)}, name=f"{name}/Cast"
            )
            cast.outputs[0].name = name
            cast.outputs[0].shape, cast.outputs[0].type = (
                value.shape,
                self._ir.TensorType(self._full),
            )
            outputs[index] = cast.outputs[0]
            self._graph.append(cast)

    def _cast(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        if (key := (id(value), wanted)) not in self._casts:
            cast = self._ir.node(
                "Cast", [value], attributes={"to": int(wanted)}, name=f"{value.name}/{wanted.name}"
            )
            cast.outputs[0].name = f"{value.name}_{wanted.name}"
            cast.outputs[0].shape, cast.outputs[0].type = value.shape, self._ir.TensorType(wanted)
            producer = value.producer()
            if producer is None:
                self._graph.insert_before(self._graph[0], cast)
            else:
                self._graph.insert_after(producer, cast)
            self._casts[key] = cast.outputs[0]
        return self._casts[key]

    def _constant(self, value: ir.Value, wanted: ir.DataType) -> ir.Value:
        if wanted is self._full:
            return value
        if (key := (str(value.name), wanted)) not in self._constants:
            assert value.const_value is not None
            array = np.clip(value.const_value.numpy(), -HALF_MAX, HALF_MAX).astype(np.float16)
            self._constants[key] = add_initializer(
                self._graph, f"{value.name}_{wanted.name}", array
            )
        return self._constants[key]

    def _scale(self, value: ir.Value, exact: np.ndarray, wanted: ir.DataType) -> ir.Value:
        """Returns the scale in a type.

        In FP32 it has the value that FP16 holds, so that both halves of a pair agree.
        """
        if (key := (f"{value.name}/{exact.tobytes().hex()}", wanted)) not in self._constants:
            array = exact.astype(np.float16 if wanted is self._half else np.float32)
            name = f"{value.name}_{wanted.name}"
            taken = self._graph.initializers
            self._constants[key] = add_initializer(
                self._graph, name if name not in taken else f"{name}_exact", array
            )
        return self._constants[key]
