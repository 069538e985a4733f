"""A fleet: what one command came to on several devices, as a row for each.

The rows are made of the reports that came back. A device that failed has a row too, which says why;
no figure of an earlier run stands in for one that was not measured now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from edge_scnet.errors import worst
from edge_scnet.report import notes, page_facts
from edge_scnet.report.run_report import (
    RunReport,
    accuracy_row,
    board_mode,
    first_of,
    timed_row,
)
from edge_scnet.report.speed import against
from edge_scnet.stats.figures import AccuracyStats, RatioStats


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetDevice:
    """A device as it was asked for, and what came of it."""

    name: Annotated[str, Meta(description="as devices.toml has it, or its address")]
    host: Annotated[str, Meta(description="user, host and port that it was reached at")]
    exit_code: Annotated[int, Meta(description="that the command would have ended with alone")]
    error: Annotated[str | None, Meta(description="why there is no report; None: there is")] = None
    hint: Annotated[str | None, Meta(description="what helps then")] = None
    folder: Annotated[
        str | None, Meta(description="where its report lies here; None: it has none")
    ] = None
    headline: Annotated[
        str | None, Meta(description="what its report was judged to be by a baseline")
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetAccuracy:
    """The accuracy of a device's engine against its reference, by the figure that decides."""

    name: Annotated[str, Meta(description='"top-1", "AP", "agreement", ...')]
    unit: str
    value: float
    loss: Annotated[
        float | None, Meta(description="how much worse than the reference; None: it says that")
    ]
    loss_low: Annotated[float | None, Meta(description="two-sided 95 % interval of the loss")]
    loss_high: float | None
    images: int
    simulated: Annotated[bool, Meta(description="not executed on the device")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRow:
    """A device's row. Without a report all but `device` is None."""

    device: FleetDevice
    machine: str | None = None
    power: Annotated[str | None, Meta(description="of a board: power mode and clocks")] = None
    model: str | None = None
    target: str | None = None
    runtime: Annotated[str | None, Meta(description="with its version")] = None
    accuracy: FleetAccuracy | None = None
    sqnr_db: Annotated[
        float | None, Meta(description="of the outputs; None: not known, or `exact`")
    ] = None
    exact: Annotated[bool, Meta(description="the outputs are the reference's, bit by bit")] = False
    p50_ms: Annotated[float | None, Meta(description="latency; None: not timed there")] = None
    p50_low_ms: Annotated[float | None, Meta(description="95 % interval")] = None
    p50_high_ms: float | None = None
    speed: Annotated[
        RatioStats | None, Meta(description="the reference's time over the engine's")
    ] = None
    memory_bytes: Annotated[int | None, Meta(description="resident, while it runs")] = None
    verdict: str | None = None
    created_utc: Annotated[str | None, Meta(description="by the device's clock")] = None
    complete: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What a command came to on each device, in the order that they were asked for."""

    command: str
    created_utc: str
    rows: tuple[FleetRow, ...]
    page: Annotated[str | None, Meta(description="fleet.html; None: none was written")] = None

    @property
    def exit_code(self) -> int:
        """The worst of the devices' (`errors.worst`)."""
        return int(worst(row.device.exit_code for row in self.rows))


def row_of(device: FleetDevice, report: RunReport | None) -> FleetRow:
    """Returns a device's row.

    Args:
        report: that came back; None: there is none, and `device` says why.
    """
    if report is None:
        return FleetRow(device=device)
    timed, accurate = timed_row(report), accuracy_row(report)
    stats = None if accurate is None else accurate.accuracy
    latency = None if timed is None else timed.latency
    reference = first_of(report.engines, "reference", timed=True)
    memory = None if timed is None else timed.memory
    known = stats is not None and stats.has_sqnr
    return FleetRow(
        device=device,
        machine=notes.machine_words(report),
        power=board_mode(report),
        model=report.model,
        target=report.target,
        runtime=page_facts.runtime_words(report) or None,
        accuracy=None
        if accurate is None or stats is None
        else _accuracy(stats, simulated=accurate.simulated),
        sqnr_db=stats.sqnr_db if stats is not None and known else None,
        exact=stats is not None and known and stats.sqnr_db is None,
        p50_ms=None if latency is None else latency.p50_ms,
        p50_low_ms=None if latency is None else latency.p50_low_ms,
        p50_high_ms=None if latency is None else latency.p50_high_ms,
        speed=None if timed is None or reference is None else against(timed, reference).latency,
        memory_bytes=None if memory is None else memory.steady_bytes,
        verdict=report.verdict,
        created_utc=report.created_utc,
        complete=report.complete,
    )


def _accuracy(stats: AccuracyStats, *, simulated: bool) -> FleetAccuracy | None:
    """The figure that decides: a task's first, else top-1, else the agreement; None: none is."""
    if stats.task is not None:
        metric = stats.task.metrics[0]
        compares = metric.reference is None
        return FleetAccuracy(
            name=metric.name,
            unit=metric.unit,
            value=metric.value,
            loss=None if compares else metric.loss,
            loss_low=None if compares else metric.loss_low,
            loss_high=None if compares else metric.loss_high,
            images=stats.images,
            simulated=simulated,
        )
    if (labels := stats.labels) is not None:
        return FleetAccuracy(
            name="top-1",
            unit="%",
            value=labels.top1_percent,
            loss=labels.drop_pp,
            loss_low=labels.drop_low_pp,
            loss_high=labels.drop_high_pp,
            images=stats.images,
            simulated=simulated,
        )
    if stats.agreement_percent is None:
        return None
    return FleetAccuracy(
        name="agreement",
        unit="%",
        value=stats.agreement_percent,
        loss=None,
        loss_low=None,
        loss_high=None,
        images=stats.images,
        simulated=simulated,
    )


_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def age_words(created_utc: str, now_utc: str) -> str:
    """Returns how old a report is, as "now", "5 min", "3 h" or "12 d"; "?" of what is no time.

    A report of the future was made by a clock that is wrong, which is said.
    """
    try:
        seconds = (
            datetime.fromisoformat(now_utc) - datetime.fromisoformat(created_utc)
        ).total_seconds()
    except (ValueError, TypeError):
        return "?"
    if seconds < -_MINUTE:
        return "its clock is ahead"
    if seconds < _MINUTE:
        return "now"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE:.0f} min"
    return f"{seconds // _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds // _DAY:.0f} d"


def summary_words(rows: Sequence[FleetRow]) -> str:
    """Returns how many devices there are, and how many of them ended how."""
    codes = [row.device.exit_code for row in rows]
    passed, failed = codes.count(0), sum(row.device.error is not None for row in rows)
    others = len(rows) - passed - failed
    parts = [
        f"{count} {what}"
        for count, what in ((passed, "passed"), (others, "did not pass"), (failed, "failed"))
        if count
    ]
    return f"{len(rows)} device{'s' * (len(rows) != 1)}: {', '.join(parts)}"
