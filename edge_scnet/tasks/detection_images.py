"""What single images tell of detections: how well each object is covered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_scnet.core.targets import Boxes
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.tasks.decoders.base import Detections

# Of an object that is found.
_LEAST_IOU = 0.5


def boxes_of(found: Detections, threshold: float) -> Boxes:
    """The detections from a score on, as if they were ground truth."""
    chosen = found.scores >= threshold
    corners = found.corners[chosen]
    sizes = corners[:, 2:] - corners[:, :2]
    return Boxes(
        corners=corners,
        classes=found.classes[chosen],
        crowd=np.zeros(len(corners), bool),
        areas=sizes[:, 0] * sizes[:, 1],
    )


def overlaps_with(truth: Boxes, found: Detections, threshold: float) -> npt.NDArray[np.float64]:
    """The IoU of each object with the detection that is its own; 0: it has none.

    The best scored detection chooses first, the object of its class that it shares most with, half
    of the union or more.

    Args:
        threshold: detections that score less have no object.
    """
    chosen = found.scores >= threshold
    shared = _iou(found.corners[chosen], truth.corners)
    shared[found.classes[chosen][:, None] != truth.classes[None, :]] = 0.0
    shared[:, truth.crowd] = 0.0
    overlaps = np.zeros(len(truth.classes))
    for of_objects in shared if shared.size else ():
        free = np.where(overlaps > 0, 0.0, of_objects)
        best = int(free.argmax())
        if free[best] >= _LEAST_IOU:
            overlaps[best] = free[best]
    return overlaps


def quality(truth: Boxes, found: Detections, threshold: float) -> float:
    """How well the objects of one image are covered, 0 to 1: the sum of their IoUs over the number
    of objects and of detections without one."""
    overlaps = overlaps_with(truth, found, threshold)
    objects, detections = int((~truth.crowd).sum()), int((found.scores >= threshold).sum())
    either = objects + detections - int(np.count_nonzero(overlaps))
    return float(overlaps.sum()) / either if either else 1.0


def right_of(truth: Boxes, found: Detections, threshold: float) -> tuple[int, int]:
    """How many detections from a score on are right, and how many objects and detections there are.

    Detections without an object of which half lies in a crowd of their class are left out, as COCO
    has it. F1 is 2 x right / both.
    """
    right = int(np.count_nonzero(overlaps_with(truth, found, threshold)))
    said = boxes_of(found, threshold)
    objects, detections = int((~truth.crowd).sum()), len(said.classes)
    if truth.crowd.any() and detections:
        inside = _share_inside(said.corners, truth.corners[truth.crowd])
        same = said.classes[:, None] == truth.classes[truth.crowd][None, :]
        in_crowd = int(((inside >= _LEAST_IOU) & same).any(axis=1).sum())
        detections = max(right, detections - in_crowd)
    return right, objects + detections


def f1_of(tallies: npt.NDArray[np.float64], weights: Weights) -> npt.NDArray[np.float64]:
    """F1 of all objects and detections in %, of each resample; NaN: it has neither.

    Args:
        tallies: of each image, as `right_of` counts, [images, 2].
        weights: [resamples, images].
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        values: npt.NDArray[np.float64] = (
            200.0 * (weights @ tallies[:, 0]) / (weights @ tallies[:, 1])
        )
    return values


def mean_overlap(
    overlaps: Sequence[npt.NDArray[np.float64]], weights: Weights
) -> npt.NDArray[np.float64]:
    """The mean IoU of all objects in %, of each resample; NaN: it has no object.

    Args:
        overlaps: of each image, of each object.
        weights: [resamples, images].
    """
    sums, counts = np.array([(each.sum(), len(each)) for each in overlaps]).T
    with np.errstate(invalid="ignore"):
        mean: npt.NDArray[np.float64] = 100.0 * (weights @ sums) / (weights @ counts)
    return mean


def _areas(boxes: np.ndarray) -> npt.NDArray[np.float64]:
    areas: npt.NDArray[np.float64] = (boxes[..., 2:] - boxes[..., :2]).prod(axis=-1)
    return areas


def _shared(first: np.ndarray, second: np.ndarray) -> npt.NDArray[np.float64]:
    sizes = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared: npt.NDArray[np.float64] = np.maximum(sizes, 0).prod(axis=-1)
    return shared


def _share_inside(a: np.ndarray, b: np.ndarray) -> npt.NDArray[np.float64]:
    """The share of each box of the first that lies in each of the second, [len(a), len(b)]."""
    first, second = a[:, None, :].astype(np.float64), b[None, :, :].astype(np.float64)
    area = np.broadcast_to(_areas(first), (len(a), len(b)))
    return np.where(area > 0, _shared(first, second) / np.where(area > 0, area, 1.0), 0.0)


def _iou(a: np.ndarray, b: np.ndarray) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes, [len(a), len(b)]."""
    first, second = a[:, None, :].astype(np.float64), b[None, :, :].astype(np.float64)
    shared = _shared(first, second)
    areas = [_areas(boxes) for boxes in (first, second)]
    union = areas[0] + areas[1] - shared
    return np.where(union > 0, shared / np.where(union > 0, union, 1.0), 0.0)
