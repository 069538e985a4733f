"""What outputs of an engine, or of a simulated graph, are worth on the images of a search."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.ragged import ragged
from edge_scnet.stats.accuracy import (
    accuracy_stats,
    are_classes,
    noise_and_power,
    noise_over_power,
    relative_noise,
)
from edge_scnet.stats.decibels import of_relative_noise
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.tasks.base import Evaluator

# Gets a batch, gives its outputs, which the next call may overwrite.
Infer = Callable[[np.ndarray], Sequence[np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchTask:
    """What the engines of a search are judged by, where that is not the class of each image."""

    evaluator: Evaluator
    # whether an engine is within the limits
    keeps: Callable[[AccuracyStats], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchImages:
    """What the engines of a search are measured on."""

    # N x C x H x W float32, N a multiple of the engine's batch
    images: np.ndarray
    # [N]
    labels: np.ndarray | None
    # the float graph's outputs for the images; ragged where their size depends on the data
    reference: Sequence[np.ndarray]
    # None: the first output has classes, where it can have
    task: SearchTask | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """An engine's figures; the fields are those of `result.Candidate`."""

    sqnr_db: float | None
    drop_upper95_pp: float | None
    within: bool | None


def judged(infer: Infer, data: SearchImages, batch: int, is_open: Sequence[bool]) -> Judged:
    """Runs all images, and judges the outputs by the task, or by their classes.

    Args:
        batch: images that `infer` takes at once.
        is_open: by output, whether its size depends on the data.
    """
    starts = range(0, len(data.images), batch)
    runs = (infer(data.images[start : start + batch]) for start in starts)
    return judged_runs(runs, data, batch, is_open)


def judged_runs(
    runs: Iterable[Sequence[np.ndarray]], data: SearchImages, batch: int, is_open: Sequence[bool]
) -> Judged:
    """Judges outputs by the task, or by their classes.

    Args:
        runs: the outputs of each batch of all images, in order, which the next may overwrite; where
            there is no task, the first output is enough.
        is_open: by output, whether its size depends on the data.
    """
    if data.task is not None:
        return _by_task(runs, data, data.task, batch, is_open)
    outputs = np.concatenate([np.array(values[0]) for values in runs])
    noise = relative_noise([data.reference[0]], [outputs])
    return Judged(
        sqnr_db=of_relative_noise(noise), drop_upper95_pp=_drop(outputs, data), within=None
    )


def _drop(outputs: np.ndarray, data: SearchImages) -> float | None:
    """The highest drop that the images leave possible; None where outputs are no classes."""
    if not are_classes(outputs):
        return None
    reference, labels = data.reference[0], data.labels
    if labels is None or not 0 <= labels.min() <= labels.max() < outputs.shape[1]:
        # FP32's own classes stand in: every image that changes class counts as lost. Folders of
        # calibration images may be named after anything, also after more than the network tells.
        labels = reference.argmax(axis=1)
    stats = accuracy_stats(outputs, reference, labels)
    if stats.doubts:
        # labels that FP32 does not know, or an engine that says one class: as without labels
        stats = accuracy_stats(outputs, reference, reference.argmax(axis=1))
    return None if stats.labels is None else stats.labels.drop_upper95_pp


def _by_task(
    runs: Iterable[Sequence[np.ndarray]],
    data: SearchImages,
    task: SearchTask,
    batch: int,
    is_open: Sequence[bool],
) -> Judged:
    """The noise over all outputs, and whether the task's limits are kept.

    Batch by batch: maps of all images are more than memory may hold.
    """
    evaluator, count = task.evaluator, len(data.images)
    powers: list[list[tuple[float, float]]] = []
    own: list[Any] = []
    kept: list[Any] = []
    for start, values in zip(range(0, count, batch), runs, strict=True):
        rows = slice(start, start + batch)
        wanted = [output[rows] for output in data.reference]
        outputs = [
            ragged([array]) if varies else array
            for array, varies in zip(map(np.array, values), is_open, strict=True)
        ]
        powers.append(noise_and_power(wanted, outputs))
        indices = range(start, start + len(wanted[0]))
        kept += evaluator.reduce(wanted, wanted, indices)
        own += evaluator.reduce(outputs, wanted, indices)
    sqnr_db = of_relative_noise(noise_over_power(powers))
    stats = AccuracyStats(
        images=count,
        agreement_percent=None,
        agreeing=None,
        sqnr_db=sqnr_db,
        labels=None,
        task=evaluator.compare(own, kept),
    )
    return Judged(sqnr_db=sqnr_db, drop_upper95_pp=None, within=task.keeps(stats))
