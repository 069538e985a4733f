"""Segmentation: the class of each pixel, against masks, or against the reference's map.

Intersections and areas by class are counted over all samples together, as is usual for mIoU (M.
Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2015, section 5). Without masks
the pixel agreement alone would hide a rare class, so mIoU against the reference's map goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.stats.chance import NEXT_TO_CHANCE
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks import maps
from edge_scnet.tasks.arguments import OUTPUT, checked, number, one_of, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import Kind, bootstrapped, worst_of
from edge_scnet.tasks.readout import Mask, Readout, placement_in_map

TASK = "segmentation"
# Fewer pixels of a class in all samples say nothing about it.
_LEAST_PIXELS = 100
_UNTOLD_CLASSES = 256
# So many are read in seconds.
_CHECKED_MASKS = 500
_ARGUMENTS = {
    "output": OUTPUT,
    "threshold": "of a map with one channel: above it is class 1",
    "layout": "NCHW or NHWC",
    "ignore": "the masks' value that is not judged, 255 by default",
    "foreground": "the masks' value that is class 1 of a map with one channel",
    "at": "network (masks are read at the map's pixels) or image (at all pixels of the image)",
}

# Rows of what is kept of a sample, [6, classes]: pixels by class.
_HIT, _OWN, _TRUE, _SAME, _ALL, _REFERENCE = range(6)


def evaluator(context: Context) -> Segmentation:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or targets that are no masks.
    """
    given = checked(TASK, context, _ARGUMENTS)
    if context.targets is not None and context.targets.kind != "mask":
        raise DataError(
            f"segmentation is judged by masks, the samples have {context.targets.kind}",
            hint="give masks, or leave the targets out: --ignore-labels",
        )
    ignore = number(TASK, given, "ignore")
    return Segmentation(
        context=context,
        output=output_of(TASK, context, default=maps.first_map(context)),
        threshold=number(TASK, given, "threshold"),
        layout=one_of(TASK, given, "layout", ("NCHW", "NHWC")),
        ignore=255 if ignore is None else int(ignore),
        foreground=number(TASK, given, "foreground"),
        at_image=one_of(TASK, given, "at", ("network", "image")) == "image",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmentation:
    """Counts pixels by class."""

    context: Context
    output: int
    threshold: float | None = None
    layout: str | None = None
    ignore: int = 255
    foreground: float | None = None
    at_image: bool = False
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """Pixels by class of each sample, [6, classes].

        Raises:
            DataError: the output is no map, or a mask does not fit it.
        """
        own_maps, classes = self._maps(outputs[self.output])
        reference_maps = own_maps if outputs is reference else self._maps(reference[self.output])[0]
        return [
            self._counts(own, other, classes, index)
            for own, other, index in zip(own_maps, reference_maps, indices, strict=True)
        ]

    def _maps(self, array: np.ndarray) -> tuple[npt.NDArray[np.int64], int]:
        """The class of each pixel [samples, height, width], and the number of classes."""
        known = len(self.context.spec.classes) or self.context.spec.num_classes
        if array.dtype.kind != "f":
            whole = maps.as_planes(array, TASK, self.context.output_name(self.output))
            return whole.astype(np.int64), max(known or 0, _UNTOLD_CLASSES)
        channels = maps.channels_first(
            array, self.context, layout=self.layout, output=self.output, task=TASK
        )
        if channels.shape[1] > 1:
            return channels.argmax(axis=1), channels.shape[1]
        limit = self.threshold
        if limit is None:
            limit = maps.threshold_of(self.context.head(self.output))
        return (channels[:, 0] > limit).astype(np.int64), 2

    def _counts(
        self, own: npt.NDArray[np.int64], other: npt.NDArray[np.int64], classes: int, index: int
    ) -> npt.NDArray[np.int64]:
        def count(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
            # a map of whole numbers may say -1: no class
            return np.bincount(values[values >= 0], minlength=classes)

        # what FP32 gives no class is not judged
        said = other >= 0
        same, all_own, all_other = count(own[own == other]), count(own[said]), count(other[said])
        kept = np.zeros((6, max(classes, len(all_own), len(all_other))), np.int64)
        for row, values in ((_SAME, same), (_ALL, all_own), (_REFERENCE, all_other)):
            kept[row, : len(values)] = values
        if self.context.targets is not None:
            truth, seen = self._truth(own, classes, index)
            judged = truth != self.ignore
            for row, values in (
                (_HIT, count(seen[judged & (seen == truth)])),
                (_OWN, count(seen[judged])),
                (_TRUE, count(truth[judged])),
            ):
                kept[row, : len(values)] = values
        return kept

    def _truth(
        self, own: npt.NDArray[np.int64], classes: int, index: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The mask and the map on the same pixels.

        Raises:
            DataError: the mask has another size than the image, or classes that the network has
                not.
        """
        mask = self._mask(classes, index)
        if self.at_image:
            return maps.at_image(self.context, index, own, mask, ignore=self.ignore)
        return maps.at_network(self.context, index, own, mask, ignore=self.ignore), own

    def check_truth(self, kept: npt.NDArray[np.int64]) -> None:
        """Holds the first masks' values to what was kept of a sample, before all samples run.

        Raises:
            DataError: a mask has classes that the network has not.
        """
        if self.context.targets is not None:
            for index in range(min(self.context.targets.count, _CHECKED_MASKS)):
                self._mask(kept.shape[1], index)

    def _mask(self, classes: int, index: int) -> npt.NDArray[np.int64]:
        """The class of each pixel of a mask.

        Raises:
            DataError: it has classes that the network has not.
        """
        assert self.context.targets is not None
        mask = np.asarray(self.context.targets.at(index))
        if mask.ndim != 2 or mask.dtype.kind not in "iub":
            raise DataError(
                f"the mask of {self.context.name_of(index)} is {mask.dtype} of shape {mask.shape};"
                " wanted are whole numbers, height x width",
                hint="save masks as grey PNG, one class number a pixel",
            )
        mask = mask.astype(np.int64)
        if self.foreground is not None:
            mask = np.where(mask == self.foreground, 1, np.where(mask == self.ignore, mask, 0))
        strange = mask[(mask != self.ignore) & ((mask >= classes) | (mask < 0))]
        if strange.size:
            raise DataError(
                f"the mask of {self.context.name_of(index)} holds the class {strange.max()}; the"
                f" network has {classes}, from 0",
                hint=(
                    f"--task-args '{{\"ignore\": {strange.max()}}}' where it is not judged, or"
                    f" '{{\"foreground\": {strange.max()}}}' where it is class 1 of two"
                ),
            )
        return mask

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The class of each pixel of the map.

        Raises:
            DataError: the output is no map.
        """
        array = outputs[self.output][:1]
        (own, *_), _ = self._maps(array)
        names = self.context.spec.classes
        return Readout(
            task=TASK,
            form=Mask(classes=own, placement=placement_in_map(self.context, index, own.shape)),
            names=("background", *names) if len(names) == 1 else names,
        )

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """mIoU and pixel agreement against the reference's map; with masks mIoU against these.

        Raises:
            DataError: no pixel of any mask is judged.
        """
        size = max(each.shape[1] for each in (*own, *reference))
        mine = np.stack([_padded(each, size) for each in own]).astype(np.float64)
        others = np.stack([_padded(each, size) for each in reference]).astype(np.float64)
        metrics = _against_reference(mine)
        truth, losses = None, 1.0 - _iou_of_each(mine[:, _SAME], mine[:, _ALL], mine[:, _REFERENCE])
        if self.context.targets is not None:
            if not others[:, _TRUE].any():
                raise DataError(
                    f"the ground truth is empty: every pixel of the masks is {self.ignore},"
                    " which is not judged",
                    hint=(
                        f'--task-args \'{{"foreground": {self.ignore}, "ignore": -1}}\' where it'
                        " is class 1"
                    ),
                )
            truth = self.context.targets.rule
            metrics = [*_against_truth(mine, others), *metrics]
            losses = _iou_of_each(
                others[:, _HIT], others[:, _OWN], others[:, _TRUE]
            ) - _iou_of_each(mine[:, _HIT], mine[:, _OWN], mine[:, _TRUE])
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=truth,
            metrics=tuple(metrics),
            doubts=_doubts(others, has_truth=truth is not None),
            worst=worst_of(self.context, losses),
        )


def _padded(kept: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    return np.pad(kept, ((0, 0), (0, size - kept.shape[1])))


def _iou_of_each(
    hit: npt.NDArray[np.float64], own: npt.NDArray[np.float64], true: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mIoU of each sample alone, over the classes that it has; NaN where it has none."""
    union = own + true - hit
    present = true > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(present, hit / union, 0.0)
        values: npt.NDArray[np.float64] = ratios.sum(axis=1) / present.sum(axis=1)
    return values


def _miou(
    hit: npt.NDArray[np.float64],
    own: npt.NDArray[np.float64],
    true: npt.NDArray[np.float64],
    weights: Weights,
) -> npt.NDArray[np.float64]:
    """mIoU in % of each resample, over the classes that the truth has in it.

    Args:
        hit, own, true: [samples, classes], pixels.
    """
    enough = true.sum(axis=0) >= _LEAST_PIXELS
    if not enough.any():
        enough = true.sum(axis=0) > 0
    hits, owns, trues = (weights @ array[:, enough] for array in (hit, own, true))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = np.where(trues > 0, hits / (owns + trues - hits), np.nan)
        known = ~np.isnan(ratios)
        values: npt.NDArray[np.float64] = (
            100.0 * np.where(known, ratios, 0.0).sum(axis=1) / known.sum(axis=1)
        )
    return values


def _accuracy(
    hit: npt.NDArray[np.float64], true: npt.NDArray[np.float64], weights: Weights
) -> npt.NDArray[np.float64]:
    """The share of the pixels that are right, in %, of each resample."""
    values: npt.NDArray[np.float64] = (
        100.0 * (weights @ hit.sum(axis=1)) / (weights @ true.sum(axis=1))
    )
    return values


def _against_reference(kept: npt.NDArray[np.float64]) -> list[Metric]:
    same, own, reference = (kept[:, row] for row in (_SAME, _ALL, _REFERENCE))
    return [
        bootstrapped(
            Kind(name="mIoU to FP32", unit="%", perfect=100.0),
            partial(_miou, same, own, reference),
            None,
            len(kept),
        ),
        bootstrapped(
            Kind(name="pixel agreement", unit="%", perfect=100.0),
            partial(_accuracy, same, reference),
            None,
            len(kept),
        ),
    ]


def _against_truth(
    own: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]
) -> list[Metric]:
    own_rows, other_rows = (
        [kept[:, row] for row in (_HIT, _OWN, _TRUE)] for kept in (own, reference)
    )
    return [
        bootstrapped(
            Kind(name="mIoU", unit="%"),
            partial(_miou, *own_rows),
            partial(_miou, *other_rows),
            len(own),
        ),
        bootstrapped(
            Kind(name="pixel accuracy", unit="%"),
            partial(_accuracy, own_rows[0], own_rows[2]),
            partial(_accuracy, other_rows[0], other_rows[2]),
            len(own),
        ),
    ]


def _doubts(reference: npt.NDArray[np.float64], *, has_truth: bool) -> tuple[str, ...]:
    """Why the samples prove nothing: FP32's map is one class throughout, or no better than one."""
    areas = reference[:, _ALL].sum(axis=0)
    if areas.max() >= areas.sum():
        return (
            f"FP32's map is class {int(areas.argmax())} throughout: these samples show nothing of"
            " the others",
        )
    if not has_truth:
        return ()
    hit, own_area, true = (reference[:, row] for row in (_HIT, _OWN, _TRUE))
    own = float(_miou(hit, own_area, true, np.ones((1, len(reference))))[0])
    present = true.sum(axis=0) > 0
    constant = 100.0 * float(true.sum(axis=0).max() / true.sum()) / int(present.sum())
    chance = _by_chance(own_area.sum(axis=0), true.sum(axis=0))
    least = max(constant, chance + NEXT_TO_CHANCE * (100.0 - chance))
    if own > least:
        return ()
    words = "one class" if constant == least else "as large areas anywhere, and next to them"
    return (
        f"FP32's own mIoU is {own:.1f} %, no more than the {least:.1f} % of a map of {words}:"
        " are the preprocessing and the masks' classes the network's?",
    )


def _by_chance(own: npt.NDArray[np.float64], true: npt.NDArray[np.float64]) -> float:
    """The mIoU in % of a map that does not know the masks, with as many pixels of each class.

    Of the shares p of the map and q of the masks p q pixels meet, of p + q - p q.

    Args:
        own, true: [classes], pixels.
    """
    p, q = own / own.sum(), true / true.sum()
    present = q > 0
    both = (p * q)[present]
    return 100.0 * float((both / (p + q - p * q)[present]).mean())
