"""What an update changes of a baseline, and which of it is a loss that needs a reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from edge_scnet.config.target import Gates
from edge_scnet.gate import regression
from edge_scnet.gate.baseline import Baseline
from edge_scnet.report.run_report import RunReport, accuracy_row, same_machine, timed_row
from edge_scnet.report.task_verdict import NEIGHBOURS
from edge_scnet.stats.figures import AccuracyStats

# Lower end of the speed's interval over its estimate; 0.98 to 0.99 on a quiet machine.
_STEADY = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of what an update changes."""

    what: str
    before: str
    after: str
    # why it needs a reason; None: it is no loss
    loss: str | None = None


def change_words(change: Change) -> str:
    """Returns a change as a line: "SQNR, dB: 31.20 -> 30.10"."""
    arrow = f"{change.before} -> {change.after}" if change.before else change.after
    return f"{change.what}: {arrow}"


def changes(old: Baseline, new: Baseline) -> tuple[Change, ...]:
    """Returns what an update changes, losses first: each of them needs a reason.

    A loss is whatever `check` would not pass, a looser limit, and any figure that is worse beyond
    its noise: limits say how much one report may differ from its baseline, and must not be spent
    anew with every update.
    """
    lines = [
        Change(what=finding.metric, before="", after=finding.message, loss=finding.message)
        for finding in regression.compare(new.report, old.report, limits=old.limits)
        if finding.verdict in ("fail", "inconclusive")
    ]
    lines += _limit_changes(old.limits, new.limits)
    lines += _figure_changes(old.report, new.report)
    if timed_row(old.report) is not None and not same_machine(old.report, new.report):
        other = "another: speed and memory are held to nothing before"
        lines.append(_change("machine", "the baseline's", other, is_loss=True))
    lines += [
        Change(what="also", before="", after=words)
        for words in regression.changes(new.report, old.report)
    ]
    return tuple(sorted(lines, key=lambda change: change.loss is None))


def doubt(report: RunReport) -> str | None:
    """Returns why a baseline of this report would hold speed to little; None where it would not.

    The lower end of the speed's interval is what later reports are held to.
    """
    row = timed_row(report)
    ratio = row.speedup if row is not None else None
    if ratio is None or ratio.low is None or ratio.low >= _STEADY * ratio.ratio:
        return None
    spread = f"{ratio.ratio:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"
    return (
        f"the machine was busy: the speed is known as {spread}, and later reports are held to the"
        " lower end; profile it again when nothing else runs, with a longer --seconds"
    )


def _limit_changes(old: Gates, new: Gates) -> Iterator[Change]:
    for name in (field.name for field in fields(Gates)):
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        is_least = name.startswith("min_")
        looser = after is None or (
            before is not None and (after < before if is_least else after > before)
        )
        yield _change(f"limit {name}", str(before), str(after), is_loss=looser)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A figure that an update may make worse."""

    name: str
    # infinite: exact
    value: float
    # worse by less is noise: of other CPUs' kernels for accuracy, of the machine for the rest
    noise: float
    less_is_better: bool = False
    # comparable on one machine alone
    of_machine: bool = False


def _figure_changes(old: RunReport, new: RunReport) -> Iterator[Change]:
    after = {figure.name: figure.value for figure in _figures_of(new)}
    for figure in _figures_of(old):
        # missing ones are findings already; another machine is a change of its own
        if figure.name not in after or (figure.of_machine and not same_machine(old, new)):
            continue
        before, now = figure.value, after[figure.name]
        if before != now:
            worse = now - before if figure.less_is_better else before - now
            words = ["exact" if math.isinf(value) else f"{value:.2f}" for value in (before, now)]
            yield _change(figure.name, *words, is_loss=worse > figure.noise)


def _accuracy_figures(stats: AccuracyStats) -> Iterator[_Figure]:
    sqnr_db = math.inf if stats.sqnr_db is None else stats.sqnr_db
    if stats.labels is not None:
        yield _Figure(name="top-1, %", value=stats.labels.top1_percent, noise=0.05)
    if stats.agreement_percent is not None:
        yield _Figure(name="agreement, %", value=stats.agreement_percent, noise=0.05)
    for metric in () if stats.task is None else stats.task.metrics:
        if metric.unit == "dB" or metric.name == NEIGHBOURS:
            continue
        yield _Figure(
            name=f"{metric.name}{metric.unit and ', ' + metric.unit}",
            value=metric.value,
            noise=0.05 if metric.unit == "%" else 0.005 * abs(metric.value),
            less_is_better=not metric.higher_is_better,
        )
    yield _Figure(name="SQNR, dB", value=sqnr_db, noise=0.1)


def _figures_of(report: RunReport) -> Iterator[_Figure]:
    row, timed = accuracy_row(report), timed_row(report)
    if row is not None and row.accuracy is not None:
        yield from _accuracy_figures(row.accuracy)
    if (sized := timed or row) is not None:
        size = sized.size_bytes / 1e6
        yield _Figure(name="size, MB", value=size, noise=0.01 * size, less_is_better=True)
    if timed is not None:
        for name, ratio in (
            ("speed, x", timed.speedup),
            ("throughput, x", timed.throughput_ratio),
        ):
            if ratio is not None:
                # windows of throughput spread more than blocks of single inferences
                spread = ratio.ratio - ratio.low if ratio.low is not None else 0.0
                noise = max(0.03 * ratio.ratio, spread)
                yield _Figure(name=name, value=ratio.ratio, noise=noise, of_machine=True)
    if timed is not None and timed.memory is not None:
        for name, size_bytes in (
            ("memory at load, MiB", timed.memory.load_peak_bytes),
            ("memory steady, MiB", timed.memory.steady_bytes),
        ):
            yield _Figure(
                name=name,
                value=size_bytes / 2**20,
                noise=0.03 * size_bytes / 2**20,
                less_is_better=True,
                of_machine=True,
            )


def _change(what: str, before: str, after: str, *, is_loss: bool) -> Change:
    loss = f"{what}: {before} -> {after}" if is_loss else None
    return Change(what=what, before=before, after=after, loss=loss)
