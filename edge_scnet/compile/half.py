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

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, drop_unused
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, integer
from edge_scnet.quantize.statistics import TensorStats

if TYPE_CHECKING:
    import onnx_ir as ir

# The largest finite FP16.
HALF_MAX = 65_504.0
# The first opset whose Q/DQ take FP16 scales.
HALF_OPSET = 19
# A scale this far off costs less than a hundredth of a code over the whole range; below FP16's
# normal numbers it grows.
_SCALE_ERROR = 2.0**-9
# Inputs with a type of their own: Resize's roi, scales and sizes.
_TYPED_INPUTS = {"Resize": (0,)}
# Operators whose outputs are integers or truth values.
_NOT_FLOAT = frozenset({"Shape", "Size", "ArgMax", "ArgMin", "NonZero", "Equal", "Less", "Greater"})


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
    result = model.clone()
    if result.opset_imports.get("", 0) < HALF_OPSET and any(
        node.op_type == QUANTIZE for node in result.graph
    ):
        raise ValueError(
            f"Q/DQ take FP16 scales from opset {HALF_OPSET}, the graph has"
            f" {result.opset_imports.get('')}"
        )
    writer = _Writer(ir_module, result.graph, _kept_nodes(result.graph, tensors))
    # the pairs of an activation last: what reads them has its type by then
    for node in tuple(result.graph):
        if node.op_type not in (QUANTIZE, DEQUANTIZE):
            writer.compute(node)
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


def _kept_nodes(graph: ir.Graph, tensors: Mapping[str, TensorStats]) -> dict[str, str]:
    """Returns the nodes that overflow in FP16 or whose scales it cannot hold, with the reasons."""
    kept: dict[str, str] = {}
    for node in graph:
        if node.op_type in (QUANTIZE, DEQUANTIZE):
            continue
        for value in (*node.inputs, *node.outputs):
            name = "" if value is None else _source_name(value)
            stats = tensors.get(name)
            if stats is not None and max(-stats.minimum, stats.maximum) > HALF_MAX:
                largest = max(-stats.minimum, stats.maximum)
                kept[str(node.name)] = (
                    f"{name} reaches {largest:,.0f}, FP16 ends at {HALF_MAX:,.0f}"
                )
        for value in node.inputs:
            producer = value.producer() if value is not None else None
            if producer is not None and producer.op_type == DEQUANTIZE and not _fits(producer):
                kept[str(node.name)] = f"a scale of {producer.name} is too small for FP16"
    return kept


def _source_name(value: ir.Value) -> str:
    """Returns the name of the float tensor behind Q/DQ."""
    producer = value.producer()
    while producer is not None and producer.op_type in (QUANTIZE, DEQUANTIZE):
        source = producer.inputs[0]
        assert source is not None
        value, producer = source, source.producer()
    return str(value.name)


def scales_of(node: ir.Node) -> np.ndarray:
    """Returns the constant scales of a Q or DQ."""
    scale = node.inputs[1]
    assert scale is not None and scale.const_value is not None
    return scale.const_value.numpy()


def _fits(node: ir.Node) -> bool:
    """Whether FP16 holds the scales of a Q or DQ closely enough."""
    scales, silent = scales_of(node), _silent_channels(node)
    return bool((silent | (np.abs(_rounded(node) / scales - 1) <= _SCALE_ERROR)).all())


def _rounded(node: ir.Node) -> np.ndarray:
    """Returns the scales as FP16 holds them, in float32.

    It is 1 for channels whose codes are all 0: there any scale will do, but 0.
    """
    with np.errstate(over="ignore"):
        rounded = scales_of(node).astype(np.float16).astype(np.float32)
    return np.where(_silent_channels(node), np.float32(1), rounded)


def _silent_channels(node: ir.Node) -> np.ndarray:
    """Returns which channels of constant codes are all 0, in the shape of the scales."""
    scales, codes = scales_of(node), node.inputs[0]
    if codes is None or codes.const_value is None or codes.const_value.dtype.is_floating_point():
        return np.zeros(scales.shape, bool)
    array = codes.const_value.numpy()
    axis = integer(node, "axis", 1)
    rows = (
        np.moveaxis(array, axis, 0).reshape(scales.size, -1)
        if scales.ndim
        else array.reshape(1, -1)
    )
    return ~rows.any(axis=1).reshape(scales.shape)


class _Writer:
    """Gives each node its types.

    A Cast stands only where a float tensor crosses over, never next to a DequantizeLinear.
    """

    def __init__(self, ir_module: Any, graph: ir.Graph, kept: dict[str, str]) -> None:
        self._ir, self._graph, self.kept = ir_module, graph, kept
        self._half, self._full = ir_module.DataType.FLOAT16, ir_module.DataType.FLOAT
        # of a computed float tensor, by id
        self._type: dict[int, ir.DataType] = {}
        self._casts: dict[tuple[int, ir.DataType], ir.Value] = {}
        self._constants: dict[tuple[str, ir.DataType], ir.Value] = {}
        for node in graph:
            for value in node.outputs:
                is_float = value.dtype in (self._full, None) and node.op_type != QUANTIZE
                if is_float and node.op_type != DEQUANTIZE and node.op_type not in _NOT_FLOAT:
                    self._type[id(value)] = self._full if str(node.name) in kept else self._half

    def compute(self, node: ir.Node) -> None:
        """Gives a node that computes its inputs and outputs in its type."""
        wanted = self._full if str(node.name) in self.kept else self._half
        for index, value in enumerate(node.inputs):
            if value is None or index not in _TYPED_INPUTS.get(node.op_type, (index,)):
                continue
            if value.is_initializer():
                if value.dtype == self._full:
                    node.replace_input_with(index, self._constant(value, wanted))
            elif (producer := value.producer()) is not None and producer.op_type == DEQUANTIZE:
                continue  # `dequantize` gives every reader its own type
            elif self._type.get(id(value), self._full if producer is None else None) not in (
                wanted,
                None,
            ):
                node.replace_input_with(index, self._cast(value, wanted))
        for value in node.outputs:
            if id(value) in self._type:
                value.type = self._ir.TensorType(wanted)
        if node.op_type == "Constant" and node.outputs[0].dtype == self._half:
            tensor = node.attributes["value"].as_tensor().numpy().astype(np.float16)
            node.attributes["value"] = self._ir.AttrTensor("value", self._ir.tensor(tensor))

    def dequantize(self, node: ir.Node) -> None:
        """Writes the second half of a pair once for every type in which it is read."""
        output, scales = node.outputs[0], node.inputs[1]
        assert scales is not None
        readers: dict[ir.DataType, list[tuple[ir.Node, int]]] = {}
        for use in tuple(output.uses()):
            wanted = self._full if str(use.node.name) in self.kept else self._half
            readers.setdefault(wanted, []).append((use.node, use.idx))
        if output.is_graph_output():
            readers.setdefault(self._full, [])
        exact = _rounded(node) if _fits(node) else scales_of(node)
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
        wanted = self._type.get(id(value), self._full)
        exact = _rounded(node)
        if wanted is self._half and not _fits(node):
            wanted, exact = self._full, scales_of(node)
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
        if (key := (f"{value.name}/{exact.tobytes().hex()[:64]}", wanted)) not in self._constants:
            array = exact.astype(np.float16 if wanted is self._half else np.float32)
            name = f"{value.name}_{wanted.name}"
            taken = self._graph.initializers
            self._constants[key] = add_initializer(
                self._graph, name if name not in taken else f"{name}_exact", array
            )
        return self._constants[key]
