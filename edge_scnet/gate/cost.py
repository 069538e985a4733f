"""Size, time and memory held to a baseline's.

Time is compared as the ratio to the reference timed in the same run, on one kind of machine in one
mode; absolute latency only where clocks are pinned. A target whose plans need a board has reports
without times, from the workstation: those are held to the simulated engine alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_scnet.config.target import Gates
from edge_scnet.report.findings import (
    Figure,
    Finding,
    Kind,
    at_most,
    incomparable,
    judged,
    skipped,
)
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    board_mode,
    reference_row,
    same_machine,
    timed_row,
)
from edge_scnet.stats.figures import RatioStats

_PINNED_GOVERNORS = frozenset({"performance"})


def compare(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    """Judges what the baseline knows of size, time and memory."""
    new, old = timed_row(report), timed_row(baseline)
    yield from _size(report, baseline, limits.max_size_growth_percent)
    if old is None:
        return
    if new is None:
        simulated = accuracy_row(report)
        if simulated is not None and simulated.simulated:
            yield skipped(
                "speed",
                "speed",
                "Times are not compared: nothing was executed, the plan needs its board.",
            )
        else:
            yield incomparable(
                "speed", "speed", "The baseline's engine was timed, the report's was not."
            )
        return
    if not same_machine(report, baseline):
        if report.environment.get("fingerprint") is None:
            yield incomparable(
                "speed", "speed", "The report does not say on which machine it was made."
            )
        else:
            yield skipped(
                "speed",
                "speed",
                "Times and memory are not compared: the baseline was measured on another machine.",
            )
        return
    if board_mode(report) != board_mode(baseline):
        mode, old_mode = board_mode(report) or "not told", board_mode(baseline) or "not told"
        yield incomparable(
            "speed",
            "speed",
            f"The board's mode is another one ({mode}; the baseline's: {old_mode}).",
        )
        return
    yield from _speed(report, new, old, limits.max_slowdown_percent)
    yield from _throughput(report, new, old, limits.max_slowdown_percent)
    if _pinned(baseline):
        yield from _latency(report, new, old, limits.max_slowdown_percent)
    yield from _memory(new, old, limits.max_memory_growth_percent)


def _size(report: RunReport, baseline: RunReport, limit: float) -> Iterable[Finding]:
    """Compares files of the same kind: a simulated graph's size says nothing of a plan's."""
    pairs = [(row_of(report), row_of(baseline)) for row_of in (timed_row, accuracy_row)]
    new, old = next(
        (
            (new, old)
            for new, old in pairs
            if new is not None and old is not None and new.simulated == old.simulated
        ),
        (None, None),
    )
    if new is None or old is None or not old.size_bytes:
        return
    growth = 100 * (new.size_bytes / old.size_bytes - 1)
    yield judged(
        "size",
        "size",
        Figure(
            measured=new.size_bytes,
            expected=old.size_bytes,
            limit=limit,
            unit="bytes",
            bound=at_most(limit, "%", how="larger"),
        ),
        "fail" if growth > limit else "pass",
        (
            f"The engine has {new.size_bytes / 1e6:.2f} MB, {growth:+.1f} % to the baseline's"
            f" {old.size_bytes / 1e6:.2f}; it may grow by {limit:g} %."
        ),
    )


def _speed(
    report: RunReport, new: EngineReport, old: EngineReport, limit: float
) -> Iterable[Finding]:
    if old.speedup is None:
        return
    reference = reference_row(report)
    if new.speedup is None or reference is None:
        yield incomparable(
            "speed",
            "speed",
            "The report lacks the speed relative to a reference, which the baseline knows.",
        )
        return
    yield _ratio("speed", f"{reference.name.upper()}'s speed", new.speedup, old.speedup, limit)


def _throughput(
    report: RunReport, new: EngineReport, old: EngineReport, limit: float
) -> Iterable[Finding]:
    """Compares throughputs where the baseline has one with an interval; older ones have none."""
    if old.throughput_ratio is None:
        return
    reference = reference_row(report)
    if new.throughput_ratio is None or reference is None:
        yield incomparable(
            "speed",
            "throughput",
            "The report lacks the throughput relative to a reference, which the baseline knows.",
        )
        return
    whose = f"{reference.name.upper()}'s throughput"
    yield _ratio("throughput", whose, new.throughput_ratio, old.throughput_ratio, limit)


def _ratio(metric: str, whose: str, new: RatioStats, old: RatioStats, limit: float) -> Finding:
    """Compares ratios to the reference.

    It is slower where the whole interval says so; an estimate beyond the limit alone asks for
    another measurement.
    """
    ratio, expected = new.ratio, old.ratio
    # the baseline's own run has an interval too: one made on a busy machine must not fail quiet
    # ones
    least = (old.low if old.low is not None else expected) * (1 - limit / 100)
    spread = "" if new.low is None else f" ({new.low:.2f} to {new.high:.2f})"
    message = (
        f"{ratio:.2f}x{spread} {whose} in the same run, was {expected:.2f}x; it may fall by"
        f" {limit:g} %."
    )
    bound = at_most(limit, "%", how="lower")
    figure = Figure(measured=ratio, expected=expected, limit=limit, unit="x", bound=bound)
    if ratio >= least:
        better = new.low is not None and new.low > expected * (1 + limit / 100)
        return judged("speed", metric, figure, "pass", message, improved=better)
    if new.high is not None and new.high < least:
        return judged("speed", metric, figure, "fail", message)
    message += (
        " The interval does not exclude that: edge-scnet profile BUILD_FOLDER --seconds 10, and"
        " check again."
    )
    return judged("speed", metric, figure, "inconclusive", message)


def _latency(
    report: RunReport, new: EngineReport, old: EngineReport, limit: float
) -> Iterable[Finding]:
    if not _pinned(report):
        yield skipped(
            "speed",
            "latency",
            "Absolute latency is not compared: clocks were not pinned, or the board throttled.",
        )
    elif new.latency is not None and old.latency is not None:
        figure = Figure(
            measured=new.latency.p50_ms,
            expected=old.latency.p50_ms,
            limit=limit,
            unit="ms",
            bound=at_most(limit, "%", how="longer"),
        )
        yield _growth("speed", "latency", figure, "The median latency on this pinned device")


def _memory(new: EngineReport, old: EngineReport, limit: float) -> Iterable[Finding]:
    if old.memory is None:
        return
    if new.memory is None:
        yield incomparable(
            "memory", "memory", "The report lacks the engine's memory, which the baseline knows."
        )
        return
    for metric, size, old_size in (
        ("memory at load", new.memory.load_peak_bytes, old.memory.load_peak_bytes),
        ("memory steady", new.memory.steady_bytes, old.memory.steady_bytes),
    ):
        figure = Figure(
            measured=size / 2**20,
            expected=old_size / 2**20,
            limit=limit,
            unit="MiB",
            bound=at_most(limit, "%", how="larger"),
        )
        yield _growth("memory", metric, figure, f"The {metric}")


def _growth(kind: Kind, metric: str, figure: Figure, subject: str) -> Finding:
    """Judges a growth in percent of the baseline's figure; `subject` begins the sentence."""
    assert figure.measured is not None and figure.expected is not None and figure.limit is not None
    growth = 100 * (figure.measured / figure.expected - 1) if figure.expected else 0.0
    message = (
        f"{subject} is {figure.measured:.4g} {figure.unit}, {growth:+.1f} % to the baseline's"
        f" {figure.expected:.4g}; it may grow by {figure.limit:g} %."
    )
    return judged(kind, metric, figure, "fail" if growth > figure.limit else "pass", message)


def _pinned(report: RunReport) -> bool:
    """Whether absolute times mean something: clocks fixed, nobody else on the processor."""
    if report.board is not None:
        return bool(report.board.clocks_pinned) and not report.board.throttled
    return report.environment.get("governor") in _PINNED_GOVERNORS and not report.environment.get(
        "virtual"
    )
