"""Two reports, or engines timed together: which is better, where that can be told at all.

"No difference" and "cannot tell" are answers: the first where a difference above the least that
counts is excluded, the second where the measurements do not decide. Times of separate runs are
compared through what both runs timed, the same reference engine in alternated blocks: machines
drift by 20 to 30 % within minutes, and the ratio to the reference does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edge_scnet.core.packing import unpack_classes
from edge_scnet.report.metric_change import change_of, pairs_of
from edge_scnet.report.metric_comparison import Answer, Comparison, metric_compared
from edge_scnet.report.paired import lost_and_won
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    first_of,
    same_machine,
    timed_row,
)
from edge_scnet.stats.figures import AccuracyStats, RatioStats, TaskStats
from edge_scnet.stats.intervals import Z_TWO_SIDED_95, paired_difference_interval

# Of a time: less is nobody's reason to choose an engine.
LEAST_DIFFERENCE = 0.01
# The ratio of two processes is another one in another run of the very same engines: by 1.0 to 1.6 %
# (standard deviation, of 37 pairs), the quotient of two such ratios by 1.7 %. So much is in no
# run's own interval: 2.58 times it.
_PROCESSES_APART = 0.044
# Where the whole interval lies within this, there is no difference worth the name; a wider one
# decides nothing.
SAME_WITHIN = 0.03

_TOGETHER = "Time them together: edge-scnet profile A B --interleave."


def faster(ratio: RatioStats) -> Answer:
    """Which of two engines timed in alternated blocks is faster; `ratio` is A's time over B's.

    The 99 % interval must lie beyond the least difference that counts; where it lies within 3 % to
    both sides they are equal.
    """
    low, high = ratio.low99, ratio.high99
    if low is None or high is None:
        return "unknown"
    if low > 1 + LEAST_DIFFERENCE:
        return "B"
    if high < 1 - LEAST_DIFFERENCE:
        return "A"
    return "same" if low > 1 / (1 + SAME_WITHIN) and high < 1 + SAME_WITHIN else "unknown"


def ratio_words(ratio: RatioStats, a: str, b: str) -> str:
    """The answer on two engines timed together, as a sentence; a round is one of new processes."""
    answer = faster(ratio)
    quick, slow, turned = (a, b, True) if answer == "A" else (b, a, False)
    ends = (ratio.low99, ratio.high99)
    if turned and None not in ends:
        ends = (1 / ends[1], 1 / ends[0])  # type: ignore[operator]
    spread = (
        "" if None in ends else f" (99 %: {ends[0]:.3f} to {ends[1]:.3f}, {ratio.rounds} rounds)"
    )
    speed = 1 / ratio.ratio if turned else ratio.ratio
    words = f"{speed:.3f}x {slow}'s speed{spread}"
    if answer == "same":
        return f"no difference above {100 * SAME_WITHIN:g} %: {quick} has {words}"
    if answer == "unknown":
        return f"cannot tell: {quick} has {words}; measure longer: --seconds"
    return f"{quick} is faster: {words}"


def compare(a: RunReport, b: RunReport, *, across_machines: bool = False) -> tuple[Comparison, ...]:
    """All figures that both reports have.

    Args:
        across_machines: compare times of different machines all the same; the sentence says so.

    Raises:
        ValueError: packed classes that are damaged.
    """
    return (*_accuracy(a, b), *_times(a, b, across_machines=across_machines), *_sizes(a, b))


def _accuracy(a: RunReport, b: RunReport) -> Iterable[Comparison]:
    row_a, row_b = accuracy_row(a), accuracy_row(b)
    if row_a is None or row_b is None or row_a.accuracy is None or row_b.accuracy is None:
        return
    stats_a, stats_b = row_a.accuracy, row_b.accuracy
    same_images = (
        a.evaluation is not None
        and b.evaluation is not None
        and a.evaluation.images_sha256 is not None
        and a.evaluation.images_sha256 == b.evaluation.images_sha256
    )
    if not same_images:
        yield Comparison(
            figure="top-1",
            a=_top1(stats_a),
            b=_top1(stats_b),
            unit="%",
            better="skipped",
            message="Accuracy is not compared: the evaluation images are not the same.",
        )
        return
    kinds = [_kind_of(stats) for stats in (stats_a, stats_b)]
    if kinds[0] != kinds[1]:
        yield Comparison(
            figure="task",
            a=None,
            b=None,
            unit="",
            better="skipped",
            message=f"Accuracy is not compared: A is judged as {kinds[0]}, B as {kinds[1]}.",
        )
        return
    truth = a.evaluation.truth if a.evaluation else None
    if truth is not None and row_a.first_classes and row_b.first_classes:
        yield _paired(row_a, row_b, unpack_classes(truth, stats_a.images))
    if stats_a.task is not None and stats_b.task is not None:
        yield from _of_tasks(stats_a.task, stats_b.task)
    if stats_a.agreement_percent is not None and stats_b.agreement_percent is not None:
        agreement = _Figure(name="agreement with FP32", unit="%", least=0.05, more_is_better=True)
        yield agreement.compared(stats_a.agreement_percent, stats_b.agreement_percent)
    if stats_a.sqnr_db is not None and stats_b.sqnr_db is not None:
        sqnr = _Figure(name="SQNR", unit="dB", least=0.1, more_is_better=True)
        yield sqnr.compared(stats_a.sqnr_db, stats_b.sqnr_db)


def _of_tasks(a: TaskStats, b: TaskStats) -> Iterable[Comparison]:
    """The figures that two engines judged by the same task have in common."""
    for _, first, second in pairs_of(a, b):
        if second is not None and first.unit != "dB":
            yield metric_compared(first, second, change_of(a, b, first.name))


def _kind_of(stats: AccuracyStats) -> str:
    """The task that an engine is judged by; older reports name none."""
    if stats.task is not None:
        return stats.task.task
    return "features" if stats.agreement_percent is None else "classification"


def _top1(stats: AccuracyStats) -> float | None:
    return None if stats.labels is None else stats.labels.top1_percent


def _paired(row_a: EngineReport, row_b: EngineReport, labels: tuple[int, ...]) -> Comparison:
    assert row_a.accuracy is not None and row_b.accuracy is not None
    images = row_a.accuracy.images
    right_a, right_b = (
        [
            predicted == label
            for predicted, label in zip(
                unpack_classes(str(row.first_classes), images), labels, strict=True
            )
        ]
        for row in (row_a, row_b)
    )
    lost, won = lost_and_won(right_a, right_b)
    low, high = (
        100 * bound for bound in paired_difference_interval(lost, won, images, z=Z_TWO_SIDED_95)
    )
    change = 100 * (won - lost) / images
    better: Answer = "A" if low > 0 else "B" if high < 0 else "same"
    words = "No difference in top-1:" if better == "same" else "B's top-1 to A's:"
    return Comparison(
        figure="top-1",
        a=_top1(row_a.accuracy),
        b=_top1(row_b.accuracy),
        unit="%",
        better=better,
        message=(
            f"{words} {change:+.2f} pp ({-high:+.2f} to {-low:+.2f} pp with 95 % confidence;"
            f" {lost:,} lost, {won:,} won of {images:,})."
        ),
    )


def _times(a: RunReport, b: RunReport, *, across_machines: bool) -> Iterable[Comparison]:
    row_a, row_b = timed_row(a), timed_row(b)
    if row_a is None or row_b is None or row_a.latency is None or row_b.latency is None:
        return
    times = row_a.latency.p50_ms, row_b.latency.p50_ms
    elsewhere = not same_machine(a, b)
    reference = _common_reference(a, b)
    if elsewhere and not across_machines:
        better: Answer = "skipped"
        message = (
            "Times are not compared: the reports are of different machines (--across-machines does"
            " it all the same)."
        )
    elif reference is None or row_a.speedup is None or row_b.speedup is None or elsewhere:
        better = "unknown"
        mark = " Different machines!" if elsewhere else ""
        message = (
            f"{times[0]:.3f} and {times[1]:.3f} ms, of separate runs: cannot tell."
            f" {_TOGETHER}{mark}"
        )
    else:
        better, message = _through(f"{reference}'s speed", row_a.speedup, row_b.speedup)
    yield Comparison(
        figure="latency p50", a=times[0], b=times[1], unit="ms", better=better, message=message
    )
    yield from _throughputs(row_a, row_b, reference, comparable=not elsewhere)


def _throughputs(
    row_a: EngineReport, row_b: EngineReport, reference: str | None, *, comparable: bool
) -> Iterable[Comparison]:
    """Compares throughputs where both are known relative to one engine; else there is no word."""
    ratio_a, ratio_b = row_a.throughput_ratio, row_b.throughput_ratio
    if reference is None or ratio_a is None or ratio_b is None or not comparable:
        return
    better, message = _through(f"{reference}'s throughput", ratio_a, ratio_b)
    yield Comparison(
        figure="throughput",
        a=row_a.throughput_per_second,
        b=row_b.throughput_per_second,
        unit="images/s",
        better=better,
        message=message,
    )


def _common_reference(a: RunReport, b: RunReport) -> str | None:
    """The name of the engine that both runs timed their rows against, where it is the same file."""
    timed_a, timed_b = (first_of(report.engines, "reference", timed=True) for report in (a, b))
    if timed_a is None or timed_b is None:
        return None
    same_file = timed_a.sha256 == timed_b.sha256 and timed_a.sha256
    return timed_a.name.upper() if same_file else None


def _through(whose: str, speed_a: RatioStats, speed_b: RatioStats) -> tuple[Answer, str]:
    """Compares speeds relative to one engine's, each of its own run.

    The interval of their quotient is made of the ends of both.
    """
    ratio = speed_b.ratio / speed_a.ratio
    words = f"{speed_a.ratio:.2f}x and {speed_b.ratio:.2f}x {whose}, each in its own run"
    if speed_a.low is None or speed_a.high is None or speed_b.low is None or speed_b.high is None:
        return "unknown", f"{words}: too few rounds to tell."
    low = speed_b.low / speed_a.high / (1 + _PROCESSES_APART)
    high = speed_b.high / speed_a.low * (1 + _PROCESSES_APART)
    spread = f"B has {ratio:.2f}x A's, {low:.2f} to {high:.2f}"
    if low > 1 + LEAST_DIFFERENCE:
        return "B", f"{words}: B is faster ({spread})."
    if high < 1 - LEAST_DIFFERENCE:
        return "A", f"{words}: A is faster ({spread})."
    return "unknown", f"{words}: cannot tell ({spread}). {_TOGETHER}"


def _sizes(a: RunReport, b: RunReport) -> Iterable[Comparison]:
    row_a = timed_row(a) or accuracy_row(a)
    row_b = timed_row(b) or accuracy_row(b)
    if row_a is None or row_b is None:
        return
    size = _Figure(name="size", unit="MB", least=0.005, more_is_better=False)
    yield size.compared(row_a.size_bytes / 1e6, row_b.size_bytes / 1e6)
    if row_a.memory is not None and row_b.memory is not None and same_machine(a, b):
        # the resident set of one engine varies by about a MiB from process to process
        memory = _Figure(name="memory steady", unit="MiB", least=3.0, more_is_better=False)
        yield memory.compared(row_a.memory.steady_bytes / 2**20, row_b.memory.steady_bytes / 2**20)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """A figure without an interval, and the least difference that counts."""

    name: str
    unit: str
    least: float
    more_is_better: bool

    def compared(self, a: float, b: float) -> Comparison:
        if abs(b - a) < self.least:
            better: Answer = "same"
            message = f"{self.name}: no difference."
        else:
            better = "B" if (b > a) == self.more_is_better else "A"
            message = f"{self.name}: {a:.4g} and {b:.4g} {self.unit}, {better} is better."
        return Comparison(
            figure=self.name, a=a, b=b, unit=self.unit, better=better, message=message
        )
