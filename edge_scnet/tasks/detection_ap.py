"""Average precision of detections: matched by pycocotools once, accumulated for any resample.

COCO's AP is the mean over IoU limits, classes and 101 recalls of the best precision at that recall
and above: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014, and pycocotools.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.core.targets import Boxes
from edge_scnet.tasks.decoders.base import Detections

# Of COCO: ten limits of the IoU, 101 recalls.
IOU_LIMITS = np.linspace(0.5, 0.95, 10)
ALL_LIMITS = tuple(range(len(IOU_LIMITS)))
_RECALLS = np.linspace(0.0, 1.0, 101)
_LARGEST_AREA = 1e10
# Elements of one array when resamples are accumulated.
_MOST_ELEMENTS = 1 << 22
_EPSILON = float(np.spacing(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The detections of one class in all images, best first, and what they are matched with."""

    # int64 [detections]: the index of the image
    images: np.ndarray
    # float64 [detections]
    scores: np.ndarray
    # bool [limits, detections]: is the detection of an object
    hits: np.ndarray
    # bool [limits, detections]: counts neither as right nor as wrong
    ignored: np.ndarray
    # int64 [images]: the objects that are to be found
    objects: np.ndarray


def match(truth: Sequence[Boxes], found: Sequence[Detections], *, most: int = 100) -> list[Matches]:
    """Matches the detections of each class that has an object.

    Args:
        truth, found: of each image, in the same pixels.
        most: detections of an image and class that count.

    Raises:
        MissingRuntimeError: pycocotools is not installed.
    """
    coco_eval = evaluated(truth, found, most=most)
    classes, images = len(coco_eval.params.catIds), len(truth)
    return [
        matches
        for k in range(classes)
        if (matches := _of_class(coco_eval.evalImgs[k * images : (k + 1) * images])) is not None
    ]


def evaluated(truth: Sequence[Boxes], found: Sequence[Detections], *, most: int) -> Any:
    """pycocotools' COCOeval behind `evaluate`, of objects of all sizes."""
    coco = require("pycocotools.coco", extra="detection")
    cocoeval = require("pycocotools.cocoeval", extra="detection")
    classes = sorted({int(c) for boxes in truth for c in boxes.classes})
    # pycocotools prints
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval = cocoeval.COCOeval(
            _coco(coco, _annotations_of_truth(truth), len(truth), classes),
            _coco(coco, _annotations_of_found(found, set(classes)), len(truth), classes),
            "bbox",
        )
        coco_eval.params.areaRng, coco_eval.params.areaRngLbl = [[0, _LARGEST_AREA]], ["all"]
        coco_eval.params.maxDets = [most]
        coco_eval.evaluate()
    return coco_eval


def average_precision(
    matches: Sequence[Matches], counts: np.ndarray, *, limits: Sequence[int] = ALL_LIMITS
) -> np.ndarray:
    """AP by IoU limit of resamples of the images, the mean over the classes with an object.

    Args:
        matches: of each class.
        counts: [resamples, images]: how often each image is in a resample.
        limits: indices into `IOU_LIMITS`.

    Returns:
        float64 [resamples, limits], from 0 to 1; NaN where no class has an object.
    """
    total = np.zeros((len(counts), len(limits)))
    classes = np.zeros(len(counts), np.int64)
    for of_class in matches:
        has_objects = counts @ of_class.objects > 0
        total[has_objects] += _of_resamples(of_class, counts[has_objects], limits)
        classes += has_objects
    with np.errstate(invalid="ignore"):
        return total / classes[:, None]


def _of_resamples(matches: Matches, counts: np.ndarray, limits: Sequence[int]) -> np.ndarray:
    """AP of one class, [resamples, limits]; each resample has an object."""
    out = np.zeros((len(counts), len(limits)))
    step = max(1, _MOST_ELEMENTS // max(1, len(matches.images)))
    for start in range(0, len(counts), step):
        some = counts[start : start + step]
        objects = (some @ matches.objects).astype(np.float64)
        weights = np.take(some, matches.images, axis=1).astype(np.float64)
        nothing_ignored = not matches.ignored.any()
        seen = np.cumsum(weights, axis=1) if nothing_ignored else None
        for column, limit in enumerate(limits):
            counted = ~matches.ignored[limit]
            hits = np.flatnonzero(matches.hits[limit] & counted)
            all_seen = np.cumsum(weights * counted, axis=1) if seen is None else seen
            out[start : start + step, column] = _interpolated(
                np.cumsum(np.take(weights, hits, axis=1), axis=1),
                np.take(all_seen, hits, axis=1),
                objects,
            )
    return out


def _interpolated(right: np.ndarray, seen: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """The mean over 101 recalls of the best precision at that recall and above, [resamples].

    Between two right detections precision only falls, so these decide alone.

    Args:
        right, seen: [resamples, right detections]: how many are right, and how many there are, up
            to each right one.
        objects: [resamples].
    """
    precision = right / (seen + _EPSILON)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.searchsorted(_RECALLS, right / objects[:, None], side="right")
    # of a detection whose image is not in the resample the recall is that of the one before it;
    # before the first right one in the resample it is 0, which the first one reaches too
    reached[right == 0] = 0
    newly = np.diff(reached, axis=1, prepend=0)
    mean: np.ndarray = (newly * best).sum(axis=1) / len(_RECALLS)
    return mean


def _of_class(of_images: Sequence[dict[str, Any] | None]) -> Matches | None:
    """The matches of one class; None: it has no object.

    Args:
        of_images: pycocotools' results by image; None: neither an object nor a detection.
    """
    known = [(i, result) for i, result in enumerate(of_images) if result is not None]
    objects = np.zeros(len(of_images), np.int64)
    for i, result in known:
        objects[i] = np.count_nonzero(np.asarray(result["gtIgnore"]) == 0)
    if not objects.any():
        return None
    scores = np.concatenate([np.asarray(result["dtScores"], float) for _, result in known])
    # the order that COCOeval.accumulate has
    order = np.argsort(-scores, kind="mergesort")
    images = np.repeat([i for i, _ in known], [len(result["dtScores"]) for _, result in known])
    hits = np.concatenate([result["dtMatches"] for _, result in known], axis=1) > 0
    ignored = np.concatenate([result["dtIgnore"] for _, result in known], axis=1) > 0
    return Matches(
        images=images[order].astype(np.int64),
        scores=scores[order],
        hits=hits[:, order],
        ignored=ignored[:, order],
        objects=objects,
    )


def _annotations_of_truth(truth: Sequence[Boxes]) -> list[dict[str, Any]]:
    return [
        {"image_id": i, "category_id": c, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for i, boxes in enumerate(truth)
        for box, c, area, crowd in zip(
            _as_coco(boxes.corners),
            boxes.classes.tolist(),
            boxes.areas.tolist(),
            boxes.crowd.tolist(),
            strict=True,
        )
    ]


def _annotations_of_found(found: Sequence[Detections], classes: set[int]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": i,
            "category_id": c,
            "bbox": box,
            "area": box[2] * box[3],
            "iscrowd": 0,
            "score": score,
        }
        for i, detections in enumerate(found)
        for box, c, score in zip(
            _as_coco(detections.corners),
            detections.classes.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
        if c in classes
    ]


def _as_coco(corners: np.ndarray) -> list[list[float]]:
    """x, y, width, height of each box."""
    whole = corners.astype(np.float64)
    boxes: list[list[float]] = np.concatenate(
        [whole[:, :2], whole[:, 2:] - whole[:, :2]], axis=1
    ).tolist()
    return boxes


def _coco(module: Any, annotations: list[dict[str, Any]], images: int, classes: list[int]) -> Any:
    coco = module.COCO()
    # pycocotools marks a match by the number, and takes 0 for none
    for number, annotation in enumerate(annotations, 1):
        annotation["id"] = number
    coco.dataset = {
        "images": [{"id": i} for i in range(images)],
        "categories": [{"id": c} for c in classes],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
