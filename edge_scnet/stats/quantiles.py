"""Intervals of quantiles from order statistics, and the binomial distribution behind them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def quantile_interval(
    values: npt.ArrayLike, share: float, *, outside: float = 0.05
) -> tuple[float, float] | tuple[None, None]:
    """The interval of a quantile from order statistics: no distribution is assumed.

    It lies between the k-th and the l-th smallest value, k the largest with P(X < k) <= outside /
    2, l the smallest with P(X < l) >= 1 - outside / 2, for X binomial(n, share).

    Args:
        share: the quantile, from 0 to 1.
        outside: how often the interval may miss it.

    Returns:
        Low and high; None where even the extremes miss it more often: a median takes 6 values (8
        for 99 %).
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    below = binomial_cdf(len(ordered), len(ordered), share)
    # P(X <= low - 1) <= outside / 2 and P(X <= high - 1) >= 1 - outside / 2
    low = int(np.searchsorted(below, outside / 2, side="right"))
    high = int(np.searchsorted(below, 1 - outside / 2 - 1e-12)) + 1
    if low < 1 or high > len(ordered):
        return None, None
    return float(ordered[low - 1]), float(ordered[high - 1])


def binomial_cdf(trials: int, upto: int, share: float = 0.5) -> npt.NDArray[np.float64]:
    """P(X <= k) for k = 0 ... upto, X binomial(trials, share).

    In logarithms, so that many trials do not underflow.
    """
    k = np.arange(1, upto + 1, dtype=np.float64)
    odds = math.log(share / (1.0 - share))
    logs = np.concatenate(
        ([0.0], np.cumsum(np.log((trials - k + 1.0) / k) + odds))
    ) + trials * math.log1p(-share)
    cdf: npt.NDArray[np.float64] = np.cumsum(np.exp(logs))
    return cdf
