"""The verdict on an engine's speed: it must be proven, as accuracy must.

An engine is worth shipping where it is proven faster than every other row of its run in latency or
in throughput and in the other is slower than none, or where it is smaller by what the target asks
for. One that another row beats in both is not. What lies between is not proven: the message says
what is missing, and what to do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from edge_scnet.config.target import Gates
from edge_scnet.report.findings import Figure, Finding, judged
from edge_scnet.report.run_report import EngineReport
from edge_scnet.stats.figures import LatencyStats, MemoryStats, RatioStats

Answer = Literal["faster", "slower", "undecided"]

# Two processes of the very same engine differ by so much, for as long as they live: 1.96 times the
# standard deviation of 1.2 % (that of the quotient of two such ratios is 1.7 %, of 37 pairs). A
# run's own interval knows nothing of it, so its ends must lie farther from 1.
PROCESSES_APART = 0.024
# The resident memory of one engine varies by about a MiB from process to process.
MEMORY_APART_BYTES = 3 << 20

_METRICS = ("latency", "throughput")
_QUIETER = (
    "measure longer (--seconds 10 or more), with nothing else running on the machine and its clocks"
    " pinned"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """An engine against one other row of its run: of every figure, above 1 the engine is better."""

    name: str
    # without ends where it is one figure without an interval; None: not measured
    latency: RatioStats | None
    throughput: RatioStats | None
    # by how much its files and its process's memory are smaller; None: not measured
    size_gain_percent: float | None = None
    memory_gain_percent: float | None = None

    def ratio(self, metric: str) -> RatioStats | None:
        return self.latency if metric == "latency" else self.throughput

    def answer(self, metric: str) -> Answer:
        """What the interval says, with the spread of processes around it."""
        ratio = self.ratio(metric)
        if ratio is None or ratio.low is None or ratio.high is None:
            return "undecided"
        if ratio.low > 1 + PROCESSES_APART:
            return "faster"
        return "slower" if ratio.high < 1 / (1 + PROCESSES_APART) else "undecided"

    def may_be_slower(self, metric: str) -> bool:
        """Whether the engine is proven slower; where there is no interval, by the figure alone."""
        ratio = self.ratio(metric)
        if ratio is None:
            return True
        return self.answer(metric) == "slower" if ratio.low is not None else ratio.ratio < 1


def against(engine: EngineReport, other: EngineReport) -> Against:
    """Compares two rows of one run, block by block and window by window where both are there."""
    return Against(
        name=other.name,
        latency=_latency_ratio(engine, other),
        throughput=_throughput_ratio(engine, other),
        size_gain_percent=_gain(engine.size_bytes, other.size_bytes),
        memory_gain_percent=_memory_gain(engine.memory, other.memory),
    )


def _latency_ratio(engine: EngineReport, other: EngineReport) -> RatioStats | None:
    from edge_scnet.stats.timing import paired_ratio  # with NumPy, which a gate reads without

    if engine.latency is None or other.latency is None:
        return None
    own, others = _blocks(engine.latency), _blocks(other.latency)
    if own and len(own) == len(others):
        return paired_ratio(others, own)
    return _through_the_first(engine.speedup, other.speedup)


def _blocks(latency: LatencyStats) -> list[tuple[int, ...]]:
    """The run times by block; nothing where the report does not tell the blocks."""
    if sum(latency.blocks) != len(latency.samples_ns):
        return []
    ends = itertools.accumulate(latency.blocks)
    return [
        latency.samples_ns[end - size : end] for end, size in zip(ends, latency.blocks, strict=True)
    ]


def _throughput_ratio(engine: EngineReport, other: EngineReport) -> RatioStats | None:
    from edge_scnet.stats.timing import rate_ratio

    own, others = engine.throughput_windows, other.throughput_windows
    if own and len(own) == len(others):
        return rate_ratio(own, others)
    if (ratio := _through_the_first(engine.throughput_ratio, other.throughput_ratio)) is not None:
        return ratio
    if not engine.throughput_per_second or not other.throughput_per_second:
        return None
    ratio_of_figures = engine.throughput_per_second / other.throughput_per_second
    return RatioStats(ratio=ratio_of_figures, low=None, high=None, rounds=1)


def _through_the_first(own: RatioStats | None, other: RatioStats | None) -> RatioStats | None:
    """The quotient of two ratios to the first row; its interval is made of the ends of both.

    Args:
        own: of the engine; None: not measured.
        other: of the other row; None: it is the first row itself.
    """
    if own is None or other is None:
        return own
    known = None not in (own.low, own.high, other.low, other.high)
    return RatioStats(
        ratio=own.ratio / other.ratio,
        low=own.low / other.high if known else None,  # type: ignore[operator]
        high=own.high / other.low if known else None,  # type: ignore[operator]
        rounds=min(own.rounds, other.rounds),
    )


def _gain(own: float, other: float) -> float | None:
    return 100 * (1 - own / other) if other else None


def _memory_gain(own: MemoryStats | None, other: MemoryStats | None) -> float | None:
    """By how much less memory an engine takes, beyond what it varies by.

    Of plans the growth of the whole machine's use counts: their memory is not in the process.
    """
    if own is None or other is None:
        return None
    if own.device_activation_bytes is None and other.device_activation_bytes is None:
        return _gain(own.steady_bytes + MEMORY_APART_BYTES, other.steady_bytes)
    if own.ram_delta_bytes is None or other.ram_delta_bytes is None or other.ram_delta_bytes <= 0:
        return None
    return _gain(own.ram_delta_bytes + MEMORY_APART_BYTES, other.ram_delta_bytes)


def judge_speed(
    rows: Sequence[Against], *, gates: Gates, batch: int, reference: str = "FP32"
) -> Finding:
    """Judges whether there is any use for an engine: three verdicts, as for accuracy.

    Args:
        rows: the engine against every other row, the reference first.
        reference: what the reference is called in the message.
    """
    if not rows:
        words = "There is no other engine that its speed could be compared with."
        return judged("speed", "speed", Figure(measured=None, unit="x"), "inconclusive", words)
    first = rows[0].latency
    figure = Figure(measured=first.ratio if first else None, unit="x")
    gain = _gain_words(rows, batch, reference)
    better = next((row for row in rows if _is_beaten(row)), None)
    if better is not None:
        words = f"{better.name} is faster in latency and throughput ({_both_words(better)})"
        return judged("speed", "speed", figure, "fail", f"{gain}: {words}.")
    if any(_is_proven(rows, metric) for metric in _METRICS):
        return judged("speed", "speed", figure, "pass", f"{gain}.")
    if (smaller := _smaller_words(rows, gates)) is not None:
        return judged("speed", "speed", figure, "pass", f"{gain}; {smaller}.")
    message = f"{gain}: {_missing_words(rows)}."
    return judged("speed", "speed", figure, "inconclusive", message)


def _is_beaten(row: Against) -> bool:
    return all(row.answer(metric) == "slower" for metric in _METRICS)


def _is_proven(rows: Sequence[Against], metric: str) -> bool:
    return _is_fastest(rows, metric) and not any(row.may_be_slower(_other(metric)) for row in rows)


def _is_fastest(rows: Sequence[Against], metric: str) -> bool:
    return all(row.answer(metric) == "faster" for row in rows)


def _other(metric: str) -> str:
    return _METRICS[1 - _METRICS.index(metric)]


def _smaller_words(rows: Sequence[Against], gates: Gates) -> str | None:
    """What makes an engine worth shipping that is not proven faster; None where nothing does."""
    asked: tuple[tuple[str, float | None, Callable[[Against], float | None]], ...] = (
        ("files", gates.min_size_gain_percent, lambda row: row.size_gain_percent),
        ("memory", gates.min_memory_gain_percent, lambda row: row.memory_gain_percent),
    )
    for what, least, gain_of in asked:
        gains = [gain_of(row) for row in rows]
        known = [gain for gain in gains if gain is not None]
        if least is not None and len(known) == len(gains) and min(known) >= least:
            return (
                f"its {what} {'are' if what == 'files' else 'is'} {min(known):.0f} % smaller than"
                f" any other's, and the target asks for {least:g} %"
            )
    return None


def _gain_words(rows: Sequence[Against], batch: int, reference: str) -> str:
    """The speed to the reference, and the throughput to the best other."""
    speed = f"{_ratio_words(rows[0].latency)} {reference}'s speed at batch {batch}"
    rates = [row.throughput for row in rows if row.throughput is not None]
    if not rates:
        return f"{speed}, throughput not measured"
    best = min(rates, key=lambda ratio: ratio.ratio)
    return f"{speed}, {_ratio_words(best)} the best other's throughput"


def _ratio_words(ratio: RatioStats | None) -> str:
    if ratio is None:
        return "not measured:"
    spread = "" if ratio.low is None else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    return f"{ratio.ratio:.2f}x{spread}"


def _both_words(row: Against) -> str:
    return ", ".join(f"{_ratio_words(row.ratio(metric))} its {metric}" for metric in _METRICS)


def _missing_words(rows: Sequence[Against]) -> str:
    """Why an engine that nothing beats is not proven worth shipping, and what to do."""
    for metric in _METRICS:
        other = _other(metric)
        slower = [row for row in rows if row.may_be_slower(other)]
        if _is_fastest(rows, metric) and slower:
            return _trade_words(slower, metric, other)
    return "; ".join(_unproven_words(rows))


def _trade_words(slower: Sequence[Against], metric: str, other: str) -> str:
    """What an engine gains in one figure and loses in the other."""
    row = next((row for row in slower if row.answer(other) == "slower"), slower[0])
    ratio = row.ratio(other)
    if ratio is None:
        return f"it is faster in {metric}, and {other} was not measured"
    if row.answer(other) == "slower":
        return (
            f"it is faster in {metric} but slower than {row.name} in {other}"
            f" ({_ratio_words(ratio)}): which of them counts is not for this verdict to say"
        )
    return (
        f"it is faster in {metric}, but of {other} there is one figure without an interval,"
        f" {_ratio_words(ratio)} that of {row.name}: measure it again, with this version's profiler"
    )


def _unproven_words(rows: Sequence[Against]) -> Iterator[str]:
    """Of each metric the row that is beaten least, then the cause."""
    blocking = [
        (metric, min(open_rows, key=lambda row: _least(row.ratio(metric))))
        for metric in _METRICS
        if (open_rows := [row for row in rows if row.answer(metric) != "faster"])
    ]
    parts = []
    for metric, row in blocking:
        words = "slower than" if row.answer(metric) == "slower" else "not proven faster than"
        parts.append(f"{words} {row.name} in {metric} ({_ratio_words(row.ratio(metric))})")
    yield f"it is {' and '.join(parts)}"
    undecided = [row.ratio(m) for m, row in blocking if row.answer(m) == "undecided"]
    ratios = [ratio for ratio in undecided if ratio is not None]
    if any(ratio.low is None for ratio in ratios):
        yield "there are too few rounds for an interval: measure longer, --seconds 10"
    elif ratios and all(_is_within_spread(ratio) for ratio in ratios):
        yield (
            f"two processes of one engine differ by up to {100 * PROCESSES_APART:.1f} %, so there"
            " is no difference worth the name"
        )
    elif ratios:
        yield f"the measurement is too noisy to tell: {_QUIETER}"


def _least(ratio: RatioStats | None) -> float:
    if ratio is None:
        return 0.0
    return ratio.ratio if ratio.low is None else ratio.low


def _is_within_spread(ratio: RatioStats) -> bool:
    """Whether the whole interval lies where the spread of processes hides every difference."""
    assert ratio.low is not None and ratio.high is not None
    widest = 1 + PROCESSES_APART
    return ratio.low >= 1 / widest and ratio.high <= widest
