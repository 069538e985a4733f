"""Outputs whose size depends on the data: NonMaxSuppression keeps other boxes of every picture.

Two engines that are both right give other numbers of them, in another order, so that nothing can be
compared number by number. What is in front of the node that counts has a size, and can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from edge_scnet.graph.model import extract
from edge_scnet.graph.names import module_of

if TYPE_CHECKING:
    import onnx_ir as ir

_T = TypeVar("_T")
# Why the size of an operator's result depends on values.
COUNTING_OPS = {
    "NonZero": "its result has as many columns as there are values that are not 0",
    "Unique": "its result has as many values as there are different ones",
    "Compress": "its result has as many values as its condition has that are true",
    "NonMaxSuppression": "it keeps another number of boxes for every picture",
}


def origins_of(graph: ir.Graph) -> dict[int, ir.Node]:
    """The counting node that each tensor comes from, by the tensor's identity."""
    origins: dict[int, ir.Node] = {}
    for node in graph:
        known = [origins[id(value)] for value in node.inputs if id(value) in origins]
        origin = known[0] if known else node if node.op_type in COUNTING_OPS else None
        if origin is not None:
            origins |= {id(value): origin for value in node.outputs}
    return origins


def counted_outputs(graph: ir.Graph) -> dict[str, ir.Node]:
    """The outputs whose size depends on the data, with the node that counts them, in order."""
    origins = origins_of(graph)
    return {
        str(value.name): origins[id(value)]
        for value in graph.outputs
        if id(value) in origins and _is_open(value)
    }


def are_counted(graph: ir.Graph) -> tuple[bool, ...]:
    """By output, whether its size depends on the data."""
    counted = counted_outputs(graph)
    return tuple(str(value.name) in counted for value in graph.outputs)


def fronts_of(graph: ir.Graph) -> tuple[str, ...]:
    """The tensors that counted outputs are computed from: computed ones that have a size.

    Of a Q/DQ graph those in front of the codes, which are called as in the float graph.
    """
    origins = origins_of(graph)
    if not counted_outputs(graph):
        return ()
    found: dict[str, None] = {}
    for node in graph:
        if not node.outputs or id(node.outputs[0]) not in origins:
            continue
        for value in node.inputs:
            if value is not None and value.producer() is not None and id(value) not in origins:
                found[_called_in_float(value)] = None
    return tuple(found)


def compared_tensors(graph: ir.Graph, fronts: Sequence[str] | None = None) -> list[str]:
    """The outputs that have a size, and the tensors that others are computed from.

    Args:
        fronts: these tensors; None: as `fronts_of` finds them.
    """
    counted = counted_outputs(graph)
    outputs = [str(v.name) for v in graph.outputs if str(v.name) not in counted]
    return list(dict.fromkeys([*outputs, *(fronts_of(graph) if fronts is None else fronts)]))


def in_front(model: ir.Model, fronts: Sequence[str]) -> ir.Model | None:
    """A copy without what counts: its outputs are those that have a size, and the fronts.

    None where the graph has no tensors of these names, or one is an input.
    """
    given = {str(value.name) for node in model.graph for value in node.outputs}
    wanted = compared_tensors(model.graph, fronts)
    if not counted_outputs(model.graph) or not wanted or not given.issuperset(wanted):
        return None
    part = extract(model, [str(value.name) for value in model.graph.inputs], wanted)
    part.opset_imports.update(model.opset_imports)
    return part


def words_of(origin: ir.Node) -> str:
    """A counting node, and why its result has no size, in words."""
    return f"{origin.op_type} at {module_of(origin)!r}: {COUNTING_OPS[origin.op_type]}"


def command_for_front(file: str, inputs: Sequence[str], fronts: Sequence[str], *, most: int) -> str:
    """The call of onnx that cuts out the part in front of what counts.

    Args:
        most: more names than these are left out.
    """
    names = [*fronts[:most], *(["..."] if len(fronts) > most else [])]
    return f"onnx.utils.extract_model({file!r}, 'part.onnx', {list(inputs)}, {names})"


def without(counted: Sequence[bool], outputs: Sequence[_T]) -> list[_T]:
    """What belongs to the outputs that have a size."""
    return [each for each, is_counted in zip(outputs, counted, strict=True) if not is_counted]


def _called_in_float(value: ir.Value) -> str:
    """The name of a tensor, or of the one that its codes are of."""
    producer = value.producer()
    while producer is not None and producer.op_type in ("QuantizeLinear", "DequantizeLinear"):
        assert producer.inputs[0] is not None
        value = producer.inputs[0]
        producer = value.producer()
    return str(value.name)


def _is_open(value: ir.Value) -> bool:
    return value.shape is None or any(not isinstance(size, int) for size in value.shape)
