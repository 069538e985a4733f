"""The figures of an engine's task held to a baseline's, on the same samples."""

from __future__ import annotations

from collections.abc import Iterator

from edge_scnet.config.target import Gates
from edge_scnet.gate.inputs import ALL_ALIKE, Scope, only_proven
from edge_scnet.report.findings import Figure, Finding, Verdict, at_most, incomparable, judged
from edge_scnet.report.metric_change import change_of, pairs_of
from edge_scnet.report.paired import three_way
from edge_scnet.report.task_verdict import NEIGHBOURS, decides
from edge_scnet.stats.figures import Metric, TaskStats

# By how much a mean cosine to FP32 may fall.
_COSINE_FALL = 0.01


def compare_tasks(
    now: TaskStats | None, before: TaskStats | None, limits: Gates, scope: Scope = ALL_ALIKE
) -> Iterator[Finding]:
    """Judges figures against the baseline's; nothing where neither report has a task.

    The first figure, and each other one whose interval the baseline knows: an engine may keep the
    first and lose another, as scores that keep their order and fall below the threshold lose F1.
    Of those that have no part in the verdict a loss fails where it is proven, and nothing is asked
    of samples that cannot tell.

    Args:
        scope: what the figures can be compared by; of other samples they are told, not judged.

    Raises:
        ValueError: packed values that are damaged.
    """
    if now is None and before is None:
        return
    if now is None or before is None or now.task != before.task:
        yield incomparable(
            "accuracy",
            "task",
            f"The report is judged by {_name(now)}, the baseline by {_name(before)}.",
        )
        return
    new, old = now.metrics[0], before.metrics[0]
    if new.name != old.name:
        yield incomparable(
            "accuracy",
            "task",
            f"The report is judged by its {new.name}, the baseline by its {old.name}: one has"
            " ground truth that the other has not.",
        )
        return
    for number, known, metric in pairs_of(before, now):
        limit = _limit(known, limits)
        if limit is None or (number and known.loss_lower95 is None):
            continue
        if metric is None:
            yield incomparable(
                "accuracy",
                f"{known.name} to baseline",
                f"The baseline knows the engine's {known.name}, the report does not.",
            )
        else:
            is_own = scope.same_network or known.reference is not None
            if not scope.same_images or not is_own:
                yield _told(metric, known, scope)
                continue
            finding = _judged(now, before, metric, known, limit)
            is_beside = number and not decides(before, number, limits)
            yield only_proven(finding) if is_beside or not scope.same_network else finding


def _told(new: Metric, old: Metric, scope: Scope) -> Finding:
    figure = Figure(measured=new.value, expected=old.value, unit=new.unit)
    unit = f" {new.unit}".rstrip()
    message = (
        f"The {new.name} is {new.value:.4g}{unit}, {old.value:.4g}{unit} in the baseline, which is"
        f" of {scope.other}: told, not judged."
    )
    return judged("accuracy", f"{new.name} to baseline", figure, "skipped", message)


def _judged(now: TaskStats, before: TaskStats, new: Metric, old: Metric, limit: float) -> Finding:
    change = change_of(before, now, old.name)
    unit = "pp" if new.unit == "%" else new.unit
    in_words = f" {unit}" if unit else ""
    moved = (
        "is equal"
        if not change.worse
        else (
            f"is worse by {change.worse:.3g}{in_words}"
            if change.worse > 0
            else f"is better by {-change.worse:.3g}{in_words}"
        )
    )
    seen = (
        f"The {new.name} {moved} against the baseline on the same {now.samples:,} samples"
        f" ({old.value:.4g} to {new.value:.4g}; {change.method})"
    )
    verdict: Verdict = "inconclusive"
    if change.lower95 is not None and change.upper95 is not None:
        verdict = three_way(change.lower95, change.upper95, limit)
    if verdict == "pass":
        message = f"{seen}, within the limit of {limit:.3g}{in_words}."
    elif verdict == "fail":
        message = (
            f"{seen}; at least {change.lower95:.3g}{in_words} with 95 % confidence, beyond the"
            f" limit of {limit:.3g}{in_words}."
        )
    else:
        message = (
            f"{seen}; these samples cannot tell whether that is within the limit of"
            f" {limit:.3g}{in_words}: use more."
        )
    bound = at_most(float(f"{limit:.3g}"), unit, how="worse")
    figure = Figure(measured=new.value, expected=old.value, limit=limit, unit=new.unit, bound=bound)
    improved = change.upper95 is not None and change.upper95 < 0
    return judged(
        "accuracy", f"{new.name} to baseline", figure, verdict, message, improved=improved
    )


def _limit(old: Metric, limits: Gates) -> float | None:
    """By how much the figure may be worse, in its unit.

    None: it is told and not judged, or it is the SQNR, which has a limit of its own.
    """
    if old.name == NEIGHBOURS:
        return None
    if old.unit == "%" and old.higher_is_better:
        if old.reference is None:
            return limits.max_agreement_fall_pp
        # as against FP32: one box or label at the threshold moves F1 more than the order of all
        is_f1 = old.name.startswith("F1")
        return limits.max_f1_drop_pp if is_f1 else limits.max_drop_from_baseline_pp
    if old.name.startswith("cosine"):
        return _COSINE_FALL
    if old.reference is None:
        return limits.max_agreement_fall_pp if old.unit == "%" else None
    return abs(old.value) * limits.max_error_rise_percent / 100.0


def _name(stats: TaskStats | None) -> str:
    return "classes" if stats is None else stats.task
