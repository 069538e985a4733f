"""Two reports, or engines timed together: which is better, where that can be told at all. Pure.

"No difference" and "cannot tell" are answers: the first where a difference above the least that
counts is excluded, the second where the measurements do not decide. Times of separate runs are
compared through what both runs timed, the same reference engine in alternated blocks: machines
drift by 20 to 30 % within minutes, and the ratio to the reference does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from edge_scnet.core.packing import unpack_classes
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    same_machine,
    timed_row,
)
from edge_scnet.stats.figures import RatioStats
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
Answer = Literal["A", "B", "same", "unknown", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One figure of A and B."""

    figure: str
    a: float | None
    b: float | None
    unit: str
    better: Answer
    message: str  # one sentence for people


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
    one, other = accuracy_row(a), accuracy_row(b)
    if one is None or other is None or one.accuracy is None or other.accuracy is None:
        return
    mine, its = one.accuracy, other.accuracy
    same_images = (
        a.evaluation is not None
        and b.evaluation is not None
        and a.evaluation.images_sha256 is not None
        and a.evaluation.images_sha256 == b.evaluation.images_sha256
    )
    if not same_images:
        yield Comparison(
            figure="top-1",
            a=mine.top1_percent,
            b=its.top1_percent,
            unit="%",
            better="skipped",
            message="Accuracy is not compared: the evaluation images are not the same.",
        )
        return
    truth = a.evaluation.truth if a.evaluation else None
    if truth is not None and one.first_classes and other.first_classes:
        yield _paired(one, other, unpack_classes(truth, mine.images))
    if mine.agreement_percent is not None and its.agreement_percent is not None:
        yield _plain(
            "agreement with FP32",
            mine.agreement_percent,
            its.agreement_percent,
            "%",
            least=0.05,
            more_is_better=True,
        )
    if mine.sqnr_db is not None and its.sqnr_db is not None:
        yield _plain("SQNR", mine.sqnr_db, its.sqnr_db, "dB", least=0.1, more_is_better=True)


def _paired(one: EngineReport, other: EngineReport, labels: tuple[int, ...]) -> Comparison:
    assert one.accuracy is not None and other.accuracy is not None
    images = one.accuracy.images
    right = [
        [
            found == label
            for found, label in zip(
                unpack_classes(str(row.first_classes), images), labels, strict=True
            )
        ]
        for row in (one, other)
    ]
    lost = sum(was and not now for was, now in zip(*right, strict=True))
    won = sum(now and not was for was, now in zip(*right, strict=True))
    low, high = (
        100 * bound for bound in paired_difference_interval(lost, won, images, z=Z_TWO_SIDED_95)
    )
    change = 100 * (won - lost) / images
    spread = (
        f"({-high:+.2f} to {-low:+.2f} pp with 95 % confidence; {lost:,} lost, {won:,} won of"
        f" {images:,})"
    )
    better: Answer = "A" if low > 0 else "B" if high < 0 else "same"
    words = "No difference in top-1:" if better == "same" else "B's top-1 to A's:"
    words = f"{words} {change:+.2f} pp {spread}"
    return Comparison(
        figure="top-1",
        a=one.accuracy.top1_percent,
        b=other.accuracy.top1_percent,
        unit="%",
        better=better,
        message=f"{words}.",
    )


def _times(a: RunReport, b: RunReport, *, across_machines: bool) -> Iterable[Comparison]:
    one, other = timed_row(a), timed_row(b)
    if one is None or other is None or one.latency is None or other.latency is None:
        return
    p50 = one.latency.p50_ms, other.latency.p50_ms
    elsewhere = not same_machine(a, b)
    if elsewhere and not across_machines:
        message = (
            "Times are not compared: the reports are of different machines (--across-machines does"
            " it all the same)."
        )
        yield Comparison(
            figure="latency p50", a=p50[0], b=p50[1], unit="ms", better="skipped", message=message
        )
        return
    mark = " Different machines!" if elsewhere else ""
    reference = _common_reference(a, b)
    if reference is None or one.speedup is None or other.speedup is None or elsewhere:
        better: Answer = "unknown"
        message = (
            f"{p50[0]:.3f} and {p50[1]:.3f} ms, of separate runs: cannot tell. {_TOGETHER}{mark}"
        )
    else:
        better, message = _through(reference, one.speedup, other.speedup)
    yield Comparison(
        figure="latency p50", a=p50[0], b=p50[1], unit="ms", better=better, message=message
    )


def _common_reference(a: RunReport, b: RunReport) -> str | None:
    """The engine that both runs timed their rows against, where it is the same file."""
    first = [
        next((row for row in report.engines if row.latency is not None), None) for report in (a, b)
    ]
    if (
        first[0] is None
        or first[1] is None
        or first[0].sha256 != first[1].sha256
        or not first[0].sha256
    ):
        return None
    return first[0].name.upper()


def _through(reference: str, one: RatioStats, other: RatioStats) -> tuple[Answer, str]:
    """Speeds relative to one engine, each of its own run: the interval of their quotient by the
    ends of both.
    """
    ratio = other.ratio / one.ratio
    words = f"{one.ratio:.2f}x and {other.ratio:.2f}x {reference}'s speed, each in its own run"
    if None in (one.low, one.high, other.low, other.high):
        return "unknown", f"{words}: too few rounds to tell."
    assert (
        one.low is not None
        and one.high is not None
        and other.low is not None
        and other.high is not None
    )
    low, high = (
        other.low / one.high / (1 + _PROCESSES_APART),
        other.high / one.low * (1 + _PROCESSES_APART),
    )
    spread = f"B takes {1 / ratio:.2f}x A's time, {1 / high:.2f} to {1 / low:.2f}"
    if low > 1 + LEAST_DIFFERENCE:
        return "B", f"{words}: B is faster ({spread})."
    if high < 1 - LEAST_DIFFERENCE:
        return "A", f"{words}: A is faster ({spread})."
    return "unknown", f"{words}: cannot tell ({spread}). {_TOGETHER}"


def _sizes(a: RunReport, b: RunReport) -> Iterable[Comparison]:
    one = timed_row(a) or accuracy_row(a)
    other = timed_row(b) or accuracy_row(b)
    if one is None or other is None:
        return
    yield _plain(
        "size",
        one.size_bytes / 1e6,
        other.size_bytes / 1e6,
        "MB",
        least=0.005,
        more_is_better=False,
    )
    if one.memory is not None and other.memory is not None and same_machine(a, b):
        sizes = one.memory.steady_bytes / 2**20, other.memory.steady_bytes / 2**20
        # the resident set of one engine varies by about a MiB from process to process
        yield _plain("memory steady", *sizes, "MiB", least=3.0, more_is_better=False)


def _plain(
    figure: str, a: float, b: float, unit: str, *, least: float, more_is_better: bool
) -> Comparison:
    if abs(b - a) < least:
        return Comparison(
            figure=figure, a=a, b=b, unit=unit, better="same", message=f"{figure}: no difference."
        )
    better: Answer = "B" if (b > a) == more_is_better else "A"
    return Comparison(
        figure=figure,
        a=a,
        b=b,
        unit=unit,
        better=better,
        message=f"{figure}: {a:.4g} and {b:.4g} {unit}, {better} is better.",
    )
