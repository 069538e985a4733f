"""An engine's accuracy held to a baseline's, on the same images, image by image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import unpack_classes
from edge_scnet.gate.inputs import Scope, only_proven
from edge_scnet.gate.task import compare_tasks
from edge_scnet.report.dequantized import not_against_float
from edge_scnet.report.findings import (
    Figure,
    Finding,
    at_most,
    incomparable,
    judged,
    skipped,
)
from edge_scnet.report.paired import paired_drop
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    reference_row,
    timed_row,
)
from edge_scnet.report.verdict import judge_accuracy, only_simulated
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.figures import AccuracyStats

_NOT_EXECUTED = (
    "Not measured: the accuracy is that of the graph in ONNX Runtime, no engine was executed. What"
    " measures it, on the board: edge-scnet compile bundle.tar.gz, then edge-scnet profile"
    " BUILD_FOLDER; check that report."
)


def compare(
    report: RunReport, baseline: RunReport, limits: Gates, scope: Scope
) -> Iterable[Finding]:
    """Judges top-1 against FP32 and against the baseline's engine, agreement and SQNR.

    Of other tasks their figures, and the SQNR. Simulated figures are held to a simulated engine's,
    which finds regressions and proves no accuracy of what was not executed. Where a plan was
    executed, or the baseline's was, they do not pass.

    Raises:
        ValueError: packed classes that are damaged.
    """
    new, old = accuracy_row(report), accuracy_row(baseline)
    findings = _compared(report, baseline, limits, scope)
    if new is None or not new.simulated:
        return findings
    in_words = [replace(f, message=f"Simulated: {f.message}") for f in findings]
    if timed_row(report) is None and (old is None or old.simulated):
        return [*in_words, skipped("accuracy", "accuracy on the board", _NOT_EXECUTED)]
    return [only_simulated(in_words[0], new), *in_words[1:]]


def _compared(
    report: RunReport, baseline: RunReport, limits: Gates, scope: Scope
) -> Iterator[Finding]:
    """The findings, of whatever the outputs are; the first is the one against FP32."""
    new, old = accuracy_row(report), accuracy_row(baseline)
    if new is None or new.accuracy is None:
        if old is not None:
            yield incomparable(
                "accuracy",
                "accuracy",
                "The baseline knows the engine's accuracy, the report does not.",
            )
        return
    finding = judge_accuracy(new.accuracy, limits)
    yield from not_against_float([finding]) if report.dequantized else [finding]
    if old is None or old.accuracy is None:
        return
    if not _are_old_features(new.accuracy, old.accuracy):
        yield from compare_tasks(new.accuracy.task, old.accuracy.task, limits, scope)
    reference, old_reference = reference_row(report), reference_row(baseline)
    if reference is None or (old.first_classes is not None and new.first_classes is None):
        missing = "FP32 reference" if reference is None else "class of every image"
        yield incomparable(
            "accuracy",
            "accuracy",
            f"The report lacks the {missing}, which the baseline knows.",
        )
        return
    if old_reference is not None and set(reference.convolutions) != set(old_reference.convolutions):
        yield incomparable(
            "accuracy",
            "reference",
            f"The reference executes its convolutions in {_precisions(reference)}; in the baseline:"
            f" {_precisions(old_reference)}.",
        )
    if scope.same_images:
        yield from _paired(report, baseline, limits, scope)
    else:
        yield from _beside(new.accuracy, old.accuracy, scope)
    yield _sqnr(new, old, limits.max_sqnr_fall_db, scope)


def _are_old_features(new: AccuracyStats, old: AccuracyStats) -> bool:
    """Whether an older report of outputs that are no classes names no task: the SQNR says it."""
    is_old = old.task is None and old.agreement_percent is None
    return is_old and new.task is not None and new.task.task == "features"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Classes:
    """What an engine and its reference take every image for; None where a report does not know."""

    engine: tuple[int, ...] | None
    reference: tuple[int, ...] | None


def _classes_of(report: RunReport, engine: EngineReport, images: int) -> _Classes:
    reference = reference_row(report)
    return _Classes(
        engine=_unpacked(engine, images),
        reference=_unpacked(reference, images) if reference is not None else None,
    )


def _unpacked(row: EngineReport, images: int) -> tuple[int, ...] | None:
    return None if row.first_classes is None else unpack_classes(row.first_classes, images)


def _precisions(row: EngineReport) -> str:
    return ", ".join(row.convolutions) or "not told"


def _beside(new: AccuracyStats, old: AccuracyStats, scope: Scope) -> Iterator[Finding]:
    """Puts figures beside the baseline's, which are of others, and judges nothing."""
    if new.labels is not None and old.labels is not None:
        figures = (new.labels.top1_percent, old.labels.top1_percent)
        yield _told("top-1 to baseline", "Top-1", figures, scope)
    yield from _agreements(new, old, scope)


def _agreements(new: AccuracyStats, old: AccuracyStats, scope: Scope) -> Iterator[Finding]:
    if new.agreement_percent is not None and old.agreement_percent is not None:
        figures = (new.agreement_percent, old.agreement_percent)
        yield _told("agreement to baseline", "The agreement with FP32", figures, scope)


def _told(metric: str, subject: str, figures: tuple[float, float], scope: Scope) -> Finding:
    figure = Figure(measured=figures[0], expected=figures[1], unit="%")
    message = (
        f"{subject} is {figures[0]:.2f} %, {figures[1]:.2f} % in the baseline, which is of"
        f" {scope.other}: told, not judged."
    )
    return judged("accuracy", metric, figure, "skipped", message)


def _paired(
    report: RunReport, baseline: RunReport, limits: Gates, scope: Scope
) -> Iterator[Finding]:
    """Compares top-1 and the agreement with FP32, where every image's class is known."""
    new, old = accuracy_row(report), accuracy_row(baseline)
    assert new is not None and new.accuracy is not None
    assert old is not None and old.accuracy is not None
    images = new.accuracy.images
    ours, theirs = _classes_of(report, new, images), _classes_of(baseline, old, images)
    truth = report.evaluation.truth if report.evaluation else None
    if ours.engine is None or theirs.engine is None:
        return
    if truth is not None:
        labels = unpack_classes(truth, len(ours.engine))
        top1 = _fall(
            "top-1 to baseline",
            "Top-1",
            (_equal(theirs.engine, labels), _equal(ours.engine, labels)),
            limits.max_drop_from_baseline_pp,
        )
        yield top1 if scope.same_network else only_proven(top1)
    if theirs.reference is None:
        return
    if ours.reference is None:
        yield incomparable(
            "accuracy",
            "agreement to baseline",
            "The report lacks FP32's class of every image, which the baseline knows.",
        )
        return
    if not scope.same_network:
        yield from _agreements(new.accuracy, old.accuracy, scope)
        return
    yield _fall(
        "agreement to baseline",
        "The agreement with FP32",
        (_equal(theirs.engine, theirs.reference), _equal(ours.engine, ours.reference)),
        limits.max_agreement_fall_pp,
    )


def _equal(classes: Sequence[int], others: Sequence[int]) -> list[bool]:
    return [a == b for a, b in zip(classes, others, strict=True)]


def _fall(
    metric: str, subject: str, right: tuple[Sequence[bool], Sequence[bool]], limit: float
) -> Finding:
    """Judges a fall against the baseline's engine as the drop against FP32 is judged.

    Args:
        subject: the figure as it begins a sentence.
        right: for every image whether the baseline's engine is right, and whether the report's is.
    """
    fall = paired_drop(*right)
    seen = (
        f"{subject} {fall.movement} against the baseline on the same {fall.images:,} images"
        f" ({fall.counts})"
    )
    verdict = fall.verdict(limit)
    improved = False
    if verdict == "pass":
        improved = fall.high_pp < 0
        message = f"{seen}, within the limit of {limit:g} pp."
    elif verdict == "fail":
        message = (
            f"{seen}; at least {fall.low_pp:.2f} pp with 95 % confidence, beyond the limit of"
            f" {limit:g} pp."
        )
    else:
        message = (
            f"{seen}; these images cannot {fall.undecided(limit)} (it may be {fall.range}):"
            f" {fall.advice(limit)}."
        )
    figure = Figure(
        measured=fall.drop_pp,
        expected=0.0,
        limit=limit,
        unit="pp",
        bound=at_most(limit, "pp"),
    )
    return judged("accuracy", metric, figure, verdict, message, improved=improved)


def _sqnr(new: EngineReport, old: EngineReport, limit: float, scope: Scope) -> Finding:
    assert new.accuracy is not None and old.accuracy is not None
    measured, expected = new.accuracy.sqnr_db, old.accuracy.sqnr_db
    if not (scope.same_images and scope.same_network):
        message = (
            f"The SQNR of the outputs is {decibels(measured)}, {decibels(expected)} in the"
            f" baseline, which is of {scope.other}: told, not judged."
        )
        figure = Figure(measured=measured, expected=expected, unit="dB")
        return judged("accuracy", "SQNR", figure, "skipped", message)
    bound = at_most(limit, "dB", how="lower")
    figure = Figure(measured=measured, expected=expected, limit=limit, unit="dB", bound=bound)
    if measured is None or expected is None:  # None: the outputs are FP32's own
        worse = measured is not None
        words = "The outputs were exact and no longer are" if worse else "The outputs are exact"
        return judged("accuracy", "SQNR", figure, "fail" if worse else "pass", f"{words}.")
    fall = expected - measured
    message = (
        f"The SQNR of the outputs is {measured:.1f} dB, was {expected:.1f}; it may fall by"
        f" {limit:g} dB."
    )
    return judged(
        "accuracy",
        "SQNR",
        figure,
        "fail" if fall > limit else "pass",
        message,
        improved=fall < -limit,
    )
