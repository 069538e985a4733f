"""Size, time and memory held to a baseline's. Pure; a part of `regression.py`.

Time is compared as the ratio to the reference timed in the same run, on one kind of machine in one
mode; absolute latency only where clocks are pinned. A target whose plans need a board has reports
without times, from the workstation: those are held to the simulated engine alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_scnet.config.target import Gates
from edge_scnet.report.findings import (
    INCONCLUSIVE_EXIT_CODE,
    SPEED_EXIT_CODE,
    Finding,
    Verdict,
    found,
    incomparable,
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

_PINNED_GOVERNORS = frozenset({"performance"})


def compare(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    """What the baseline knows of size, time and memory."""
    new, old = timed_row(report), timed_row(baseline)
    yield from _size(report, baseline, limits)
    if old is None:
        return
    if new is None:
        simulated = accuracy_row(report)
        if simulated is not None and simulated.latency is None:
            yield skipped(
                "speed", "Times are not compared: nothing was executed, the plan needs its board."
            )
        else:
            yield incomparable("speed", "The baseline's engine was timed, the report's was not.")
        return
    if not same_machine(report, baseline):
        if report.environment.get("fingerprint") is None:
            yield incomparable("speed", "The report does not say on which machine it was made.")
        else:
            yield skipped(
                "speed", "Times and memory are not compared: the baseline is of another machine."
            )
        return
    if board_mode(report) != board_mode(baseline):
        modes = board_mode(report) or "not told", board_mode(baseline) or "not told"
        yield incomparable(
            "speed", f"The board's mode is another one ({modes[0]}; the baseline's: {modes[1]})."
        )
        return
    yield from _times(report, baseline, new, old, limits.max_slowdown_percent)
    yield from _memory(new, old, limits.max_memory_growth_percent)


def _size(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    """Of the same kind of file: a simulated graph is no measure for a plan."""
    rows = [(find(report), find(baseline)) for find in (timed_row, accuracy_row)]
    new, old = next(
        ((a, b) for a, b in rows if a is not None and b is not None and a.name == b.name),
        (None, None),
    )
    if new is None or old is None or not old.size_bytes:
        return
    growth = 100 * (new.size_bytes / old.size_bytes - 1)
    message = (
        f"The engine has {new.size_bytes / 1e6:.2f} MB, {growth:+.1f} % to the baseline's"
        f" {old.size_bytes / 1e6:.2f}."
    )
    limit = limits.max_size_growth_percent
    verdict: Verdict = "fail" if growth > limit else "pass"
    yield found(
        "size",
        new.size_bytes,
        old.size_bytes,
        limit,
        "bytes",
        verdict,
        message,
        code=SPEED_EXIT_CODE,
    )


def _times(
    report: RunReport, baseline: RunReport, new: EngineReport, old: EngineReport, limit: float
) -> Iterable[Finding]:
    if old.speedup is not None:
        reference = reference_row(report)
        if new.speedup is None or reference is None:
            yield incomparable(
                "speed",
                "The report lacks the speed relative to a reference, which the baseline knows.",
            )
        else:
            yield _ratio(new, old, limit, reference.name.upper())
    if not _pinned(baseline):
        return
    if not _pinned(report):
        yield skipped(
            "latency",
            "Absolute latency is not compared: clocks were not pinned, or the board throttled.",
        )
    elif new.latency is not None and old.latency is not None:
        what = "The median latency on this pinned device"
        yield _growth("latency", new.latency.p50_ms, old.latency.p50_ms, limit, "ms", what)


def _ratio(new: EngineReport, old: EngineReport, limit: float, reference: str) -> Finding:
    """Slower is what the whole interval says; an estimate beyond the limit alone asks for another
    measurement.
    """
    assert new.speedup is not None and old.speedup is not None
    ratio, expected = new.speedup.ratio, old.speedup.ratio
    # the baseline's own run has an interval too: one made on a busy machine must not fail quiet
    # ones
    least = (old.speedup.low if old.speedup.low is not None else expected) * (1 - limit / 100)
    spread = (
        "" if new.speedup.low is None else f" ({new.speedup.low:.2f} to {new.speedup.high:.2f})"
    )
    message = (
        f"{ratio:.2f}x{spread} {reference}'s speed in the same run, was {expected:.2f}x; it may"
        f" fall by {limit:g} %."
    )
    if ratio >= least:
        better = new.speedup.low is not None and new.speedup.low > expected * (1 + limit / 100)
        return found("speed", ratio, expected, limit, "x", "pass", message, improved=better)
    if new.speedup.high is not None and new.speedup.high < least:
        return found("speed", ratio, expected, limit, "x", "fail", message, code=SPEED_EXIT_CODE)
    message += (
        " The interval does not exclude that: edge-scnet profile BUILD_FOLDER --seconds 10, and"
        " check again."
    )
    return found(
        "speed", ratio, expected, limit, "x", "inconclusive", message, code=INCONCLUSIVE_EXIT_CODE
    )


def _memory(new: EngineReport, old: EngineReport, limit: float) -> Iterable[Finding]:
    if old.memory is None:
        return
    if new.memory is None:
        yield incomparable(
            "memory", "The report lacks the engine's memory, which the baseline knows."
        )
        return
    for metric, one, other in (
        ("memory at load", new.memory.load_peak_bytes, old.memory.load_peak_bytes),
        ("memory steady", new.memory.steady_bytes, old.memory.steady_bytes),
    ):
        yield _growth(metric, one / 2**20, other / 2**20, limit, "MiB", f"The {metric}")


def _growth(
    metric: str, value: float, expected: float, limit: float, unit: str, what: str
) -> Finding:
    growth = 100 * (value / expected - 1) if expected else 0.0
    message = (
        f"{what} is {value:.4g} {unit}, {growth:+.1f} % to the baseline's {expected:.4g}; it may"
        f" grow by {limit:g} %."
    )
    verdict: Verdict = "fail" if growth > limit else "pass"
    return found(metric, value, expected, limit, unit, verdict, message, code=SPEED_EXIT_CODE)


def _pinned(report: RunReport) -> bool:
    """Whether absolute times mean something: clocks fixed, nobody else on the processor."""
    if report.board is not None:
        return bool(report.board.clocks_pinned) and not report.board.throttled
    return report.environment.get("governor") in _PINNED_GOVERNORS and not report.environment.get(
        "virtual"
    )
