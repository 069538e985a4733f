"""What a network says of one sample, or the ground truth of it, in the form of its task.

Positions are in pixels of the upright image; where samples are no images, of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from edge_scnet.core.placement import Placement, placement_of
from edge_scnet.tasks.base import Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """One class of several."""

    # indices, the most probable first
    indices: tuple[int, ...]
    # 0 to 1, of the same; empty: of ground truth
    shares: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Labels of which any number can apply."""

    # bool [labels]
    applies: np.ndarray
    # float [labels]: 0 to 1; None: of ground truth
    scores: np.ndarray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Boxes around objects, best first."""

    # float [objects, 4]: x1, y1, x2, y2
    corners: np.ndarray
    # int [objects]: indices
    classes: np.ndarray
    # float [objects]: 0 to 1; None: of ground truth
    scores: np.ndarray | None = None
    # the score from which they are shown; the others are left out
    threshold: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """A class for each pixel of a map."""

    # int [height, width]: indices
    classes: np.ndarray
    # where the image lies in the map: x of the map = x of the image * scale + offset
    placement: Placement
    # the value of what is not judged; None: there is none
    ignore: int | None = None

    def at_image(self, width: int, height: int) -> npt.NDArray[np.int64]:
        """The class of each pixel of the image [height, width]; -1: the map does not have it."""
        columns = _cells(width, self.placement.scale_x, self.placement.offset_x)
        rows = _cells(height, self.placement.scale_y, self.placement.offset_y)
        high, wide = self.classes.shape
        inside = ((rows >= 0) & (rows < high))[:, None] & ((columns >= 0) & (columns < wide))
        found = self.classes[np.clip(rows, 0, high - 1)][:, np.clip(columns, 0, wide - 1)]
        if self.ignore is not None:
            inside &= found != self.ignore
        return np.where(inside, found, -1).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """Points of an object, in the order of their names."""

    # float [points, 2]: x and y
    positions: np.ndarray
    # bool [points]
    visible: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """Numbers, each with a meaning of its own."""

    # float [columns], in the outputs' own units
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """Numbers that mean something together alone."""

    # float [length]
    values: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """An output that nobody said the meaning of."""

    name: str
    # without the batch axis
    shape: tuple[int, ...]
    # NumPy's name of the type
    dtype: str
    # of its finite values; None: it has none
    low: float | None
    high: float | None
    mean: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """All outputs, by their ranges."""

    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What only sentences can say, as of a user's own task."""

    lines: tuple[str, ...]


Form = Classes | Labels | Objects | Mask | Points | Numbers | Vector | Outputs | Words


@dataclass(frozen=True, slots=True, kw_only=True)
class Readout:
    """What is said of one sample."""

    task: str
    form: Form
    # of what the form's indices and columns are; empty: they are numbered
    names: tuple[str, ...] = ()

    def name_of(self, index: int) -> str:
        """The name of a class, label, point or column; its number where nobody named it."""
        if 0 <= index < len(self.names):
            return self.names[index]
        kind = {Labels: "label", Points: "point", Numbers: "value"}.get(type(self.form), "class")
        return f"{kind} {index}"


def scaled(readout: Readout, x: float, y: float) -> Readout:
    """The same for an image that is so many times as wide and as high."""
    form = readout.form
    if isinstance(form, Objects):
        form = replace(form, corners=np.asarray(form.corners, np.float64) * (x, y, x, y))
    elif isinstance(form, Points):
        form = replace(form, positions=np.asarray(form.positions, np.float64) * (x, y))
    elif isinstance(form, Mask):
        at = form.placement
        at = replace(at, scale_x=at.scale_x / x, scale_y=at.scale_y / y)
        form = replace(form, placement=at)
    return replace(readout, form=form)


@runtime_checkable
class Reader(Protocol):
    """An evaluator that can say what the outputs for one sample mean."""

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """What an engine says of a sample.

        Args:
            outputs: by output, a batch of this sample.
            index: of the sample in the set.

        Raises:
            DataError: the outputs are not those of such a task, or a user's function fails.
        """
        ...


def read(evaluator: object, context: Context, outputs: Sequence[np.ndarray], index: int) -> Readout:
    """What an engine says of a sample, by the evaluator of its task; by ranges where that has no
    words for it.

    Args:
        evaluator: None: the largest column of the first output.
        outputs: by output, a batch of this sample.

    Raises:
        DataError: as `Reader.read`.
    """
    if evaluator is None:
        return read_classes(outputs[0], context.spec.classes)
    if isinstance(evaluator, Reader):
        return evaluator.read(outputs, index)
    return read_outputs(str(getattr(evaluator, "task", "")), context, outputs)


def read_classes(logits: np.ndarray, names: tuple[str, ...], *, top: int = 5) -> Readout:
    """The most probable classes.

    Args:
        logits: [1, classes].
    """
    from edge_scnet.stats.accuracy import top_k

    best, shares = (array[0].tolist() for array in top_k(np.asarray(logits)[:1], top))
    return Readout(
        task="classification",
        form=Classes(indices=tuple(best), shares=tuple(shares)),
        names=names,
    )


def read_outputs(task: str, context: Context, outputs: Sequence[np.ndarray]) -> Readout:
    """The shapes and ranges of outputs."""
    return Readout(
        task=task,
        form=Outputs(
            outputs=tuple(
                _range_of(context.output_name(number), array)
                for number, array in enumerate(outputs)
            )
        ),
    )


def truth_of(context: Context, index: int, task: str) -> Readout | None:
    """The ground truth of a sample; None: there is none, or none that can be shown."""
    targets = context.targets
    if targets is None:
        if context.labels is None:
            return None
        form: Form = Classes(indices=(context.labels[index],))
        return Readout(task=task, form=form, names=context.spec.classes)
    found = targets.at(index)
    names = context.spec.classes or targets.names
    if targets.kind == "boxes":
        form = Objects(corners=found.corners, classes=found.classes)
    elif targets.kind == "mask":
        form = _true_mask(context, index, np.asarray(found))
    elif targets.kind == "keypoints":
        points = np.asarray(found)
        form = Points(positions=points[:, :2], visible=points[:, 2] > 0)
        names = targets.names
    elif targets.kind == "labels":
        form = Labels(applies=np.asarray(found) > 0)
        names = targets.names or names
    elif targets.kind == "values":
        form, names = Numbers(values=np.asarray(found).ravel()), targets.names
    else:
        form, names = Words(lines=(f"identity {found}",)), ()
    return Readout(task=task, form=form, names=names)


def placement_in_map(context: Context, index: int, shape: tuple[int, ...]) -> Placement:
    """Where a sample's image lies in a map that covers the network's input.

    Args:
        shape: height and width of the map.
    """
    spec = context.spec
    width, height = shape[1] / spec.width, shape[0] / spec.height
    if not context.image_sizes:
        return Placement(scale_x=width, scale_y=height, offset_x=0.0, offset_y=0.0)
    placed = placement_of(context.image_sizes[index], spec)
    return Placement(
        scale_x=placed.scale_x * width,
        scale_y=placed.scale_y * height,
        offset_x=placed.offset_x * width,
        offset_y=placed.offset_y * height,
    )


def _true_mask(context: Context, index: int, mask: np.ndarray) -> Mask:
    """A mask of ground truth, which has its image's size; of arrays that of the input."""
    ignore, foreground = (context.arguments.get(name) for name in ("ignore", "foreground"))
    ignore = 255 if ignore is None else int(ignore)
    if foreground is not None:
        mask = np.where(mask == foreground, 1, np.where(mask == ignore, mask, 0))
    own = Placement(scale_x=1.0, scale_y=1.0, offset_x=0.0, offset_y=0.0)
    is_image = bool(context.image_sizes)
    placement = own if is_image else placement_in_map(context, index, mask.shape)
    return Mask(classes=mask, placement=placement, ignore=ignore)


def _cells(count: int, scale: float, offset: float) -> npt.NDArray[np.int64]:
    """The cells of a map that the centres of an image's pixels lie in."""
    centres = np.arange(count, dtype=np.float64) + 0.5
    # a centre on the edge between two cells belongs to the later one, whatever it is rounded to
    return np.floor(centres * scale + offset + 1e-9).astype(np.int64)


def _range_of(name: str, array: np.ndarray) -> Output:
    values = np.asarray(array)
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    some = finite.size > 0 and finite.dtype.kind in "fiub"
    return Output(
        name=name,
        shape=tuple(values.shape[1:]),
        dtype=str(values.dtype),
        low=float(finite.min()) if some else None,
        high=float(finite.max()) if some else None,
        mean=float(finite.mean(dtype=np.float64)) if some else None,
    )
