"""Metrics with their intervals: shares (Tango, Wilson), means and others (bootstrap)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from edge_scnet.core.packing import pack_values
from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import (
    LossInterval,
    Weights,
    of_each_sample,
    paired_bootstrap,
    weighted_mean,
    widened,
)
from edge_scnet.stats.figures import Metric, SliceStats, TaskStats
from edge_scnet.stats.intervals import (
    Z_ONE_SIDED_95,
    Z_TWO_SIDED_95,
    paired_difference_interval,
    wilson_bounds,
)
from edge_scnet.tasks.base import Context

_WORST = 10


def paired_share(name: str, own: npt.ArrayLike, reference: npt.ArrayLike) -> Metric:
    """The share of the samples that an engine has right, in %, with Tango's interval.

    Args:
        own, reference: [samples], whether each engine is right.
    """
    right, was = np.asarray(own, bool), np.asarray(reference, bool)
    lost, won, count = int((was & ~right).sum()), int((right & ~was).sum()), len(right)
    low, high = paired_difference_interval(lost, won, count, z=Z_TWO_SIDED_95)
    lower95, upper95 = paired_difference_interval(lost, won, count, z=Z_ONE_SIDED_95)
    value_low, value_high = wilson_bounds(int(right.sum()), count, z=Z_TWO_SIDED_95)
    return Metric(
        name=name,
        unit="%",
        value=100.0 * float(right.mean()),
        reference=100.0 * float(was.mean()),
        higher_is_better=True,
        loss=100.0 * (lost - won) / count,
        loss_low=100.0 * low,
        loss_high=100.0 * high,
        loss_lower95=100.0 * lower95,
        loss_upper95=100.0 * upper95,
        method="Tango's score interval",
        value_low=100.0 * value_low,
        value_high=100.0 * value_high,
    )


def agreement(name: str, equal: npt.ArrayLike) -> Metric:
    """The share of the samples on which an engine says what the reference says, in %.

    Its loss is the share of the others, with Wilson's interval.

    Args:
        equal: [samples], whether they say the same.
    """
    same = np.asarray(equal, bool)
    others, count = int((~same).sum()), len(same)
    low, high = wilson_bounds(others, count, z=Z_TWO_SIDED_95)
    lower95, upper95 = wilson_bounds(others, count, z=Z_ONE_SIDED_95)
    return Metric(
        name=name,
        unit="%",
        value=100.0 * float(same.mean()),
        reference=None,
        higher_is_better=True,
        loss=100.0 * others / count,
        loss_low=100.0 * low,
        loss_high=100.0 * high,
        loss_lower95=100.0 * lower95,
        loss_upper95=100.0 * upper95,
        method="Wilson's score interval",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a figure is."""

    name: str
    # "%", "px", "dB", or "" for the outputs' own
    unit: str
    higher_is_better: bool = True
    # of an engine that is equal to the reference, where the figure is itself a comparison
    perfect: float = 0.0


# The figure of each resample [resamples], from how often each sample was drawn
# [resamples, samples].
OfResamples = Callable[[Weights], npt.NDArray[np.float64]]


# A figure of each sample by itself, [samples], of the engine and of the reference, if it has one;
# NaN: the sample says nothing.
OfEach = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64] | None]


def bootstrapped(
    kind: Kind,
    own: OfResamples,
    reference: OfResamples | None,
    samples: int,
    each: OfEach | None = None,
) -> Metric:
    """A figure of all samples together, with the interval of a paired bootstrap.

    Its upper bounds are no less than those of losses that are too rare for these samples to show.

    Args:
        reference: None: the figure is itself a comparison.
        each: None: the figure of each sample, made of its own.
    """
    sign = 1.0 if kind.higher_is_better else -1.0

    def loss(weights: Weights) -> npt.NDArray[np.float64]:
        with np.errstate(invalid="ignore", divide="ignore"):
            other = kind.perfect if reference is None else reference(weights)
            difference: npt.NDArray[np.float64] = sign * (other - own(weights))
        return difference

    ones = np.ones((1, samples))
    metric = Metric(
        name=kind.name,
        unit=kind.unit,
        value=float(own(ones)[0]),
        reference=None if reference is None else float(reference(ones)[0]),
        higher_is_better=kind.higher_is_better,
        loss=float(loss(ones)[0]),
    )
    if each is None:
        of_reference = None if reference is None else of_each_sample(samples, reference)
        each = of_each_sample(samples, own), of_reference
    losses = sign * ((kind.perfect if each[1] is None else each[1]) - each[0])
    informative = int((~np.isnan(losses)).sum())
    interval = paired_bootstrap(samples, loss, informative=informative)
    if interval is None:
        return metric
    cost, most = _cost(kind, metric, losses, each[1])
    metric = with_interval(metric, widened(interval, informative, cost, most=most))
    if reference is None or not interval.low == interval.loss == interval.high == 0:
        return metric
    value = paired_bootstrap(samples, own, informative=informative)
    return metric if value is None else replace(metric, value_low=value.low, value_high=value.high)


def _cost(
    kind: Kind,
    metric: Metric,
    losses: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64] | None,
) -> tuple[float, float]:
    """What one sample can lose by itself, and all of them together.

    A share can be lost whole. What an error can become is not known: as much more as any sample's
    has, and no less than FP32's own largest.
    """
    if kind.unit == "%" and kind.higher_is_better:
        return 100.0, kind.perfect if metric.reference is None else metric.reference
    worst = float(np.nanmax(losses))
    if kind.unit == "dB":
        # of a ratio the loss itself is no distance
        return worst - metric.loss, math.inf
    largest = 0.0 if reference is None else float(np.nanmax(np.abs(reference)))
    return max(worst, largest, 0.0), math.inf


def mean_over_samples(kind: Kind, own: npt.ArrayLike, reference: npt.ArrayLike | None) -> Metric:
    """The mean of a figure that each sample has.

    Args:
        own, reference: [samples]; NaN: the sample has none. Without a reference the figure is
            itself a comparison.
    """
    values = np.asarray(own, dtype=np.float64)
    others = None if reference is None else np.asarray(reference, dtype=np.float64)
    return bootstrapped(
        kind,
        partial(weighted_mean, values),
        None if others is None else partial(weighted_mean, others),
        len(values),
        (values, others),
    )


def with_interval(metric: Metric, interval: LossInterval | None) -> Metric:
    """The metric with an interval of its loss; None: it stays without one."""
    if interval is None:
        return metric
    return replace(
        metric,
        loss_low=interval.low,
        loss_high=interval.high,
        loss_lower95=interval.lower95,
        loss_upper95=interval.upper95,
        method=interval.method,
    )


def refuse_unfinite(stats: TaskStats) -> None:
    """Refuses figures that are NaN or infinite: they say nothing, and no report can hold them.

    Raises:
        DataError: names the figure.
    """
    figures: tuple[Metric | SliceStats, ...] = (*stats.metrics, *stats.slices)
    for each in figures:
        for key in (field.name for field in fields(each)):
            value = getattr(each, key)
            if isinstance(value, (float, np.floating)) and not math.isfinite(value):
                name = each.name if isinstance(each, Metric) else f"the part {each.part or 'all'}"
                raise DataError(
                    f"{stats.task}: {key} of {name} is {value} over {stats.samples:,} samples",
                    hint=(
                        "is the ground truth that of these samples, and finite? else --task"
                        " features"
                    ),
                )


def worst_of(context: Context, losses: npt.ArrayLike) -> tuple[str, ...]:
    """The names of the samples that lost most, worst first; those that lost nothing are left out.

    Args:
        losses: [samples]; NaN: not known.
    """
    values = np.nan_to_num(np.asarray(losses, dtype=np.float64), nan=0.0)
    order = np.argsort(-values, kind="stable")[:_WORST]
    return tuple(context.name_of(int(i)) for i in order if values[i] > 0)


def packed(context: Context, values: Sequence[float] | npt.NDArray[np.float64]) -> str | None:
    """A figure of each sample in the order of reports; None where some have none."""
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        return None
    order = context.order or tuple(range(len(array)))
    return pack_values([float(array[i]) for i in order])
