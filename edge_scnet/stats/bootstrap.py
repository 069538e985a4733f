"""Intervals of paired losses from the bootstrap over samples.

A resample is how often each sample was drawn, and both engines' figures are made of the same draws:
so the difference is paired, and neither engine runs again. The seed is fixed: a report's interval
is the same whenever it is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.intervals import RARE_LOSSES, Z_ONE_SIDED_95, Z_TWO_SIDED_95, t_quantile

RESAMPLES = 2000
# Below this the spread of the samples says too little of that of all others.
LEAST_SAMPLES = 20
_SEED = 20_240_229
_BLOCK_VALUES = 1 << 22

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossInterval:
    """A loss, and how far other samples of the same kind may move it."""

    loss: float
    # two-sided 95 %
    low: float
    high: float
    # one-sided 95 %, each on its own
    lower95: float
    upper95: float
    # how it was made, in words
    method: str


def paired_bootstrap(
    samples: int,
    loss: Callable[[Weights], npt.NDArray[np.float64]],
    *,
    informative: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = _SEED,
) -> LossInterval | None:
    """The interval of a loss: the percentiles of what resamples make of it, expanded.

    Percentiles alone are too narrow where samples are few: they take the spread of the samples for
    that of the population. So the shares are those of a t distribution with n - 1 degrees of
    freedom, times sqrt(n / (n - 1)) (T. Hesterberg, What Teachers Should Know About the Bootstrap,
    The American Statistician 69, 2015, section 3.3).

    Args:
        samples: n.
        loss: the loss of each resample, [resamples], from how often each sample was drawn
            [resamples, n]. All ones are the samples as they are. A resample for which there is none
            (no object was drawn) is NaN, and left out.
        informative: how many samples say anything of the loss, as those with an object; None: all.
        resamples: at least 1,000.

    Returns:
        None with fewer than `LEAST_SAMPLES` informative ones, or where most resamples have no loss.
    """
    informative = samples if informative is None else informative
    if informative < LEAST_SAMPLES:
        return None
    seen = float(loss(np.ones((1, samples)))[0])
    drawn = np.concatenate([loss(weights) for weights in draws(samples, resamples, seed)])
    drawn = drawn[~np.isnan(drawn)]
    if math.isnan(seen) or len(drawn) < resamples / 2:
        return None
    one, two = (_expanded(z, informative) for z in (Z_ONE_SIDED_95, Z_TWO_SIDED_95))
    low, lower95, upper95, high = np.quantile(drawn, [two, one, 1 - one, 1 - two])
    # a percentile interval need not hold the loss itself, where that is biased
    return LossInterval(
        loss=seen,
        low=min(float(low), seen),
        high=max(float(high), seen),
        lower95=min(float(lower95), seen),
        upper95=max(float(upper95), seen),
        method=f"paired bootstrap, {resamples:,} resamples",
    )


def widened(
    interval: LossInterval, informative: int, cost: float, *, most: float = math.inf
) -> LossInterval:
    """The interval with upper bounds that hold for losses so rare that no sample shows them.

    Resamples of samples that lose nothing lose nothing, however few they are. Of further samples a
    share of z² / (n + z²) may lose what one can: that is the bound of Tango's and of Wilson's score
    intervals where nothing is seen, and close to the rule of three.

    Args:
        informative: n.
        cost: what one sample can lose by itself, in the loss's unit.
        most: what the loss can be at most.
    """
    one, two = (
        min(interval.loss + cost * z * z / (informative + z * z), max(most, interval.loss))
        for z in (Z_ONE_SIDED_95, Z_TWO_SIDED_95)
    )
    ruled = one > interval.upper95
    return replace(
        interval,
        high=max(interval.high, two),
        upper95=max(interval.upper95, one),
        method=f"{interval.method}, {RARE_LOSSES}" if ruled else interval.method,
    )


def of_each_sample(
    samples: int, figure: Callable[[Weights], npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """The figure of each sample by itself, [samples]; NaN: it has none."""
    block = max(1, _BLOCK_VALUES // samples)
    parts = []
    for start in range(0, samples, block):
        rows = min(block, samples - start)
        with np.errstate(invalid="ignore", divide="ignore"):
            parts.append(figure(np.eye(rows, samples, start)))
    return np.concatenate(parts)


def draws(samples: int, resamples: int, seed: int = _SEED) -> Iterator[Weights]:
    """Yields blocks of resamples: how often each sample was drawn, [some, samples], read-only."""
    if samples * resamples <= _BLOCK_VALUES:
        yield _only_block(samples, resamples, seed)
    else:
        yield from _blocks(samples, resamples, seed)


# All figures of a task are of the same draws, which took a fifth of the time to make anew each.
@lru_cache(maxsize=1)
def _only_block(samples: int, resamples: int, seed: int) -> Weights:
    (weights,) = _blocks(samples, resamples, seed)
    return weights


def _blocks(samples: int, resamples: int, seed: int) -> Iterator[Weights]:
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, _BLOCK_VALUES // samples))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        picked = rng.integers(0, samples, (rows, samples))
        picked += (np.arange(rows) * samples)[:, None]
        counts = np.bincount(picked.ravel(), minlength=rows * samples)
        weights = counts.reshape(rows, samples).astype(np.float64)
        weights.flags.writeable = False
        yield weights


def weighted_mean(values: npt.ArrayLike, weights: Weights) -> npt.NDArray[np.float64]:
    """The mean over samples in each resample; NaN are samples that have no value.

    Args:
        values: [samples].
        weights: [resamples, samples].
    """
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    total = weights @ known.astype(np.float64)
    sums = weights @ np.where(known, array, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means: npt.NDArray[np.float64] = sums / total
    return means


def _expanded(z: float, samples: int) -> float:
    """The share below which a percentile lies that stands for the normal quantile -z."""
    wide = math.sqrt(samples / (samples - 1)) * t_quantile(z, samples - 1)
    return 0.5 * math.erfc(wide / math.sqrt(2.0))
