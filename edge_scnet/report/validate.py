"""What a report's values must be to each other; what each may be by itself is in the records.

A file that was cut, mended or made by hand is refused by its field, not by a traceback.
"""

from __future__ import annotations

import re

from edge_scnet.core.packing import unpack_classes, unpack_values
from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.stats.figures import AccuracyStats, Steadiness

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TEXT = (str, type(None))


def check_values(report: RunReport) -> None:
    """Refuses what no run can have measured.

    Raises:
        ValueError: names the field.
    """
    for field, name in (("model", report.model), ("target", report.target)):
        if not _PLAIN_NAME.fullmatch(name):  # they become names of files
            raise ValueError(f"{field} is {name[:60]!r}, which is no plain name")
    for key, kinds in (("packages", (dict,)), ("governor", _TEXT), ("fingerprint", _TEXT)):
        if key in report.environment and not isinstance(report.environment[key], kinds):
            raise ValueError(f"environment.{key} is a {type(report.environment[key]).__name__}")
    images = None
    if report.evaluation is not None:
        images = report.evaluation.images
        if report.evaluation.truth is not None:
            unpack_classes(report.evaluation.truth, images)
    for row in report.engines:
        _check_row(row, images)
    for cell in report.sweep:
        _check_modes("sweep", cell.steadiness)


def _check_row(row: EngineReport, images: int | None) -> None:
    ratio, latency, memory = row.speedup, row.latency, row.memory
    if ratio is not None and (ratio.low is None) != (ratio.high is None):
        raise ValueError(f"{row.name}.speedup is no ratio with its interval")
    if latency is not None:
        _check_modes(f"{row.name}.latency", latency.steadiness)
        if row.warm_up_stable is not None and None in (row.warm_up_seconds, row.warm_up_runs):
            raise ValueError(f"{row.name}.warm_up_stable is there and not how long it took")
    if row.end_to_end is not None and sum(row.end_to_end.stages_ms.values()) <= 0:
        raise ValueError(f"{row.name}.end_to_end has no time")
    if memory is not None and (memory.growth_bytes is None) != (
        memory.growth_bytes_per_run is None
    ):
        raise ValueError(f"{row.name}.memory has some figures of the growth and lacks others")
    if row.accuracy is not None:
        _check_accuracy(row.name, row.accuracy, images)
    if row.first_classes is not None:
        if images is None:
            raise ValueError(f"{row.name} has classes of images, and there is no evaluation set")
        unpack_classes(row.first_classes, images)


def _check_modes(where: str, steady: Steadiness | None) -> None:
    if steady is not None and len(steady.modes_ms) != len(steady.mode_percents):
        raise ValueError(
            f"{where}.steadiness has {len(steady.modes_ms)} modes and {len(steady.mode_percents)}"
            " shares"
        )


def _check_accuracy(name: str, stats: AccuracyStats, images: int | None) -> None:
    if stats.images != (images or stats.images):
        raise ValueError(
            f"{name}.accuracy.images is {stats.images}, the evaluation set has {images}"
        )
    if stats.task is not None:
        _check_task(name, stats)
    if stats.labels is not None and stats.labels.lost + stats.labels.won > stats.images:
        raise ValueError(
            f"{name}.accuracy: {stats.labels.lost} lost and {stats.labels.won} won of"
            f" {stats.images}"
        )
    if (stats.agreeing or 0) > stats.images or (stats.agreeing is None) != (
        stats.agreement_percent is None
    ):
        raise ValueError(f"{name}.accuracy.agreeing is {stats.agreeing} of {stats.images}")


def _check_task(name: str, stats: AccuracyStats) -> None:
    assert stats.task is not None
    task = stats.task
    if task.samples != stats.images:
        raise ValueError(
            f"{name}.accuracy.task is of {task.samples} samples, the evaluation set has"
            f" {stats.images}"
        )
    if task.per_sample is not None:
        unpack_values(task.per_sample, task.samples)
    for metric in task.metrics:
        ends = (metric.loss_low, metric.loss_high, metric.loss_lower95, metric.loss_upper95)
        if None in ends and any(end is not None for end in ends):
            raise ValueError(f"{name}.accuracy.task: the {metric.name} has half an interval")
