"""Verdicts on measurements: findings by the target's gates, and one line to ship or not.

A verdict is not an error: its exit code is 0 (pass), 10 (accuracy), 11 (speed, size or memory) or
13 (inconclusive); 12 (not comparable) is the gate's (`edge_scnet.gate`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from edge_scnet.config.target import Gates, TargetSpec
from edge_scnet.report.costs import dearest_words, float_words, time_words
from edge_scnet.report.findings import Figure, Finding, at_least, at_most, judged
from edge_scnet.report.paired import PairedDrop, advice, three_way
from edge_scnet.report.run_report import CostlyLayer, EngineReport, first_judged, first_of
from edge_scnet.report.speed import against, judge_speed
from edge_scnet.report.task_verdict import doubted, judge_task
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.figures import AccuracyStats, LabelledStats
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, wilson_bounds

_NAMED = 3


def judge(rows: Sequence[EngineReport], target: TargetSpec) -> list[Finding]:
    """Judges the INT8 engine.

    Returns:
        The finding on accuracy where that was measured, executed or simulated, then on speed where
        the engine was timed; none where there is no INT8 engine. A simulation proves nothing of a
        plan that was timed: it does not pass there.
    """
    findings = []
    accurate = first_judged(rows, judged=True)
    if accurate is not None and accurate.accuracy is not None:
        findings.append(judge_accuracy(accurate.accuracy, target.gates))
    int8 = first_judged(rows, timed=True)
    if findings and int8 is not None and accurate is not None and accurate.simulated:
        findings = [only_simulated(finding, accurate) for finding in findings]
    reference = first_of(rows, "reference", timed=True)
    if target.require_int8 and int8 is not None and int8.not_int8:
        findings = [_not_required(finding, int8.not_int8) for finding in findings]
    if int8 is None or reference is None:
        return findings
    if not findings:
        findings.append(_unjudged())
    others = [
        row for row in rows if row.latency is not None and row is not int8 and row is not reference
    ]
    finding = judge_speed(
        [against(int8, row) for row in (reference, *others)],
        gates=target.gates,
        batch=target.batch,
        reference=_in_words(reference.name),
    )
    return [
        *findings,
        explained(
            finding,
            copies=int8.copies,
            float_convolutions=int8.float_convolutions,
            not_int8=int8.not_int8,
            costly=int8.costly,
        ),
    ]


def reference_doubts(rows: Sequence[EngineReport]) -> tuple[str, ...]:
    """Why the samples prove nothing of any engine, as the reference compared with itself says."""
    row = first_of(rows, "reference", judged=True)
    if row is None or row.accuracy is None:
        return ()
    task = row.accuracy.task
    return (*row.accuracy.doubts, *(() if task is None else task.doubts))


def _unjudged() -> Finding:
    """The finding on engines that no evaluation sample was given: nothing is known of them."""
    return judged(
        "accuracy",
        "accuracy",
        Figure(measured=None, unit=""),
        "inconclusive",
        "Accuracy was not judged: no evaluation images.",
    )


def judge_accuracy(stats: AccuracyStats, gates: Gates) -> Finding:
    """Judges whether the engine has lost more accuracy against its reference than allowed.

    With labels: the paired drop of top-1. It passes when the upper end of its one-sided 95 %
    interval is within the limit, fails when the lower end is beyond it, and is inconclusive
    between: then these images cannot tell, and the message says about how many could, if lost and
    won keep their shares.

    Without labels: the share of images whose first class differs from the reference's, against 100
    - `min_agreement_percent`, with Wilson's one-sided bounds. An image that the reference has right
    and the engine wrong has two different first classes, so whatever the labels are, the drop of
    top-1 is at most this share.

    Of another task: its own figures (`task_verdict`).

    Where FP32's own figures say that the images prove nothing, it does not pass.

    Without classes at all (feature maps): the SQNR against `min_sqnr_db`. It has no interval, and
    no limit by default: how much a detector's head bears is for the model's owner to decide.
    """
    return doubted(_judge_figures(stats, gates), stats.doubts)


def only_simulated(finding: Finding, row: EngineReport) -> Finding:
    """The finding on the accuracy of a plan whose outputs nobody saw: it does not pass.

    Args:
        row: of the simulation.
    """
    way = (
        "edge-scnet profile BUILD_FOLDER measures it there, with TensorRT's Python package"
        if row.role == "int8"
        else "run your own test of the FP16 plan there, for its Python is too old for this tool"
    )
    return doubted(finding, (f"The accuracy was simulated, not measured on the board: {way}",))


def _not_required(finding: Finding, layers: Sequence[str]) -> Finding:
    """The finding on an engine that is not proven to be what its target requires."""
    return doubted(
        finding,
        (
            f"The target requires INT8, and of {_count(len(layers), 'layer')} it is not proven"
            f" ({_first_names(layers)}): keep them in float on purpose (quant.keep_float), or leave"
            " require_int8 out",
        ),
    )


def _judge_figures(stats: AccuracyStats, gates: Gates) -> Finding:
    if stats.task is not None:
        return doubted(judge_task(stats, gates), stats.task.doubts)
    if stats.labels is not None:
        return _judge_drop(stats.images, stats.labels, gates.max_drop_pp)
    if stats.agreement_percent is None:
        return _judge_sqnr(stats, gates.min_sqnr_db)
    if gates.min_agreement_percent is None:
        return judged(
            "accuracy",
            "agreement",
            Figure(measured=stats.agreement_percent, unit="%"),
            "inconclusive",
            "The evaluation images have no labels and no lower limit of the agreement is set:"
            " accuracy cannot be judged.",
        )
    return _judge_agreement(stats, gates.min_agreement_percent)


def _judge_drop(images: int, labels: LabelledStats, limit: float) -> Finding:
    drop = PairedDrop(
        images=images,
        lost=labels.lost,
        won=labels.won,
        low_pp=labels.drop_lower95_pp,
        high_pp=labels.drop_upper95_pp,
    )
    seen = f"Top-1 {drop.movement} on {images:,} images ({drop.counts})"
    verdict = drop.verdict(limit)
    if verdict == "pass":
        message = (
            f"{seen}; the drop is at most {drop.high_pp:.2f} pp with 95 % confidence, within the"
            f" limit of {limit:g} pp."
        )
    elif verdict == "fail":
        message = (
            f"{seen}; the drop is at least {drop.low_pp:.2f} pp with 95 % confidence, beyond the"
            f" limit of {limit:g} pp."
        )
    else:
        message = (
            f"{seen}; these {images:,} images cannot {drop.undecided(limit)} (the drop may be"
            f" {drop.range}): {drop.advice(limit)}."
        )
    figure = Figure(measured=labels.drop_pp, limit=limit, unit="pp", bound=at_most(limit, "pp"))
    return judged("accuracy", "top-1 drop", figure, verdict, message)


def _judge_sqnr(stats: AccuracyStats, minimum: float | None) -> Finding:
    seen = (
        f"The outputs are not classes; their SQNR is {decibels(stats.sqnr_db)} on"
        f" {stats.images:,} images"
    )
    if minimum is None:
        figure = Figure(measured=stats.sqnr_db, unit="dB")
        message = f"{seen}, and no lower limit is set (gates.min_sqnr_db of the target)."
        return judged("accuracy", "SQNR", figure, "inconclusive", message)
    figure = Figure(measured=stats.sqnr_db, limit=minimum, unit="dB", bound=at_least(minimum, "dB"))
    good = stats.sqnr_db is None or stats.sqnr_db >= minimum
    message = f"{seen}, {'within' if good else 'below'} the limit of {minimum:g} dB."
    return judged("accuracy", "SQNR", figure, "pass" if good else "fail", message)


def _judge_agreement(stats: AccuracyStats, minimum: float) -> Finding:
    if stats.agreeing is None:
        raise ValueError("statistics without agreement")
    differing = stats.images - stats.agreeing
    low, high = wilson_bounds(differing, stats.images, z=Z_ONE_SIDED_95)
    allowed = (100.0 - minimum) / 100.0
    seen = (
        f"The first class equals the reference's on {stats.agreement_percent:.2f} % of"
        f" {stats.images:,} unlabelled images"
    )
    verdict = three_way(low, high, allowed)
    if verdict == "pass":
        message = (
            f"{seen}; at least {100 - 100 * high:.2f} % with 95 % confidence, within the limit of"
            f" {minimum:g} %."
        )
    elif verdict == "fail":
        message = (
            f"{seen}; at most {100 - 100 * low:.2f} % with 95 % confidence, below the limit of"
            f" {minimum:g} %."
        )
    else:
        share = differing / stats.images
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
    figure = Figure(
        measured=stats.agreement_percent, limit=minimum, unit="%", bound=at_least(minimum, "%")
    )
    return judged("accuracy", "agreement", figure, verdict, message)


def explained(
    speed: Finding,
    *,
    copies: Sequence[str],
    float_convolutions: Sequence[str],
    not_int8: Sequence[str] = (),
    costly: Sequence[CostlyLayer] = (),
) -> Finding:
    """Returns the finding on INT8's speed with what takes from it, by module.

    Args:
        costly: copies and layers in float with their times, where those are known: the dearest are
            named then, and not the first.
        not_int8: layers that should execute in INT8 and do not; those among the convolutions in
            float are not named twice.
    """
    causes = []
    if copies:
        causes.append(
            f"{_count(len(copies), 'layer')} only {'copies' if len(copies) == 1 else 'copy'} data"
            f"{_named(copies, costly, 'copy')}"
        )
    if float_convolutions:
        causes.append(
            f"{_count(len(float_convolutions), 'convolution')} in float"
            f"{_named(float_convolutions, costly, 'float convolution')}"
        )
    others = [name for name in not_int8 if name not in set(float_convolutions)]
    if others:
        causes.append(f"{_count(len(others), 'layer')} not in INT8 ({_first_names(others)})")
    if (floats := float_words(costly)) is not None:
        causes.append(floats)
    if not causes:
        return speed
    return replace(speed, message=f"{speed.message} What takes from it: {'; '.join(causes)}.")


def _named(modules: Sequence[str], costly: Sequence[CostlyLayer], why: str) -> str:
    """The modules of a cause: with times the dearest, else the first."""
    times = time_words(costly, why)
    if times is None:
        return f" ({_first_names(modules)})"
    return f": {times} ({dearest_words(costly, why)})"


def _in_words(name: str) -> str:
    """A reference's name in a sentence."""
    return name.upper() if name in ("fp32", "fp16") else f"the {name} graph"


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _first_names(modules: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(modules))
    return ", ".join(distinct[:_NAMED]) + (", ..." if len(distinct) > _NAMED else "")


def ships(findings: Sequence[Finding]) -> bool:
    """Whether accuracy and speed were judged, and all passed: `verdict` says ship then."""
    kinds = {"speed" if finding.kind == "speed" else "accuracy" for finding in findings}
    passed = all(finding.verdict == "pass" for finding in findings)
    return passed and kinds == {"speed", "accuracy"}


def verdict(findings: Sequence[Finding], *, what: str = "INT8") -> str:
    """Returns one line: ship or not, and why.

    Args:
        what: the precision that is judged.

    Accuracy decides first; an engine that is not proven to gain anything is not shipped either.
    """
    if not findings:
        return f"no {what} engine was measured"
    speed = next((finding for finding in findings if finding.kind == "speed"), None)
    accuracy = next((finding for finding in findings if finding.kind != "speed"), None)
    if speed is None:
        assert accuracy is not None
        words = {"pass": "accurate", "fail": "not accurate", "inconclusive": "not proven"}[
            accuracy.verdict
        ]
        return f"{words} in simulation, speed not measured: {accuracy.message}"
    if accuracy is None or (accuracy.metric == "accuracy" and accuracy.measured is None):
        return f"not judged: no evaluation images. {what} has {speed.message}"
    if accuracy.verdict == "fail":
        return f"do not ship: {accuracy.message}"
    if speed.verdict == "fail":
        return f"do not ship: {speed.message} {accuracy.message}"
    if accuracy.verdict == "inconclusive":
        unproven = f" {what} has {speed.message}" if speed.verdict == "inconclusive" else ""
        return f"not proven: {accuracy.message}{unproven}"
    if speed.verdict == "inconclusive":
        return f"not proven to be faster: {speed.message} {accuracy.message}"
    return f"ship {what}: {speed.message} {accuracy.message}"
