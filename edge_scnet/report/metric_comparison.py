"""A figure of two engines on the same samples, with its interval, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from edge_scnet.report.metric_change import MetricChange
from edge_scnet.stats.figures import AccuracyStats, LabelledStats, Metric
from edge_scnet.stats.intervals import Z_TWO_SIDED_95, wilson_bounds

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


def metric_compared(
    first: Metric, second: Metric, change: MetricChange, *, name: str = "B"
) -> Comparison:
    """A figure that both engines have.

    Args:
        first, second: A's and B's.
        change: how much worse B's is.
        name: B's, in the sentence.
    """
    better: Answer = "unknown"
    spread = ""
    unit = "pp" if first.unit == "%" else first.unit
    in_words = f" {unit}" if unit else ""
    if change.low is not None and change.high is not None:
        better = "A" if change.low > 0 else "B" if change.high < 0 else "same"
        # as a change of the figure, which may be better when it is lower
        ends = (change.low, change.high)
        low, high = sorted((-end if first.higher_is_better else end) for end in ends)
        spread = f" ({low:+.3g} to {high:+.3g}{in_words} with 95 % confidence; {change.method})"
    moved = second.value - first.value
    return Comparison(
        figure=first.name,
        a=first.value,
        b=second.value,
        unit=first.unit,
        better=better,
        message=f"{name}'s {first.name} to A's: {moved:+.3g}{in_words}{spread}.",
    )


def to_first(stats: AccuracyStats, name: str) -> tuple[Comparison, ...]:
    """The figures of an engine whose reference was the first one, A, on the same samples.

    Args:
        name: the engine's, in sentences; in answers it is B.
    """
    metrics = _of_classes(stats) if stats.task is None else stats.task.metrics
    return tuple(_to_first(metric, name) for metric in metrics if metric.unit != "dB")


def _of_classes(stats: AccuracyStats) -> Iterable[Metric]:
    """Top-1 and the agreement of the first class; nothing of outputs that are no classes."""
    if stats.labels is not None:
        yield _top1(stats.images, stats.labels)
    if stats.agreement_percent is not None and stats.agreeing is not None:
        ends = wilson_bounds(stats.images - stats.agreeing, stats.images, z=Z_TWO_SIDED_95)
        yield Metric(
            name="agreement with FP32",
            unit="%",
            value=stats.agreement_percent,
            reference=None,
            higher_is_better=True,
            loss=100.0 - stats.agreement_percent,
            loss_low=100.0 * ends[0],
            loss_high=100.0 * ends[1],
            method="Wilson's score interval",
        )


def _top1(images: int, labels: LabelledStats) -> Metric:
    return Metric(
        name="top-1",
        unit="%",
        value=labels.top1_percent,
        reference=labels.reference_top1_percent,
        higher_is_better=True,
        loss=labels.drop_pp,
        loss_low=labels.drop_low_pp,
        loss_high=labels.drop_high_pp,
        method=f"{labels.lost:,} lost, {labels.won:,} won of {images:,}",
    )


def _to_first(metric: Metric, name: str) -> Comparison:
    """A figure whose reference is A's."""
    if metric.reference is not None:
        change = MetricChange(
            worse=metric.loss,
            low=metric.loss_low,
            high=metric.loss_high,
            lower95=metric.loss_lower95,
            upper95=metric.loss_upper95,
            method=metric.method,
        )
        return metric_compared(replace(metric, value=metric.reference), metric, change, name=name)
    # in reports FP32 is what A is here
    figure = metric.name.replace("FP32", "A")
    to_a = figure if figure != metric.name else f"{figure}, to A"
    return Comparison(
        figure=figure,
        a=None,
        b=metric.value,
        unit=metric.unit,
        better="same" if metric.loss == 0 else "unknown",
        message=f"{name}'s {to_a}: {_value_in_words(metric)}.",
    )


def _value_in_words(metric: Metric) -> str:
    """A value with its own interval, which is as wide as that of its loss."""
    unit = f" {metric.unit}" if metric.unit else ""
    if metric.loss_low is None or metric.loss_high is None:
        return f"{metric.value:.4g}{unit}"
    sign = -1.0 if metric.higher_is_better else 1.0
    ends = [
        metric.value + sign * (end - metric.loss) for end in (metric.loss_low, metric.loss_high)
    ]
    low, high = sorted(ends)
    return (
        f"{metric.value:.4g}{unit} ({low:.4g} to {high:.4g}{unit} with 95 % confidence;"
        f" {metric.method})"
    )
