"""What a graph's outputs end in: Softmax over an axis, a sigmoid map, a layer's own products.

Only the nodes in front of an output are looked at; what they mean is for others to say.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.core.outputs import Counted, Ending, OutputHead
from edge_scnet.graph.counting import (
    command_for_front,
    compared_tensors,
    counted_outputs,
    words_of,
)
from edge_scnet.graph.model import batch_of

if TYPE_CHECKING:
    import onnx_ir as ir

# Nodes that move values and leave them what they are.
_RESHAPING = {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}
_SHAPING = _RESHAPING | {"Identity", "Transpose", "Cast", "Dropout"}
# Nodes behind which a map of scores is still one.
_SCALING = {"Resize", "Upsample", "Slice", "Crop", "Pad", "DepthToSpace"}
_PRODUCTS = {"Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"}
_ENDINGS: dict[str, Ending] = {
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "Sigmoid": "sigmoid",
    "HardSigmoid": "sigmoid",
    "LpNormalization": "l2",
}
_OF_NORMS = _RESHAPING | {"Expand", "Clip", "Max", "Add", "Sqrt", "ReduceSum", "Identity"}
_MOST_STEPS = 64
# Of tensors, in a command.
_MOST_NAMES = 8


def heads_of(model: ir.Model) -> tuple[OutputHead, ...]:
    """The outputs of a graph, in order."""
    batch, counted = batch_of(model), _counted(model.graph)
    return tuple(_head(value, batch, counted.get(str(value.name))) for value in model.graph.outputs)


def _counted(graph: ir.Graph) -> dict[str, Counted]:
    """The outputs whose size depends on the data."""
    counted = counted_outputs(graph)
    inputs = [str(value.name) for value in graph.inputs]
    cut = command_for_front(FLOAT_ONNX, inputs, compared_tensors(graph), most=_MOST_NAMES)
    return {name: Counted(origin=words_of(node), cut=cut) for name, node in counted.items()}


def _head(value: ir.Value, batch: int, counted: Counted | None) -> OutputHead:
    shape = _shape(value)
    end, moved = _behind_shaping(value)
    ending, axis = _ending(end)
    if moved or axis is None or len(_shape(end)) != len(shape):
        axis = _moved_axis(value, end, axis, shape)
    return OutputHead(
        name=str(value.name),
        shape=shape,
        dtype="float32" if value.dtype is None else str(value.dtype.numpy()),
        ending=ending,
        axis=axis,
        joined=_joined(value, len(shape)),
        by_sample=counted is None and bool(shape) and shape[0] in (None, batch),
        counted=counted,
    )


def _shape(value: ir.Value) -> tuple[int | None, ...]:
    if value.shape is None:
        return ()
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _behind_shaping(value: ir.Value) -> tuple[ir.Value, bool]:
    """The tensor whose values an output has, and whether its axes were moved in between."""
    moved = False
    for _ in range(_MOST_STEPS):
        node = value.producer()
        if node is None or node.op_type not in _SHAPING | _SCALING or node.inputs[0] is None:
            break
        moved |= node.op_type in _RESHAPING | {"Transpose"}
        value = node.inputs[0]
    return value, moved


def _ending(value: ir.Value) -> tuple[Ending, int | None]:
    """What computes a tensor, and the axis that it works on."""
    node = value.producer()
    if node is None:
        return "other", None
    if (ending := _ENDINGS.get(node.op_type)) is not None:
        if ending == "sigmoid":
            return ending, None
        axis = node.attributes.get("axis")
        return ending, _positive(-1 if axis is None else axis.as_int(), len(_shape(value)))
    if node.op_type == "Log" and node.inputs[0] is not None:
        inner, axis_of_inner = _ending(node.inputs[0])
        return ("log_softmax", axis_of_inner) if inner == "softmax" else ("other", None)
    if node.op_type == "Div" and node.inputs[1] is not None and _is_norm(node.inputs[1]):
        return "l2", 1
    if node.op_type in _PRODUCTS:
        return "linear", None
    if node.op_type == "Add" and any(
        part is not None and (made := part.producer()) is not None and made.op_type in _PRODUCTS
        for part in node.inputs
    ):
        return "linear", None
    return "other", None


def _positive(axis: int, rank: int) -> int | None:
    if rank == 0:
        return None
    return axis % rank


def _moved_axis(
    value: ir.Value, end: ir.Value, axis: int | None, shape: tuple[int | None, ...]
) -> int | None:
    """Where an axis lies in an output behind nodes that move axes; None: that cannot be told."""
    if axis is None:
        return None
    path = []
    while value is not end and (node := value.producer()) is not None:
        assert node.inputs[0] is not None
        path.append(node)
        value = node.inputs[0]
    for node in reversed(path):
        if node.op_type == "Transpose":
            permutation = node.attributes.get("perm")
            order = None if permutation is None else list(permutation.as_ints())
            if order is None or axis not in order:
                return None
            axis = order.index(axis)
        elif node.op_type in _RESHAPING:
            assert node.inputs[0] is not None
            before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
            if axis >= len(before) or before[axis] is None:
                return None
            same = [at for at, size in enumerate(after) if size == before[axis] and at]
            if len(same) != 1:
                return None
            axis = same[0]
    return axis if axis < len(shape) else None


def _is_norm(value: ir.Value) -> bool:
    """Whether a divisor is the length of vectors."""
    for _ in range(8):
        node = value.producer()
        if node is None:
            return False
        if node.op_type == "ReduceL2":
            return True
        if node.op_type not in _OF_NORMS or node.inputs[0] is None:
            return False
        value = node.inputs[0]
    return False


def _joined(value: ir.Value, rank: int) -> tuple[int, tuple[int, ...]] | None:
    """The axis along which an output's kinds of values lie side by side, and how many of each.

    Parts along another axis than the last one joined are of the same kinds, as the levels of a
    detector's head, each of which joins boxes and scores.
    """
    for _ in range(_MOST_STEPS):
        node = value.producer()
        if node is None or not node.inputs or node.inputs[0] is None:
            return None
        if node.op_type == "Concat":
            found = _parts(node, rank)
            inner = _joined(node.inputs[0], rank)
            if inner is None or (found is not None and inner[0] == found[0]):
                return found
            return inner
        if node.op_type == "Transpose":
            inner = _joined(node.inputs[0], rank)
            permutation = node.attributes.get("perm")
            if inner is None or permutation is None:
                return None
            order = list(permutation.as_ints())
            return (order.index(inner[0]), inner[1]) if inner[0] in order else None
        if node.op_type in ("Reshape", "Flatten"):
            return _through_reshape(node, _joined(node.inputs[0], rank))
        if node.op_type not in ("Identity", "Cast", "Sigmoid"):
            return None
        value = node.inputs[0]
    return None


def _parts(node: ir.Node, rank: int) -> tuple[int, tuple[int, ...]] | None:
    axis = node.attributes.get("axis")
    shapes = [_shape(part) for part in node.inputs if part is not None]
    if axis is None or not shapes or any(not shape for shape in shapes):
        return None
    at = _positive(axis.as_int(), len(shapes[0]))
    if not at:
        return None
    sizes = [shape[at] for shape in shapes]
    return None if None in sizes or rank < 2 else (at, tuple(size for size in sizes if size))


def _through_reshape(
    node: ir.Node, inner: tuple[int, tuple[int, ...]] | None
) -> tuple[int, tuple[int, ...]] | None:
    """Where the joined axis lies behind a Reshape that leaves it one."""
    if inner is None or node.inputs[0] is None:
        return None
    before, after = _shape(node.inputs[0]), _shape(node.outputs[0])
    size = sum(inner[1])
    places = [at for at, length in enumerate(after) if length == size and at]
    if len(places) == 1 and None not in before[1:] and math.prod(before[1:] or (1,)):  # type: ignore[arg-type]
        return places[0], inner[1]
    return None
