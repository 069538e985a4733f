"""Verdicts on measurements, as findings. Pure: it reads statistics and returns records, it does no
input or output.

A verdict is not an error: 0 pass, 10 accuracy, 11 speed, size or memory, 12 not comparable with the
baseline (`regression.py`), 13 inconclusive.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_scnet.config.target import TargetSpec
from edge_scnet.report import verdict as gate
from edge_scnet.report.findings import Finding, Verdict, gate_finding
from edge_scnet.report.run_report import EngineReport
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.figures import AccuracyStats, RatioStats
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, paired_difference_score, wilson_bounds


def judge_accuracy(
    stats: AccuracyStats,
    *,
    max_drop_pp: float,
    min_agreement_percent: float | None,
    min_sqnr_db: float | None = None,
) -> Finding:
    """Has the engine lost more accuracy against its reference than allowed?

    With labels: the paired drop of top-1. It passes when the upper end of its one-sided 95 %
    interval is within the limit, fails when the lower end is beyond it, and is inconclusive
    between: then these images cannot tell, and the message says about how many could, if lost and
    won keep their shares.

    Without labels: the share of images whose first class differs from the reference's, against 100
    - `min_agreement_percent`, with Wilson's one-sided bounds. An image that the reference has right
    and the engine wrong has two different first classes, so whatever the labels are, the drop of
    top-1 is at most this share.

    Without classes at all (feature maps): the SQNR against `min_sqnr_db`. It has no interval, and
    no limit by default: how much a detector's head bears is its owner's to say.
    """
    if stats.drop_pp is not None:
        return _judge_drop(stats, max_drop_pp)
    if stats.agreement_percent is None:
        return _judge_sqnr(stats, min_sqnr_db)
    if min_agreement_percent is None:
        return gate_finding(
            "agreement",
            stats.agreement_percent,
            None,
            "%",
            "inconclusive",
            "The evaluation images have no labels and no lower limit of the agreement is set:"
            " accuracy cannot be judged.",
        )
    return _judge_agreement(stats, min_agreement_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """An engine's time in alternated blocks, and its throughput."""

    name: str
    speedup: RatioStats | None  # the reference's time over this one's; None: it is the reference
    throughput_per_second: float


def judge_speed(
    engine: Speed, others: Sequence[Speed], *, batch: int, reference: str = "FP32"
) -> Finding:
    """Is there any use for the engine? It fails when another is faster beyond the noise in latency,
    and in throughput too.

    Latency: the other's 95 % interval of the speedup lies above this one's. Rounds too few for an
    interval never fail.
    """
    ratio = engine.speedup.ratio if engine.speedup else 1.0
    best = max(
        (other.throughput_per_second for other in others), default=engine.throughput_per_second
    )
    low, high = (engine.speedup.low, engine.speedup.high) if engine.speedup else (None, None)
    spread = "" if low is None else f" ({low:.2f} to {high:.2f})"
    rate = engine.throughput_per_second / best
    gain = (
        f"{ratio:.2f}x{spread} {reference}'s speed at batch {batch}, {rate:.2f}x the best other's"
        " throughput"
    )
    better = next((other for other in others if _beats(other, engine)), None)
    if better is None:
        return gate_finding("speed", ratio, None, "x", "pass", f"{gain}.")
    return gate_finding(
        "speed",
        ratio,
        None,
        "x",
        "fail",
        f"{better.name} is faster in latency and throughput ({gain}).",
    )


def _beats(other: Speed, engine: Speed) -> bool:
    low = other.speedup.low if other.speedup else 1.0
    high = engine.speedup.high if engine.speedup else 1.0
    return (
        low is not None
        and high is not None
        and low > high
        and other.throughput_per_second > engine.throughput_per_second
    )


def _judge_drop(stats: AccuracyStats, limit: float) -> Finding:
    drop, lower, upper = stats.drop_pp, stats.drop_lower95_pp, stats.drop_upper95_pp
    lost, won = stats.lost, stats.won
    if drop is None or lower is None or upper is None or lost is None or won is None:
        raise ValueError("labelled statistics without their drop, bounds or counts")
    change = (
        f"Top-1 fell by {drop:.2f} pp"
        if drop > 0
        else f"Top-1 rose by {-drop:.2f} pp"
        if drop < 0
        else "Top-1 is equal"
    )
    seen = f"on {stats.images:,} images ({lost:,} lost, {won:,} won)"
    if upper <= limit:
        verdict: Verdict = "pass"
        message = (
            f"{change} {seen}; the drop is at most {upper:.2f} pp with 95 % confidence, within the"
            f" limit of {limit:g} pp."
        )
    elif lower > limit:
        verdict = "fail"
        message = (
            f"{change} {seen}; the drop is at least {lower:.2f} pp with 95 % confidence, beyond the"
            f" limit of {limit:g} pp."
        )
    else:
        verdict = "inconclusive"
        score = paired_difference_score(lost, won, stats.images, limit / 100.0)
        question = (
            f"exclude a loss of {limit:g} pp"
            if drop < limit
            else f"prove a loss of more than {limit:g} pp"
        )
        message = (
            f"{change} {seen}; these {stats.images:,} images cannot {question} "
            f"(the drop may be {lower:.2f} to {upper:.2f} pp): {advice(stats.images, score)}."
        )
    return gate_finding("top-1 drop", drop, limit, "pp", verdict, message)


def _judge_sqnr(stats: AccuracyStats, minimum: float | None) -> Finding:
    seen = (
        f"The outputs are no classes; their SQNR is {decibels(stats.sqnr_db)} on"
        f" {stats.images:,} images"
    )
    if minimum is None:
        message = f"{seen}, and no lower limit is set (gates.min_sqnr_db of the target)."
        return gate_finding("SQNR", stats.sqnr_db, None, "dB", "inconclusive", message)
    good = stats.sqnr_db is None or stats.sqnr_db >= minimum
    message = f"{seen}, {'within' if good else 'below'} the limit of {minimum:g} dB."
    return gate_finding("SQNR", stats.sqnr_db, minimum, "dB", "pass" if good else "fail", message)


def _judge_agreement(stats: AccuracyStats, minimum: float) -> Finding:
    if stats.agreeing is None:
        raise ValueError("statistics without agreement")
    differing = stats.images - stats.agreeing
    low, high = wilson_bounds(differing, stats.images, z=Z_ONE_SIDED_95)
    allowed = (100.0 - minimum) / 100.0
    share = differing / stats.images
    seen = (
        f"The first class equals the reference's on {stats.agreement_percent:.2f} % of"
        f" {stats.images:,} unlabelled images"
    )
    if high <= allowed:
        verdict: Verdict = "pass"
        message = (
            f"{seen}; at least {100 - 100 * high:.2f} % with 95 % confidence, within the limit of"
            f" {minimum:g} %."
        )
    elif low > allowed:
        verdict = "fail"
        message = (
            f"{seen}; at most {100 - 100 * low:.2f} % with 95 % confidence, below the limit of"
            f" {minimum:g} %."
        )
    else:
        verdict = "inconclusive"
        spread = math.sqrt(allowed * (1.0 - allowed) / stats.images)
        score = (share - allowed) / spread if spread else 0.0
        question = (
            f"show an agreement of {minimum:g} %"
            if share < allowed
            else f"prove one below {minimum:g} %"
        )
        message = (
            f"{seen}; these {stats.images:,} images cannot {question} (it may be"
            f" {100 - 100 * high:.2f} to {100 - 100 * low:.2f} %): {advice(stats.images, score)}."
        )
    return gate_finding("agreement", stats.agreement_percent, minimum, "%", verdict, message)


def advice(images: int, score: float) -> str:
    """How many images would decide, in words: at equal shares a score grows with their square root,
    and must reach z.
    """
    needed = images * (Z_ONE_SIDED_95 / score) ** 2 if score else math.inf
    if needed > 1e7:
        return (
            "the estimate lies at the limit itself; some thousands of images will move it, if it is"
            " chance"
        )
    step = 10 ** max(
        0, math.floor(math.log10(needed)) - 1
    )  # two digits: the shares are estimates themselves
    return f"use about {max(images + 1, math.ceil(needed / step) * step):,}"


def verdict(findings: Sequence[Finding]) -> str:
    """One line: ship or not, and why. Accuracy decides first; an engine that gains nothing is not
    worth shipping either.
    """
    if not findings:
        return "no INT8 engine was measured"
    by_metric = {finding.metric: finding for finding in findings}
    speed = by_metric.pop("speed", None)
    accuracy = next(iter(by_metric.values()), None)
    if speed is None:
        assert accuracy is not None
        words = {"pass": "accurate", "fail": "not accurate", "inconclusive": "not proven"}[
            accuracy.verdict
        ]
        return f"{words} in simulation, speed not measured: {accuracy.message}"
    if accuracy is None:
        return f"not judged: no evaluation images. INT8 has {speed.message}"
    if accuracy.verdict == "fail":
        return f"do not ship: {accuracy.message}"
    if speed.verdict == "fail":
        return f"do not ship: {speed.message} {accuracy.message}"
    if accuracy.verdict == "inconclusive":
        return f"not proven: {accuracy.message}"
    return f"ship INT8: {speed.message} {accuracy.message}"


_NAMED = 3


def explained(
    speed: Finding, *, copies: Sequence[str], float_convolutions: Sequence[str]
) -> Finding:
    """The finding on INT8's speed with what takes from it, by module."""
    words = []
    if copies:
        words.append(
            f"{_count(len(copies), 'layer')} only {'copies' if len(copies) == 1 else 'copy'} data"
            f" ({_names(copies)})"
        )
    if float_convolutions:
        words.append(
            f"{_count(len(float_convolutions), 'convolution')} in float"
            f" ({_names(float_convolutions)})"
        )
    if not words:
        return speed
    return replace(speed, message=f"{speed.message} What takes from it: {'; '.join(words)}.")


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _names(modules: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(modules))
    return ", ".join(distinct[:_NAMED]) + (", ..." if len(distinct) > _NAMED else "")


def judge(rows: Sequence[EngineReport], target: TargetSpec) -> list[Finding]:
    """Findings on the INT8 row: accuracy where it was measured, then speed; none where there is no
    such row.
    """
    speeds = {
        row.name: gate.Speed(
            name=row.name, speedup=row.speedup, throughput_per_second=row.throughput_per_second
        )
        for row in rows
        if row.throughput_per_second is not None
    }
    int8 = next((row for row in rows if row.name.startswith("int8")), None)
    if int8 is None:
        return []
    findings = []
    if int8.accuracy is not None:
        gates = target.gates
        findings.append(
            gate.judge_accuracy(
                int8.accuracy,
                max_drop_pp=gates.max_drop_pp,
                min_agreement_percent=gates.min_agreement_percent,
                min_sqnr_db=gates.min_sqnr_db,
            )
        )
    if int8.name not in speeds:
        return findings
    others = [speed for name, speed in speeds.items() if name != int8.name]
    speed = gate.judge_speed(
        speeds[int8.name], others, batch=target.batch, reference=rows[0].name.upper()
    )
    return [
        *findings,
        explained(speed, copies=int8.copies, float_convolutions=int8.float_convolutions),
    ]
