"""The verdict on an engine's task: its figures' losses, or how far it is from FP32's outputs.

With ground truth the first figure decides, and so does each that says so (`Metric.decides`): F1 by
`max_f1_drop_pp`, other shares in % by `max_drop_pp`, the rest by `max_error_rise_percent` of FP32's
own. Without it every figure that has a limit is held to it, and
so is each part of an output by itself: a large one hides no small one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_scnet.config.target import Gates
from edge_scnet.errors import ExitCode
from edge_scnet.report.findings import Figure, Finding, Verdict, at_least, at_most, judged
from edge_scnet.report.paired import advice, three_way
from edge_scnet.stats.decibels import decibels
from edge_scnet.stats.figures import SAME_SIZE, AccuracyStats, Metric, SliceStats, TaskStats
from edge_scnet.stats.intervals import RARE_LOSSES, Z_ONE_SIDED_95

# Overlaps of what two engines say, which one of a rare kind moves.
_OVERLAPS = ("mIoU to FP32", "F1 to FP32", "box IoU to FP32", "AP50 to FP32")
# Told, not judged: of samples that are alike the nearest is chance.
NEIGHBOURS = "nearest neighbour, same"
# Below this no score is taken for anything; detectors are cut at 0.25 and more.
_SHOWN = 0.25
# Noise of half the variance: no score of any samples survives that.
_BROKEN_DB = 3.0
_RANK: dict[Verdict, int] = {"fail": 0, "inconclusive": 1, "pass": 2, "skipped": 3}


def judge_task(stats: AccuracyStats, gates: Gates) -> Finding:
    """The finding on an engine's task: the worst of those on its figures, the first of equals.

    Raises:
        ValueError: there is no task.
    """
    if stats.task is None:
        raise ValueError("statistics without a task")
    return min(_findings(stats.task, gates), key=lambda finding: _RANK[finding.verdict])


def decides(task: TaskStats, number: int, gates: Gates) -> bool:
    """Whether a figure has a part in the verdict; the others are told beside those that do."""
    metric = task.metrics[number]
    if task.truth is not None:
        return number == 0 or metric.decides
    return _limit_to_reference(metric, gates) is not None


def has_limits(task: TaskStats, gates: Gates) -> bool:
    """Whether the figures have the limits without which no engine passes, however good it is."""
    if task.truth is not None:
        return True
    # an SQNR without a limit is not made up for by what is beside it
    first = task.metrics[:1] if task.metrics[0].unit == "dB" else task.metrics
    return any(_limit_to_reference(metric, gates) is not None for metric in first)


def doubted(finding: Finding, doubts: tuple[str, ...]) -> Finding:
    """The finding where FP32's own figures say that the samples prove nothing: it does not pass."""
    if not doubts:
        return finding
    words = "; ".join(doubts).replace("?; ", "? ")
    message = f"{words if words.endswith('?') else f'{words}.'} {finding.message}"
    if finding.verdict != "pass":
        return replace(finding, message=message)
    code = int(ExitCode.INCONCLUSIVE)
    return replace(finding, verdict="inconclusive", exit_code=code, message=message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """The highest loss, and how losses are spelt."""

    loss: float
    # the limit in words: "0.5 pp"
    words: str
    # of the finding
    limit: float
    unit: str
    # a spelt figure is base + scale * loss
    base: float
    scale: float
    digits: int = 2

    def spelt(self, loss: float) -> str:
        value = self.base + self.scale * loss
        return f"{value:.{self.digits}f}{self.unit and ' ' + self.unit}"


def _findings(task: TaskStats, gates: Gates) -> Iterator[Finding]:
    if task.truth is not None:
        for number, metric in enumerate(task.metrics):
            if metric.reference is None and metric.decides:
                yield from _judged_beside(task, metric, gates)
            elif number == 0 or metric.decides:
                yield _judged_loss(task, metric, gates)
    else:
        for metric in task.metrics:
            limit = _limit_to_reference(metric, gates)
            if limit is not None:
                yield _judged_distance(task, metric, limit)
        if not has_limits(task, gates):
            yield _unlimited(task, task.metrics[0])
    for part in task.slices:
        if part.sqnr_db is not None and part.sqnr_db < gates.min_slice_sqnr_db:
            yield _hidden(part, gates.min_slice_sqnr_db)


def _judged_beside(task: TaskStats, metric: Metric, gates: Gates) -> Iterator[Finding]:
    """The finding on a figure that compares with FP32 though there is ground truth."""
    limit = _limit_to_reference(metric, gates)
    if limit is not None:
        yield _judged_distance(task, metric, limit)


def _judged_loss(task: TaskStats, metric: Metric, gates: Gates) -> Finding:
    """The finding on a figure that FP32 has too; of what it has not nothing can be lost."""
    finding = _judged_change(task, metric, gates)
    if not metric.higher_is_better or metric.reference is None or metric.reference > 0:
        return finding
    own = _value(metric, metric.reference)
    return doubted(finding, (f"FP32's own {metric.name} is {own}: nothing of it can be lost",))


def _judged_change(task: TaskStats, metric: Metric, gates: Gates) -> Finding:
    limit = _limit_of_loss(metric, gates)
    if limit is None:
        # without an interval the samples are too few to say so
        is_none = metric.loss <= 0 and metric.loss_upper95 is not None
        verdict: Verdict = "pass" if is_none else "inconclusive"
        message = (
            f"{_capital(metric.name)} is {_value(metric, metric.value)} on {task.samples:,}"
            f" samples, FP32's own is {_value(metric, metric.reference or 0.0)}: no change in"
            " percent can be told."
        )
        return judged(
            "accuracy", metric.name, Figure(measured=metric.loss, unit=""), verdict, message
        )
    better = metric.loss < 0
    direction = "rose" if better == metric.higher_is_better else "fell"
    moved = f"{direction} by {limit.spelt(abs(metric.loss))}" if metric.loss else "is equal"
    seen = (
        f"{_capital(metric.name)} {moved} on {task.samples:,} samples"
        f" ({_value(metric, metric.reference or 0.0)} to {_value(metric, metric.value)})"
    )
    return _three_way(task, metric, limit, seen, "the loss is")


def _judged_distance(task: TaskStats, metric: Metric, limit: _Limit) -> Finding:
    """The finding on a figure that compares the engine with FP32."""
    what = metric.name if "FP32" in metric.name else f"{metric.name} to FP32"
    samples = f"{task.samples:,} {'unlabelled ' if task.truth is None else ''}samples"
    seen = f"The {what} is {_value(metric, metric.value)} on {samples}"
    return _three_way(task, metric, limit, seen, "it is")


def _three_way(task: TaskStats, metric: Metric, limit: _Limit, seen: str, it_is: str) -> Finding:
    low, high = metric.loss_lower95, metric.loss_upper95
    measured = limit.base + limit.scale * metric.loss
    in_words = at_most if limit.scale > 0 else at_least
    bound = in_words(limit.limit, limit.unit)
    figure = Figure(measured=measured, limit=limit.limit, unit=limit.unit, bound=bound)
    most, least = ("at most", "at least") if limit.scale > 0 else ("at least", "at most")
    if low is None or high is None:
        verdict: Verdict = "inconclusive"
        message = f"{seen}; these are too few samples for an interval: 20 are the least."
        return judged("accuracy", metric.name, figure, verdict, message)
    verdict = three_way(low, high, limit.loss)
    if verdict == "pass":
        message = (
            f"{seen}; {it_is} {most} {limit.spelt(high)} with 95 % confidence, within the limit of"
            f" {limit.words}."
        )
    elif verdict == "fail":
        message = (
            f"{seen}; {it_is} {least} {limit.spelt(low)} with 95 % confidence, beyond the limit of"
            f" {limit.words}."
        )
    else:
        ends = sorted((limit.base + limit.scale * low, limit.base + limit.scale * high))
        message = (
            f"{seen}; these samples cannot tell whether it is within the limit of {limit.words} (it"
            f" may be {ends[0]:.{limit.digits}f} to {ends[1]:.{limit.digits}f}"
            f"{limit.unit and ' ' + limit.unit}): {_advice(task, metric, limit.loss)}."
        )
    return judged("accuracy", metric.name, figure, verdict, message)


def _advice(task: TaskStats, metric: Metric, limit: float) -> str:
    """How many samples would decide: an interval shrinks with the square root of their number.

    A bound of losses that no sample shows shrinks with their number itself.
    """
    assert metric.loss_upper95 is not None and metric.loss_lower95 is not None
    if RARE_LOSSES in metric.method and metric.loss < limit:
        share = (metric.loss_upper95 - metric.loss) / (limit - metric.loss)
        z_squared = Z_ONE_SIDED_95**2
        needed = (task.samples + z_squared) * share - z_squared
        return advice(task.samples, Z_ONE_SIDED_95 * math.sqrt(task.samples / needed))
    side = (
        metric.loss_upper95 - metric.loss
        if metric.loss < limit
        else metric.loss - metric.loss_lower95
    )
    score = Z_ONE_SIDED_95 * (metric.loss - limit) / side if side else 0.0
    return advice(task.samples, score)


def _limit_of_loss(metric: Metric, gates: Gates) -> _Limit | None:
    """The highest loss against FP32's own figure; None: that is 0, and the limit in percent."""
    if metric.unit == "%" and metric.higher_is_better:
        # one box or label at the threshold moves F1 more than the order of all of them
        drop = gates.max_f1_drop_pp if metric.name.startswith("F1") else gates.max_drop_pp
        return _Limit(loss=drop, words=f"{drop:g} pp", limit=drop, unit="pp", base=0.0, scale=1.0)
    if not metric.reference:
        return None
    rise = gates.max_error_rise_percent
    scale = 100.0 / abs(metric.reference)
    return _Limit(
        loss=rise / scale, words=f"{rise:g} %", limit=rise, unit="%", base=0.0, scale=scale
    )


def _limit_to_reference(metric: Metric, gates: Gates) -> _Limit | None:
    """The highest distance from FP32's outputs; None: nothing limits this figure."""
    if metric.unit == "dB":
        least = gates.min_sqnr_db
        return None if least is None else _least(least, 0.0, "dB", digits=1)
    if metric.unit == "%" and not metric.higher_is_better:
        most = gates.max_error_percent
        return _Limit(loss=most, words=f"{most:g} %", limit=most, unit="%", base=0.0, scale=1.0)
    if metric.name in _OVERLAPS:
        return _least(gates.min_iou_percent, 100.0, "%")
    if metric.name == "cosine":
        return _least(gates.min_cosine, 1.0, "", digits=4)
    least = gates.min_agreement_percent
    is_told = metric.name == NEIGHBOURS or metric.name.startswith(SAME_SIZE)
    if metric.unit != "%" or is_told or least is None:
        return None
    return _least(least, 100.0, "%")


def _least(least: float, perfect: float, unit: str, *, digits: int = 2) -> _Limit:
    return _Limit(
        loss=perfect - least,
        words=f"{least:g}{unit and ' ' + unit}",
        limit=least,
        unit=unit,
        base=perfect,
        scale=-1.0,
        digits=digits,
    )


def _unlimited(task: TaskStats, metric: Metric) -> Finding:
    key = "min_sqnr_db" if metric.unit == "dB" else "min_agreement_percent"
    seen = f"{metric.name} is {_value(metric, metric.value)} on {task.samples:,} samples"
    if metric.name.startswith(SAME_SIZE):
        message = f"{_capital(seen)}, which proves nothing of what is in it."
    else:
        message = f"The outputs' {seen}, and no lower limit is set (gates.{key} of the target)."
    figure = Figure(measured=metric.value, unit=metric.unit)
    return judged("accuracy", metric.name, figure, "inconclusive", message)


def _hidden(part: SliceStats, least: float) -> Finding:
    """The finding on a slice below the limit.

    Of probabilities that stay low in all samples next to nothing is known: the noise of scores of
    objects that are nowhere harms nobody, as long as it is not their whole variance.
    """
    assert part.sqnr_db is not None
    name = f"{part.part} of {part.output}" if part.part else part.output
    message = (
        f"{_capital(name)}: the SQNR of what varies is {decibels(part.sqnr_db)}, below the limit of"
        f" {least:g} dB for any part by itself (gates.min_slice_sqnr_db)."
    )
    figure = Figure(measured=part.sqnr_db, limit=least, unit="dB", bound=at_least(least, "dB"))
    verdict: Verdict = "fail"
    if part.highest is not None and part.highest < _SHOWN and part.sqnr_db >= _BROKEN_DB:
        verdict = "inconclusive"
        message += (
            f" FP32's own scores stay below {_SHOWN:g} there (at most {part.highest:.2g}): give"
            " samples that show what it looks for."
        )
    return judged("accuracy", "SQNR of a part", figure, verdict, message)


def _value(metric: Metric, value: float) -> str:
    digits = {"%": 2, "dB": 1}.get(metric.unit)
    text = f"{value:.4g}" if digits is None else f"{value:.{digits}f}"
    return f"{text}{metric.unit and ' ' + metric.unit}"


def _capital(text: str) -> str:
    return text if text[:2] in ("mI", "mA") else text[:1].upper() + text[1:]
