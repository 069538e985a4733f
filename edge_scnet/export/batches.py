"""Another batch than the file's own: its constants are rewritten, and images that meet are noticed.

Files that were made for one image have their batch in constants: Reshape to 1 x C x 1 x 1, a
position code of one row that is joined to the features. In a tensor that lies row by row in memory,
the batch stands at one place between the axes, and Reshape does not move it: that decides which of
its sizes is the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.errors import ArtifactError
from edge_scnet.export.fold import infer, is_constant, sizes_of
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import add_initializer, expose, free_name
from edge_scnet.graph.run import run_onnx

if TYPE_CHECKING:
    import onnx_ir as ir

# Recurrent layers: sequence lengths, and the states at the start, with the axis of their batch.
_RECURRENT = ("LSTM", "GRU", "RNN")
_RECURRENT_INPUTS = {4: 0, 5: 1, 6: 1}
# Of a tensor's range; what other images in the batch change is above, rounding far below.
_DIFFERENCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """A change of batch."""

    # the file's
    own: int
    wanted: int

    def scaled(self, size: int) -> int:
        """The size of an axis with the wanted batch, from its size with the file's."""
        return size // self.own * self.wanted

    def axis(self, alone: Sequence[int], together: Sequence[int]) -> int | None:
        """The axis that the batch is in, from a tensor's shapes before and after; None: no one."""
        if len(alone) != len(together):
            return None
        changed = [i for i, (a, b) in enumerate(zip(alone, together, strict=True)) if a != b]
        if len(changed) != 1 or alone[changed[0]] % self.own:
            return None
        axis = changed[0]
        return axis if self.scaled(alone[axis]) == together[axis] else None


@dataclass(slots=True, kw_only=True)
class _Change:
    """A graph on its way to another batch."""

    model: ir.Model
    batches: Batches
    # by tensor, with the file's batch
    alone: Mapping[str, tuple[int, ...]]
    # how often the batch repeats inside its axis, by tensor, where it is not the axis's outermost
    outer: dict[str, int] = field(default_factory=dict)

    def place(self, value: ir.Value | None) -> int | None:
        """The axis that the batch of a tensor is in; None where it has none."""
        sizes = sizes_of(value)
        if value is None or sizes is None or str(value.name) not in self.alone:
            return None
        return self.batches.axis(self.alone[str(value.name)], sizes)


def shapes_of(model: ir.Model) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of all tensors whose shape is known, by name."""
    values = [*model.graph.inputs, *(value for node in model.graph for value in node.outputs)]
    known = {str(value.name): sizes_of(value) for value in values}
    return {name: sizes for name, sizes in known.items() if sizes is not None}


def rebatch(model: ir.Model, alone: ir.Model, batches: Batches) -> None:
    """Writes the wanted batch into the constants of a folded graph, in place.

    Args:
        model: has the wanted batch at its inputs.
        alone: the same graph with the file's own batch.

    Raises:
        ArtifactError: a node mixes the images of a batch or does not run with several; an output
            whose first axis is not the batch. Names the node.
    """
    change = _Change(model=model, batches=batches, alone=shapes_of(alone))
    infer(model)
    for node in tuple(model.graph):
        inputs = [value for value in node.inputs if value is not None]
        carriers = [value for value in inputs if change.place(value) is not None]
        if not carriers:
            continue
        if (rewrite := _REWRITES.get(node.op_type)) and rewrite(change, node, carriers):
            infer(model)
        _follow(change, node, carriers)
    counted = counted_outputs(model.graph)
    for value in model.graph.outputs:
        if str(value.name) not in counted:
            _check_output(change, value)


def _follow(change: _Change, node: ir.Node, carriers: Sequence[ir.Value]) -> None:
    """Notes where the batch is behind a node.

    Raises:
        ArtifactError: it is nowhere.
    """
    known = [value for value in node.outputs if str(value.name) in change.alone]
    outer = max(change.outer.get(str(value.name), 1) for value in carriers)
    for value in known:
        if outer > 1:
            change.outer.setdefault(str(value.name), outer)
    if not known or any(change.place(value) is not None for value in known):
        return
    before, after = change.alone[str(known[0].name)], sizes_of(known[0])
    where = f"{node.op_type} at {node.name or known[0].name}"
    if after is None:
        shapes = " and ".join(_words(sizes_of(value)) for value in node.inputs if value is not None)
        why = f"the tensors that {where} reads do not fit: {shapes}"
    else:
        why = f"{where} mixes the images of a batch, or takes one of them: it gives {_words(after)}"
        if before != after:
            why += f", and {_words(before)} at batch {change.batches.own}"
    raise refusal(change.batches, why)


def refusal(batches: Batches, why: str) -> ArtifactError:
    """Returns the error of a file that cannot have the wanted batch."""
    return ArtifactError(
        f"the model cannot be built at batch {batches.wanted}: {why}",
        hint=(
            f"build it at its own batch: --batch {batches.own}; or export it with an open batch,"
            " with no size of a batch written down in its code"
        ),
    )


def _check_output(change: _Change, value: ir.Value) -> None:
    alone, together = change.alone.get(str(value.name)), sizes_of(value)
    if value.is_initializer() or (alone is not None and alone == together):
        return  # the same for all images: what depends on them is refused where it mixes them
    if alone is not None and change.place(value) == 0 and alone[0] == change.batches.own:
        return
    if alone is None or together is None:
        raise refusal(change.batches, f"the size of output {value.name!r} is not known")
    raise refusal(
        change.batches,
        f"the first axis of output {value.name!r} is not the batch: it is {_words(alone)} at batch"
        f" {change.batches.own} and {_words(together)} at batch {change.batches.wanted}",
    )


def _words(sizes: Sequence[int] | None) -> str:
    return "of unknown size" if sizes is None else " x ".join(map(str, sizes)) or "a number"


def _reshape(change: _Change, node: ir.Node, carriers: Sequence[ir.Value]) -> bool:
    """Writes the batch into the sizes of a Reshape; tells whether that changed them."""
    data, wanted = node.inputs[0], change.alone.get(str(node.outputs[0].name))
    if data is None or data is not carriers[0] or wanted is None or not is_constant(node.inputs[1]):
        return False
    axis = change.place(data)
    assert axis is not None and node.inputs[1] is not None
    place = math.prod(change.alone[str(data.name)][:axis]) * change.outer.get(str(data.name), 1)
    written = node.inputs[1].const_value
    assert written is not None
    found = _batch_axis(wanted, written.numpy().tolist(), place=place, own=change.batches.own)
    if found is None:
        return False
    target, outer = found
    change.outer[str(node.outputs[0].name)] = outer
    sizes = list(wanted)
    sizes[target] = change.batches.scaled(sizes[target])
    if tuple(sizes) == sizes_of(node.outputs[0]):
        return False
    _put(change, node, 1, np.array(sizes, np.int64))
    return True


def _batch_axis(
    sizes: Sequence[int], written: Sequence[int], *, place: int, own: int
) -> tuple[int, int] | None:
    """The axis of a Reshape's result that the batch is in, and how often it repeats in that.

    Where several can be, an axis of its own is meant, then one that is left open.

    Args:
        sizes: of the result with the file's own batch.
        written: as the file gives them, which may be -1.
        place: the values in front of the batch.
    """
    candidates, before = [], 1
    for axis, size in enumerate(sizes):
        if place % before == 0 and size % (place // before * own) == 0:
            candidates.append((axis, place // before))
        before *= size

    def order(candidate: tuple[int, int]) -> tuple[bool, bool, bool]:
        axis, outer = candidate
        is_open = axis < len(written) and written[axis] == -1
        return (not (sizes[axis] == own and outer == 1), not is_open, outer != 1)

    return min(candidates, key=order) if candidates else None


def _sized(change: _Change, node: ir.Node, carriers: Sequence[ir.Value]) -> bool:
    """Writes the batch into the sizes of a Resize or Expand; tells whether that changed them."""
    index = 3 if node.op_type == "Resize" else 1
    data = node.inputs[0]
    stored = node.inputs[index] if len(node.inputs) > index else None
    if data is None or data is not carriers[0] or stored is None or stored.const_value is None:
        return False
    axis, before = change.place(data), change.alone[str(data.name)]
    assert axis is not None
    sizes = stored.const_value.numpy().copy()
    at = axis + len(sizes) - len(before)
    # Expand takes its input's size where 1 is written
    if at < 0 or sizes[at] != before[axis] or (node.op_type == "Expand" and sizes[at] == 1):
        return False
    sizes[at] = change.batches.scaled(before[axis])
    _put(change, node, index, sizes)
    return True


def _joined(change: _Change, node: ir.Node, carriers: Sequence[ir.Value]) -> bool:
    """Repeats the constants that a Concat joins to tensors with a batch; tells if there are any."""
    axis = change.place(carriers[0])
    rank = len(change.alone[str(carriers[0].name)])
    if axis is None or axis == node.attributes["axis"].as_int() % rank:
        return False
    repeated = [_repeated(change, node, index, axis) for index in range(len(node.inputs))]
    return any(repeated)


def _recurrent(change: _Change, node: ir.Node, _carriers: Sequence[ir.Value]) -> bool:
    """Repeats the stored states that a recurrent layer starts with; tells if there are any."""
    inputs = [(i, axis) for i, axis in _RECURRENT_INPUTS.items() if i < len(node.inputs)]
    repeated = [_repeated(change, node, index, axis) for index, axis in inputs]
    return any(repeated)


def _repeated(change: _Change, node: ir.Node, index: int, axis: int) -> bool:
    value = node.inputs[index]
    if value is None or not is_constant(value) or value.const_value is None:
        return False
    array = value.const_value.numpy()
    if array.ndim <= axis or array.shape[axis] != change.batches.own:
        return False
    first = np.take(array, [0], axis=axis)
    if not np.array_equal(array, np.repeat(first, change.batches.own, axis=axis)):
        return False
    _put(change, node, index, np.repeat(first, change.batches.wanted, axis=axis))
    return True


def _put(change: _Change, node: ir.Node, index: int, array: np.ndarray) -> None:
    """Gives a node a constant of its own: others may share the one it has."""
    graph = change.model.graph
    name = free_name(graph, f"{node.outputs[0].name}:{index}")
    node.replace_input_with(index, add_initializer(graph, name, array))


_REWRITES: dict[str, Callable[[_Change, ir.Node, Sequence[ir.Value]], bool]] = {
    "Reshape": _reshape,
    "Resize": _sized,
    "Expand": _sized,
    "Concat": _joined,
} | dict.fromkeys(_RECURRENT, _recurrent)


def first_mixing_node(
    alone: ir.Model, together: ir.Model, data: np.ndarray, batches: Batches
) -> ir.Node | None:
    """Returns the first node whose result for an image depends on the others of its batch.

    Args:
        alone: the folded graph with the file's batch; one image fills it.
        together: the folded graph with the wanted batch.
        data: one batch, of images that differ.
    """
    nodes = {str(node.outputs[0].name): node for node in together.graph}
    names = [name for name in shapes_of(alone) if name in nodes and name in shapes_of(together)]
    single = [data[[index] * batches.own] for index in range(batches.wanted)]
    apart = run_onnx(expose(alone, names), single, names)
    whole = run_onnx(expose(together, names), [data], names)[0]
    for index, name in enumerate(names):
        if not _is_stacked([run[index] for run in apart], whole[index], batches):
            return nodes[name]
    return None


def _is_stacked(apart: Sequence[np.ndarray], whole: np.ndarray, batches: Batches) -> bool:
    """Whether a tensor of a batch holds those of its images, one beside the other on some axis."""
    if all(_alike(array, whole) for array in apart):
        return True
    shape = apart[0].shape
    axis = batches.axis(shape, whole.shape)
    for at in range(len(shape)) if axis is None else [axis]:
        size, rest = divmod(shape[at], batches.own)
        if rest or math.prod(whole.shape) * batches.own != math.prod(shape) * batches.wanted:
            continue
        for outer in (n for n in range(1, size + 1) if size % n == 0):
            place = math.prod(shape[:at]) * outer
            rows = whole.reshape(place, batches.wanted, -1)
            images = [array.reshape(place, batches.own, -1)[:, 0] for array in apart]
            if all(_alike(image, rows[:, index]) for index, image in enumerate(images)):
                return True
    return False


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    if a.shape != b.shape:
        return False
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a)
    allowed = _DIFFERENCE * (float(np.ptp(a[finite])) if finite.any() else 0.0)
    return bool(np.allclose(a, b, rtol=0, atol=allowed or _DIFFERENCE, equal_nan=True))
