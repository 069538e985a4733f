"""Verdicts on measurements, as findings. Pure: it reads statistics and returns records, it does no input or output.

A verdict is not an error: 0 pass, 10 accuracy, 11 speed, size or memory, 12 not comparable with the baseline
(`regression.py`), 13 inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edge_scnet.stats.figures import Z_ONE_SIDED_95, AccuracyStats, RatioStats, paired_difference_score, wilson_bounds

Verdict = Literal["pass", "fail", "inconclusive", "skipped"]

ACCURACY_EXIT_CODE = 10
SPEED_EXIT_CODE = 11
INCOMPARABLE_EXIT_CODE = 12
INCONCLUSIVE_EXIT_CODE = 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judged figure."""

    metric: str
    measured: float | None
    limit: float | None
    unit: str
    verdict: Verdict
    message: str  # one sentence for people
    exit_code: int
    expected: float | None = None  # the baseline's
    cause: str | None = None  # what else changed since the baseline
    improved: bool = False  # better than the baseline beyond noise


def judge_accuracy(
    stats: AccuracyStats, *, max_drop_pp: float, min_agreement_percent: float | None, min_sqnr_db: float | None = None
) -> Finding:
    """Has the engine lost more accuracy against its reference than allowed?

    With labels: the paired drop of top-1. It passes when the upper end of its one-sided 95 % interval is within the limit,
    fails when the lower end is beyond it, and is inconclusive between: then these images cannot tell, and the message says
    about how many could, if lost and won keep their shares.

    Without labels: the share of images whose first class differs from the reference's, against 100 - `min_agreement_percent`,
    with Wilson's one-sided bounds. An image that the reference has right and the engine wrong has two different first classes,
    so whatever the labels are, the drop of top-1 is at most this share.

    Without classes at all (feature maps): the SQNR against `min_sqnr_db`. It has no interval, and no limit by default: how much
    a detector's head bears is its owner's to say.
    """
    if stats.drop_pp is not None:
        return _judge_drop(stats, max_drop_pp)
    if stats.agreement_percent is None:
        return _judge_sqnr(stats, min_sqnr_db)
    if min_agreement_percent is None:
        return _finding(
            "agreement", stats.agreement_percent, None, "%", "inconclusive",
            "The evaluation images have no labels and no lower limit of the agreement is set: accuracy cannot be judged.",
        )  # fmt: skip
    return _judge_agreement(stats, min_agreement_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """An engine's time in alternated blocks, and its throughput."""

    name: str
    speedup: RatioStats | None  # the reference's time over this one's; None: it is the reference
    throughput_per_second: float


def judge_speed(engine: Speed, others: Sequence[Speed], *, batch: int, reference: str = "FP32") -> Finding:
    """Is there any use for the engine? It fails when another is faster beyond the noise in latency, and in throughput too.

    Latency: the other's 95 % interval of the speedup lies above this one's. Rounds too few for an interval never fail.
    """
    ratio = engine.speedup.ratio if engine.speedup else 1.0
    best = max((other.throughput_per_second for other in others), default=engine.throughput_per_second)
    low, high = (engine.speedup.low, engine.speedup.high) if engine.speedup else (None, None)
    spread = "" if low is None else f" ({low:.2f} to {high:.2f})"
    rate = engine.throughput_per_second / best
    gain = f"{ratio:.2f}x{spread} {reference}'s speed at batch {batch}, {rate:.2f}x the best other's throughput"
    better = next((other for other in others if _beats(other, engine)), None)
    if better is None:
        return _finding("speed", ratio, None, "x", "pass", f"{gain}.")
    return _finding("speed", ratio, None, "x", "fail", f"{better.name} is faster in latency and throughput ({gain}).")


def _beats(other: Speed, engine: Speed) -> bool:
    low = other.speedup.low if other.speedup else 1.0
    high = engine.speedup.high if engine.speedup else 1.0
    return low is not None and high is not None and low > high and other.throughput_per_second > engine.throughput_per_second


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when all pass, else the lowest code among them: accuracy (10) goes before everything, inconclusive (13) last."""
    return min((finding.exit_code for finding in findings if finding.exit_code), default=0)


def _judge_drop(stats: AccuracyStats, limit: float) -> Finding:
    drop, lower, upper = stats.drop_pp, stats.drop_lower95_pp, stats.drop_upper95_pp
    lost, won = stats.lost, stats.won
    if drop is None or lower is None or upper is None or lost is None or won is None:
        raise ValueError("labelled statistics without their drop, bounds or counts")
    change = f"Top-1 fell by {drop:.2f} pp" if drop > 0 else f"Top-1 rose by {-drop:.2f} pp" if drop < 0 else "Top-1 is equal"
    seen = f"on {stats.images:,} images ({lost:,} lost, {won:,} won)"
    if upper <= limit:
        verdict: Verdict = "pass"
        message = f"{change} {seen}; the drop is at most {upper:.2f} pp with 95 % confidence, within the limit of {limit:g} pp."
    elif lower > limit:
        verdict = "fail"
        message = (
            f"{change} {seen}; the drop is at least {lower:.2f} pp with 95 % confidence, beyond the limit of {limit:g} pp."
        )
    else:
        verdict = "inconclusive"
        score = paired_difference_score(lost, won, stats.images, limit / 100.0)
        question = f"exclude a loss of {limit:g} pp" if drop < limit else f"prove a loss of more than {limit:g} pp"
        message = (
            f"{change} {seen}; these {stats.images:,} images cannot {question} "
            f"(the drop may be {lower:.2f} to {upper:.2f} pp): {advice(stats.images, score)}."
        )
    return _finding("top-1 drop", drop, limit, "pp", verdict, message)


def _judge_sqnr(stats: AccuracyStats, minimum: float | None) -> Finding:
    words = "exact" if stats.sqnr_db is None else f"{stats.sqnr_db:.1f} dB"
    seen = f"The outputs are no classes; their SQNR is {words} on {stats.images:,} images"
    if minimum is None:
        message = f"{seen}, and no lower limit is set (gates.min_sqnr_db of the target)."
        return _finding("SQNR", stats.sqnr_db, None, "dB", "inconclusive", message)
    good = stats.sqnr_db is None or stats.sqnr_db >= minimum
    message = f"{seen}, {'within' if good else 'below'} the limit of {minimum:g} dB."
    return _finding("SQNR", stats.sqnr_db, minimum, "dB", "pass" if good else "fail", message)


def _judge_agreement(stats: AccuracyStats, minimum: float) -> Finding:
    if stats.agreeing is None:
        raise ValueError("statistics without agreement")
    differing = stats.images - stats.agreeing
    low, high = wilson_bounds(differing, stats.images, z=Z_ONE_SIDED_95)
    allowed = (100.0 - minimum) / 100.0
    share = differing / stats.images
    seen = f"The first class equals the reference's on {stats.agreement_percent:.2f} % of {stats.images:,} unlabelled images"
    if high <= allowed:
        verdict: Verdict = "pass"
        message = f"{seen}; at least {100 - 100 * high:.2f} % with 95 % confidence, within the limit of {minimum:g} %."
    elif low > allowed:
        verdict = "fail"
        message = f"{seen}; at most {100 - 100 * low:.2f} % with 95 % confidence, below the limit of {minimum:g} %."
    else:
        verdict = "inconclusive"
        spread = math.sqrt(allowed * (1.0 - allowed) / stats.images)
        score = (share - allowed) / spread if spread else 0.0
        question = f"show an agreement of {minimum:g} %" if share < allowed else f"prove one below {minimum:g} %"
        message = (
            f"{seen}; these {stats.images:,} images cannot {question} (it may be {100 - 100 * high:.2f} to "
            f"{100 - 100 * low:.2f} %): {advice(stats.images, score)}."
        )
    return _finding("agreement", stats.agreement_percent, minimum, "%", verdict, message)


def advice(images: int, score: float) -> str:
    """How many images would decide, in words: at equal shares a score grows with their square root, and must reach z."""
    needed = images * (Z_ONE_SIDED_95 / score) ** 2 if score else math.inf
    if needed > 1e7:
        return "the estimate lies at the limit itself; some thousands of images will move it, if it is chance"
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)  # two digits: the shares are estimates themselves
    return f"use about {max(images + 1, math.ceil(needed / step) * step):,}"


def _finding(metric: str, measured: float | None, limit: float | None, unit: str, verdict: Verdict, message: str) -> Finding:
    fail = SPEED_EXIT_CODE if metric == "speed" else ACCURACY_EXIT_CODE
    codes: dict[Verdict, int] = {"pass": 0, "skipped": 0, "fail": fail, "inconclusive": INCONCLUSIVE_EXIT_CODE}
    return Finding(
        metric=metric, measured=measured, limit=limit, unit=unit, verdict=verdict, message=message, exit_code=codes[verdict]
    )


def found(
    metric: str, measured: float | None, expected: float | None, limit: float | None, unit: str, verdict: Verdict, message: str,
    *, code: int = 0, improved: bool = False,
) -> Finding:  # fmt: skip
    """A finding against a baseline; `code` is the exit code where it does not pass."""
    return Finding(
        metric=metric, measured=measured, expected=expected, limit=limit, unit=unit, verdict=verdict, message=message,
        exit_code=code if verdict in ("fail", "inconclusive") else 0, improved=improved,
    )  # fmt: skip


def incomparable(metric: str, message: str) -> Finding:
    """The report and its baseline are not of the same thing, or the report lacks what the baseline knows."""
    return found(metric, None, None, None, "", "fail", message, code=INCOMPARABLE_EXIT_CODE)


def skipped(metric: str, message: str) -> Finding:
    """Not judged, and why."""
    return found(metric, None, None, None, "", "skipped", message)
