"""Keypoints: the normalised mean error, or the distance from FP32's points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_scnet.core.placement import placement_of
from edge_scnet.errors import DataError
from edge_scnet.stats.chance import better_than
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks import vectors
from edge_scnet.tasks.arguments import OUTPUT, checked, one_of, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.maps import layout_of
from edge_scnet.tasks.metrics import Kind, mean_over_samples, packed, worst_of
from edge_scnet.tasks.readout import Points, Readout
from edge_scnet.tasks.vectors import Values

TASK = "keypoints"
# Of a normalised error in %: points as far off as half of the object is large.
_MOST_ERROR = 50.0
_LAYOUTS = ("xyxy", "xxyy", "points", "heatmaps")
_ARGUMENTS = {
    "output": OUTPUT,
    "layout": (
        "xyxy (x and y in turn), xxyy (all x, then all y), points (N x points x 2 or 3) or heatmaps"
    ),
    "units": "unit (0 to 1 of the input) or pixels of the input",
    "normalise_by": (
        "what an error is relative to: size (of the box around the points), image, or two points'"
        " numbers, as [36, 45] for the eyes"
    ),
}


def evaluator(context: Context) -> Keypoints:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or targets that are no keypoints.
    """
    given = checked(TASK, context, _ARGUMENTS)
    vectors.truths(replace(context, count=0), TASK, ("keypoints",))
    normalise_by = given.get("normalise_by", "size")
    is_pair = (
        isinstance(normalise_by, (list, tuple))
        and len(normalise_by) == 2
        and all(type(each) is int and each >= 0 for each in normalise_by)
        and normalise_by[0] != normalise_by[1]
    )
    if not is_pair and normalise_by not in ("size", "image"):
        raise DataError(
            f"keypoints: normalise_by is {normalise_by!r}; it is {_ARGUMENTS['normalise_by']}",
            hint='--task-args \'{"normalise_by": "size"}\'',
        )
    return Keypoints(
        context=context,
        output=output_of(TASK, context),
        layout=one_of(TASK, given, "layout", _LAYOUTS),
        units=one_of(TASK, given, "units", ("unit", "pixels")),
        normalise_by=tuple(normalise_by) if is_pair else normalise_by,
    )


@dataclass(frozen=True, slots=True)
class _InPixels:
    """Points whose units are known."""

    points: Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypoints:
    """Keeps each sample's points."""

    context: Context
    output: int
    layout: str | None
    units: str | None
    normalise_by: str | tuple[int, ...]
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, its points [points, 2] in the output's units; of heatmaps in pixels.

        All samples together tell the units, in `compare`.

        Raises:
            DataError: the output holds no points.
        """
        own = outputs[self.output]
        layout = self.layout or layout_told(own.shape)
        if layout == "heatmaps":
            return [_InPixels(each) for each in _peaks(self._heatmaps(own), self._size())]
        return list(self._points(own, layout))

    def _size(self) -> Values:
        return np.array([self.context.spec.width, self.context.spec.height], np.float64)

    def _heatmaps(self, array: np.ndarray) -> np.ndarray:
        """Heatmaps as [samples, points, height, width].

        Raises:
            DataError: they are none, or their shape does not tell which axis is which.
        """
        name, shape = self.context.output_name(self.output), " x ".join(map(str, array.shape))
        if array.ndim != 4:
            raise DataError(
                f"keypoints: {name} has the shape {shape}; heatmaps are samples x points x height"
                " x width",
                hint='--task-args \'{"layout": "xyxy"}\'',
            )
        if self.layout is None and array.shape[1] == array.shape[3]:
            raise DataError(
                f"keypoints: {name} has the shape {shape}, which does not tell the points' axis",
                hint='--task-args \'{"layout": "heatmaps"}\' for samples x points x height x width',
            )
        head, seen = self.context.head(self.output), self.context.spec.input_shape
        is_last = layout_of(array.shape, head, seen) == "NHWC"
        return np.moveaxis(array, -1, 1) if is_last else array

    def in_pixels(self, kept: Sequence[Any], reference: Sequence[Any]) -> Values:
        """The points that were kept, [samples, points, 2], in pixels of the input.

        Args:
            reference: the reference's of the same samples, which tell the units.
        """
        if kept and isinstance(kept[0], _InPixels):
            return np.array([each.points for each in kept])
        points, others = (np.array(each, np.float64) for each in (kept, reference))
        return points * self._size() if self._in_unit(others) else points

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The points in pixels of the image.

        Raises:
            DataError: the output holds no points.
        """
        of_one = [array[:1] for array in outputs]
        targets, kept = self.context.targets, self.reduce(of_one, of_one, [index])
        (points,) = self.in_pixels(kept, kept)
        if self.context.image_sizes:
            points = placement_of(self.context.image_sizes[index], self.context.spec).to_image(
                points
            )
        return Readout(
            task=TASK,
            form=Points(positions=points, visible=np.ones(len(points), bool)),
            names=() if targets is None else targets.names,
        )

    def _in_unit(self, reference: Values) -> bool:
        """Whether points are from 0 to 1 of the input: as said, or as the reference's are."""
        if self.units is not None:
            return self.units == "unit"
        head = self.context.head(self.output)
        if head is not None and head.ending == "sigmoid":
            return True
        return bool(np.abs(reference).max(initial=0.0) <= 2.0)

    def _points(self, array: np.ndarray, layout: str) -> Values:
        name = self.context.output_name(self.output)
        if layout == "points":
            if array.ndim != 3 or array.shape[2] < 2:
                raise DataError(
                    f"keypoints: {name} has the shape {' x '.join(map(str, array.shape))}; wanted"
                    " is samples x points x 2 or 3",
                    hint='--task-args \'{"layout": "xyxy"}\'',
                )
            return array[:, :, :2].astype(np.float64)
        flat = array.reshape(len(array), -1).astype(np.float64)
        if flat.shape[1] % 2:
            raise DataError(
                f"keypoints: {name} has {flat.shape[1]} values a sample, which are no x and y in"
                " pairs",
                hint='--task-args \'{"layout": "points"}\', or --task regression',
            )
        if layout == "xxyy":
            half = flat.shape[1] // 2
            return np.stack([flat[:, :half], flat[:, half:]], axis=2)
        return flat.reshape(len(flat), -1, 2)

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """The normalised mean error where points are known; the distance from FP32.

        Raises:
            DataError: the truth has another number of points, none is visible, or there is no
                length that errors are relative to.
        """
        points, others = (self.in_pixels(each, reference) for each in (own, reference))
        count = points.shape[1]
        distance = np.linalg.norm(points - others, axis=2)
        metrics, doubts = _to_reference(distance, others)
        losses, errors = distance.mean(axis=1), None
        truth = self._truth(count)
        if truth is not None:
            mine, theirs = (self._errors(each, truth) for each in (points, others))
            metrics = [*_against_truth(mine, theirs), *metrics]
            errors = mine[0]
            losses = mine[0] - theirs[0]
            # one point for all samples, where FP32's own are in the middle
            middle = np.broadcast_to(np.median(others, axis=0), others.shape)
            doubts = (*doubts, *_doubts(theirs[0], self._errors(middle, truth)[0]))
        names = self.context.targets.names if self.context.targets else ()
        named = [
            f"{axis} of {names[i] if i < len(names) else f'point {i}'}"
            for i in range(count)
            for axis in "xy"
        ]
        flat, other_flat = (each.reshape(len(each), -1) for each in (points, others))
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=self.context.targets.rule if self.context.targets else None,
            metrics=tuple(metrics),
            slices=vectors.column_slices(self.context, self.output, flat, other_flat, named),
            doubts=doubts,
            worst=worst_of(self.context, losses),
            per_sample=None if errors is None else packed(self.context, errors),
        )

    def check_truth(self, kept: Any) -> None:
        """Holds the truth to the points that were kept of a sample, before all samples run.

        Raises:
            DataError: it has another number of points, or none is visible.
        """
        self._truth(len(kept.points if isinstance(kept, _InPixels) else kept))

    def _truth(self, count: int) -> list[Values] | None:
        found = vectors.truths(self.context, TASK, ("keypoints",))
        if found is None:
            return None
        truth = [np.asarray(each, np.float64).reshape(-1, 3) for each in found]
        for index, each in enumerate(truth):
            if len(each) != count:
                raise DataError(
                    f"{self.context.name_of(index)} has {len(each)} keypoints, the output {count}",
                    hint="--task-args '{\"layout\": ...}'; or give the network's points, in order",
                )
        if not any((each[:, 2] > 0).any() for each in truth):
            raise DataError(
                "the ground truth is empty: no keypoint of any sample is visible",
                hint="look at what is read: edge-scnet data check MODEL --eval DATA",
            )
        return truth

    def _errors(self, points: Values, truth: list[Values]) -> tuple[Values, Values]:
        """By sample, the normalised error in % and the error in pixels of the image."""
        normalised, absolute = np.full(len(points), np.nan), np.full(len(points), np.nan)
        for index, (each, known) in enumerate(zip(points, truth, strict=True)):
            visible = known[:, 2] > 0
            if not visible.any():
                continue
            in_image = each
            if self.context.image_sizes:
                placement = placement_of(self.context.image_sizes[index], self.context.spec)
                in_image = placement.to_image(each)
            error = np.linalg.norm(in_image - known[:, :2], axis=1)[visible].mean()
            absolute[index] = error
            normalised[index] = 100.0 * error / self._scale(known, visible, index)
        if np.isnan(normalised).all():
            raise DataError(
                f"keypoints: normalise_by is {self.normalise_by!r}, and no sample has such a length"
                " between visible points: nothing is there that errors are relative to",
                hint='--task-args \'{"normalise_by": "image"}\'',
            )
        return normalised, absolute

    def _scale(self, known: Values, visible: np.ndarray, index: int) -> float:
        """What an error is relative to, in pixels."""
        if isinstance(self.normalise_by, tuple):
            a, b = self.normalise_by
            if max(a, b) >= len(known):
                raise DataError(
                    f"keypoints: normalise_by names the point {max(a, b)}; there are {len(known)},"
                    " from 0",
                    hint='--task-args \'{"normalise_by": "image"}\'',
                )
            if not (visible[a] and visible[b]):
                return np.nan
            length = float(np.linalg.norm(known[a, :2] - known[b, :2]))
        elif self.normalise_by == "image":
            sizes = self.context.image_sizes
            spec = self.context.spec
            length = float(np.hypot(*(sizes[index] if sizes else (spec.width, spec.height))))
        else:
            extent = np.ptp(known[visible, :2], axis=0)
            length = float(np.sqrt(extent[0] * extent[1]))
        return length if length > 0 else np.nan


def layout_told(shape: tuple[int, ...]) -> str:
    """The layout that an output of this shape has, where nobody says it.

    Args:
        shape: with the samples in front.
    """
    if len(shape) == 4:
        return "heatmaps"
    if len(shape) == 3 and shape[2] in (2, 3):
        return "points"
    return "xyxy"


def _peaks(maps: np.ndarray, size: Values) -> Values:
    """The highest place of each map, in pixels of the input, a quarter towards its neighbour.

    As in B. Xiao, H. Wu, Y. Wei, Simple Baselines for Human Pose Estimation, ECCV 2018.

    Args:
        maps: [samples, points, height, width].
    """
    count, points, height, width = maps.shape
    flat = maps.reshape(count * points, height, width).astype(np.float64)
    y, x = np.unravel_index(flat.reshape(len(flat), -1).argmax(axis=1), (height, width))
    each = np.arange(len(flat))
    padded = np.pad(flat, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = np.sign(padded[each, y + 1, x + 2] - padded[each, y + 1, x])
    below = np.sign(padded[each, y + 2, x + 1] - padded[each, y, x + 1])
    found = np.stack([x + 0.5 + 0.25 * right, y + 0.5 + 0.25 * below], axis=1)
    scaled: Values = (found * size / (width, height)).reshape(count, points, 2)
    return scaled


def _to_reference(distance: Values, reference: Values) -> tuple[list[Metric], tuple[str, ...]]:
    """The distance from FP32's points, relative to how far these are spread over the samples."""
    centre = reference.mean(axis=0, keepdims=True)
    spread = np.sqrt(np.square(reference - centre).sum(axis=2).mean(axis=0))
    known = spread > 1e-7 * np.abs(reference).max(initial=0.0)
    pixels = Kind(name="distance from FP32", unit="px", higher_is_better=False)
    absolute = mean_over_samples(pixels, distance.mean(axis=1), None)
    if not known.any():
        return [absolute], ("FP32 gives the same points for every sample",)
    relative = 100.0 * (distance[:, known] / spread[known]).mean(axis=1)
    kind = Kind(name="error to FP32", unit="%", higher_is_better=False)
    return [mean_over_samples(kind, relative, None), absolute], ()


def _against_truth(own: tuple[Values, Values], reference: tuple[Values, Values]) -> list[Metric]:
    return [
        mean_over_samples(
            Kind(name="normalised mean error", unit="%", higher_is_better=False),
            own[0],
            reference[0],
        ),
        mean_over_samples(
            Kind(name="mean error", unit="px", higher_is_better=False), own[1], reference[1]
        ),
    ]


def _doubts(errors: Values, constant: Values) -> tuple[str, ...]:
    """Why the samples prove nothing.

    FP32's own points are as far off as half of the object is large, or no nearer than the same
    points for every sample.

    Args:
        errors: by sample, FP32's own in %.
        constant: those of the middle of FP32's points, over all samples.
    """
    mean = float(np.nanmean(errors))
    if mean < _MOST_ERROR and better_than(errors, constant):
        return ()
    beside = "" if mean >= _MOST_ERROR else f", of one place for all {np.nanmean(constant):.3g} %"
    return (
        f"FP32's own normalised error is {mean:.3g} %{beside}: are the preprocessing, the layout"
        " and the units of the points the network's?",
    )
