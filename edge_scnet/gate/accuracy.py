"""Accuracy held to a baseline's, on the same images, image by image. Pure; a part of
`regression.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import unpack_classes
from edge_scnet.report.findings import (
    ACCURACY_EXIT_CODE,
    INCONCLUSIVE_EXIT_CODE,
    Finding,
    Verdict,
    found,
    incomparable,
)
from edge_scnet.report.run_report import EngineReport, RunReport, accuracy_row, reference_row
from edge_scnet.report.verdict import advice, judge_accuracy
from edge_scnet.stats.intervals import (
    Z_ONE_SIDED_95,
    paired_difference_interval,
    paired_difference_score,
)


def compare(report: RunReport, baseline: RunReport, limits: Gates) -> Iterable[Finding]:
    """Top-1 against FP32 and against the baseline's engine, agreement and SQNR.

    Raises:
        ValueError: packed classes that are damaged.
    """
    new, old = accuracy_row(report), accuracy_row(baseline)
    if new is None or new.accuracy is None:
        if old is not None:
            yield incomparable(
                "accuracy", "The baseline knows the engine's accuracy, the report does not."
            )
        return
    yield judge_accuracy(
        new.accuracy,
        max_drop_pp=limits.max_drop_pp,
        min_agreement_percent=limits.min_agreement_percent,
        min_sqnr_db=limits.min_sqnr_db,
    )
    if old is None or old.accuracy is None:
        return
    count = new.accuracy.images
    truth = report.evaluation.truth if report.evaluation else None
    mine, its = _classes(new, count), _classes(old, count)
    reference, known = reference_row(report), reference_row(baseline)
    if reference is None or (its is not None and mine is None):
        missing = "FP32 reference" if reference is None else "class of every image"
        yield incomparable("accuracy", f"The report lacks the {missing}, which the baseline knows.")
        return
    if known is not None and set(reference.convolutions) != set(known.convolutions):
        words = (
            ", ".join(reference.convolutions) or "not told",
            ", ".join(known.convolutions) or "not told",
        )
        yield incomparable(
            "reference",
            f"The reference executes its convolutions in {words[0]}; in the baseline: {words[1]}.",
        )
    if mine is not None and its is not None:
        if truth is not None:
            labels = unpack_classes(truth, count)
            right = _same(its, labels), _same(mine, labels)
            yield _paired("top-1 to baseline", "Top-1", *right, limits.max_drop_from_baseline_pp)
        floats = _classes(reference, count), _classes(known, count) if known is not None else None
        if floats[0] is not None and floats[1] is not None:
            agreed = _same(its, floats[1]), _same(mine, floats[0])
            yield _paired(
                "agreement to baseline",
                "The agreement with FP32",
                *agreed,
                limits.max_agreement_fall_pp,
            )
        elif floats[1] is not None:
            yield incomparable(
                "agreement to baseline",
                "The report lacks FP32's class of every image, which the baseline knows.",
            )
    yield _sqnr(new, old, limits.max_sqnr_fall_db)


def _same(one: Sequence[int], other: Sequence[int]) -> list[bool]:
    return [a == b for a, b in zip(one, other, strict=True)]


def _classes(row: EngineReport, count: int) -> tuple[int, ...] | None:
    return None if row.first_classes is None else unpack_classes(row.first_classes, count)


def _paired(
    metric: str, what: str, before: Sequence[bool], now: Sequence[bool], limit: float
) -> Finding:
    """The same three verdicts as for the drop against FP32, the baseline's engine in FP32's place."""
    images = len(before)
    lost = sum(was and not held for was, held in zip(before, now, strict=True))
    won = sum(held and not was for was, held in zip(before, now, strict=True))
    lower, upper = (
        100 * bound for bound in paired_difference_interval(lost, won, images, z=Z_ONE_SIDED_95)
    )
    fall = 100.0 * (lost - won) / images
    moved = (
        f"fell by {fall:.2f} pp"
        if fall > 0
        else f"rose by {-fall:.2f} pp"
        if fall < 0
        else "is equal"
    )
    seen = (
        f"{what} {moved} against the baseline on the same {images:,} images ({lost:,} lost, {won:,}"
        " won)"
    )
    if upper <= limit:
        better = lower < 0 and upper < 0
        return found(
            metric,
            fall,
            0.0,
            limit,
            "pp",
            "pass",
            f"{seen}, within the limit of {limit:g} pp.",
            improved=better,
        )
    if lower > limit:
        message = (
            f"{seen}; at least {lower:.2f} pp with 95 % confidence, beyond the limit of"
            f" {limit:g} pp."
        )
        return found(metric, fall, 0.0, limit, "pp", "fail", message, code=ACCURACY_EXIT_CODE)
    needed = advice(images, paired_difference_score(lost, won, images, limit / 100.0))
    question = (
        f"exclude a loss of {limit:g} pp"
        if fall < limit
        else f"prove a loss of more than {limit:g} pp"
    )
    message = (
        f"{seen}; these images cannot {question} (it may be {lower:.2f} to {upper:.2f} pp):"
        f" {needed}."
    )
    return found(
        metric, fall, 0.0, limit, "pp", "inconclusive", message, code=INCONCLUSIVE_EXIT_CODE
    )


def _sqnr(new: EngineReport, old: EngineReport, limit: float) -> Finding:
    assert new.accuracy is not None and old.accuracy is not None
    measured, expected = new.accuracy.sqnr_db, old.accuracy.sqnr_db
    if measured is None or expected is None:  # None: the outputs are FP32's own
        worse = measured is not None
        words = "The outputs were exact and are no more" if worse else "The outputs are exact"
        return found(
            "SQNR",
            measured,
            expected,
            limit,
            "dB",
            "fail" if worse else "pass",
            f"{words}.",
            code=ACCURACY_EXIT_CODE,
        )
    fall = expected - measured
    message = (
        f"The SQNR of the outputs is {measured:.1f} dB, was {expected:.1f}; it may fall by"
        f" {limit:g}."
    )
    verdict: Verdict = "fail" if fall > limit else "pass"
    return found(
        "SQNR",
        measured,
        expected,
        limit,
        "dB",
        verdict,
        message,
        code=ACCURACY_EXIT_CODE,
        improved=fall < -limit,
    )
