"""A task's figure of two reports on the same samples: how it changed, and by how much it may have.

Plain Python: a gate reads reports without NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, stdev

from edge_scnet.core.packing import unpack_values
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, Z_TWO_SIDED_95, t_quantile

_LEAST_SAMPLES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricChange:
    """How much worse a figure is than before, in its unit; negative: better."""

    worse: float
    # two-sided 95 %; None: it cannot be told
    low: float | None
    high: float | None
    # one-sided 95 %
    lower95: float | None
    upper95: float | None
    # how it was compared, in words
    method: str


def pairs_of(before: TaskStats, now: TaskStats) -> Iterator[tuple[int, Metric, Metric | None]]:
    """The metrics of an earlier report by number, each beside that of the same name now.

    None: there is none now.
    """
    by_name = {metric.name: metric for metric in now.metrics}
    for number, old in enumerate(before.metrics):
        yield number, old, by_name.get(old.name)


def change_of(before: TaskStats, now: TaskStats, name: str | None = None) -> MetricChange:
    """The change of a metric.

    Sample by sample where both reports have its values; else from both intervals of the loss to
    FP32, as if these were independent: on the same samples they are not, and the change is known
    better than that. Reports hold the values of single samples of the first metric alone.

    Args:
        name: of a metric that both have; None: the first one's.

    Raises:
        ValueError: packed values that are damaged.
    """
    name = before.metrics[0].name if name is None else name
    old, new = (_named(stats, name) for stats in (before, now))
    sign = 1.0 if new.higher_is_better else -1.0
    is_first = old is before.metrics[0] and new is now.metrics[0]
    if is_first and before.per_sample is not None and now.per_sample is not None:
        pairs = zip(
            unpack_values(before.per_sample, before.samples),
            unpack_values(now.per_sample, now.samples),
            strict=True,
        )
        return _paired([sign * (was - is_now) for was, is_now in pairs])
    worse = sign * (old.value - new.value)
    if worse == 0.0 and old.loss == new.loss:
        # the same engine, as far as this figure can tell
        return MetricChange(
            worse=0.0, low=0.0, high=0.0, lower95=0.0, upper95=0.0, method="equal figures"
        )
    return _of_intervals(worse, old, new)


def _named(stats: TaskStats, name: str) -> Metric:
    return next(metric for metric in stats.metrics if metric.name == name)


def _paired(losses: list[float]) -> MetricChange:
    """Student's interval of the mean difference."""
    worse, count = fmean(losses), len(losses)
    if count < _LEAST_SAMPLES:
        return MetricChange(
            worse=worse, low=None, high=None, lower95=None, upper95=None, method="too few samples"
        )
    error = stdev(losses) / math.sqrt(count)
    one, two = (t_quantile(z, count - 1) * error for z in (Z_ONE_SIDED_95, Z_TWO_SIDED_95))
    return MetricChange(
        worse=worse,
        low=worse - two,
        high=worse + two,
        lower95=worse - one,
        upper95=worse + one,
        method="paired by sample",
    )


def _of_intervals(worse: float, old: Metric, new: Metric) -> MetricChange:
    ends = []
    # worse is the new loss less the old one: each end is that of the new, and the other of the old
    for fields in (
        ("loss_low", "loss_high"),
        ("loss_high", "loss_low"),
        ("loss_lower95", "loss_upper95"),
        ("loss_upper95", "loss_lower95"),
    ):
        own, other = getattr(new, fields[0]), getattr(old, fields[1])
        ends.append(
            None if own is None or other is None else math.hypot(own - new.loss, other - old.loss)
        )
    low, high, lower, upper = ends
    return MetricChange(
        worse=worse,
        low=None if low is None else worse - low,
        high=None if high is None else worse + high,
        lower95=None if lower is None else worse - lower,
        upper95=None if upper is None else worse + upper,
        method="from both intervals",
    )
