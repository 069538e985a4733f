"""What a report's JSON may hold: a file that was cut, mended or made by hand is refused by its
field, not by a traceback.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edge_scnet.core.packing import MOST_IMAGES, unpack_classes

if TYPE_CHECKING:
    from edge_scnet.report.run_report import EngineReport, RunReport
    from edge_scnet.stats.figures import Steadiness

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_TEXT = (str, type(None))


def check_values(report: RunReport) -> None:
    """Refuses what no run can have measured.

    Raises:
        ValueError: names the field.
    """
    for what, name in (("model", report.model), ("target", report.target)):
        if not _PLAIN_NAME.fullmatch(name):  # they become names of files
            raise ValueError(f"{what} is {name[:60]!r}, which is no plain name")
    for key, kinds in (("packages", (dict,)), ("governor", _TEXT), ("fingerprint", _TEXT)):
        if key in report.environment and not isinstance(report.environment[key], kinds):
            raise ValueError(f"environment.{key} is a {type(report.environment[key]).__name__}")
    images = None
    if report.evaluation is not None:
        images = report.evaluation.images
        if not 0 < images <= MOST_IMAGES:
            raise ValueError(f"evaluation.images is {images}")
        if report.evaluation.truth is not None:
            unpack_classes(report.evaluation.truth, images)
    for row in report.engines:
        _check_row(row, images)
    for cell in report.sweep:
        if cell.batch < 1 or cell.threads < 0 or cell.p50_ms <= 0:
            raise ValueError(
                f"sweep has a row of {cell.engine} with batch {cell.batch} and {cell.p50_ms} ms"
            )
        _check_modes("sweep", cell.steadiness)
    for flip in report.flips.shown if report.flips is not None else ():
        if min(flip.was, flip.now, flip.truth or 0) < 0:
            raise ValueError(f"flips: {flip.image} has a class below 0")


def _check_row(row: EngineReport, images: int | None) -> None:
    ratio = row.speedup
    if row.size_bytes < 0:
        raise ValueError(f"{row.name}.size_bytes is {row.size_bytes}")
    if ratio is not None and (ratio.ratio <= 0 or (ratio.low is None) != (ratio.high is None)):
        raise ValueError(f"{row.name}.speedup is no ratio with its interval")
    if row.latency is not None:
        _check_times(row)
    if row.end_to_end is not None and not (
        row.end_to_end.p50_ms > 0 and sum(row.end_to_end.stages_ms.values()) > 0
    ):
        raise ValueError(f"{row.name}.end_to_end has no time")
    memory = row.memory
    if (
        memory is not None
        and len({value is None for value in (memory.growth_bytes, memory.growth_bytes_per_run)}) > 1
    ):
        raise ValueError(f"{row.name}.memory has some figures of the growth and lacks others")
    if row.accuracy is not None:
        _check_accuracy(row, images)
    if row.first_classes is not None:
        if images is None:
            raise ValueError(f"{row.name} has classes of images, and there is no evaluation set")
        unpack_classes(row.first_classes, images)


def _check_modes(where: str, steady: Steadiness | None) -> None:
    if steady is not None and not (
        len(steady.modes_ms) == len(steady.mode_percents) > 0 and min(steady.modes_ms) > 0
    ):
        raise ValueError(
            f"{where}.steadiness has {len(steady.modes_ms)} modes and {len(steady.mode_percents)}"
            " shares"
        )


def _check_times(row: EngineReport) -> None:
    latency = row.latency
    assert latency is not None
    if not (latency.count > 0 and latency.p50_ms > 0):
        raise ValueError(f"{row.name}.latency has {latency.count} runs of {latency.p50_ms} ms")
    _check_modes(f"{row.name}.latency", latency.steadiness)
    if row.warm_up_stable is not None and (row.warm_up_seconds is None or row.warm_up_runs is None):
        raise ValueError(f"{row.name}.warm_up_stable is there and not how long it took")


def _check_accuracy(row: EngineReport, images: int | None) -> None:
    stats = row.accuracy
    assert stats is not None
    if not 0 < stats.images <= MOST_IMAGES or stats.images != (images or stats.images):
        raise ValueError(
            f"{row.name}.accuracy.images is {stats.images}, the evaluation set has {images}"
        )
    drop = (
        stats.lost,
        stats.won,
        stats.drop_pp,
        stats.drop_low_pp,
        stats.drop_high_pp,
        stats.drop_lower95_pp,
        stats.drop_upper95_pp,
        stats.mcnemar_p,
    )
    if any(value is None for value in drop) and any(value is not None for value in drop):
        raise ValueError(f"{row.name}.accuracy has some figures of the drop and lacks others")
    lost, won = stats.lost or 0, stats.won or 0
    if lost < 0 or won < 0 or lost + won > stats.images:
        raise ValueError(f"{row.name}.accuracy: {lost} lost and {won} won of {stats.images}")
    if not 0 <= (stats.agreeing or 0) <= stats.images or (stats.agreeing is None) != (
        stats.agreement_percent is None
    ):
        raise ValueError(f"{row.name}.accuracy.agreeing is {stats.agreeing} of {stats.images}")
