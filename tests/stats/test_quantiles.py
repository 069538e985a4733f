"""Order statistics and the binomial distribution, held to SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from edge_scnet.stats.quantiles import binomial_cdf, quantile_interval


@pytest.mark.parametrize("trials", [1, 6, 37, 400, 20_000])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.001])
def test_the_binomial_distribution_is_scipys(trials: int, share: float) -> None:
    expected = scipy.stats.binom.cdf(np.arange(trials + 1), trials, share)
    np.testing.assert_allclose(binomial_cdf(trials, trials, share), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("outside", [0.05, 0.01])
def test_the_ranks_of_an_interval_are_those_of_scipys_binomial(
    share: float, outside: float
) -> None:
    for count in (5, 6, 7, 8, 36, 100, 368, 1000, 5000):
        below = scipy.stats.binom.cdf(np.arange(count), count, share)
        low = np.count_nonzero(below <= outside / 2)  # the largest k with P(X < k) <= outside / 2
        high = np.count_nonzero(below < 1 - outside / 2 - 1e-12) + 1
        expected = (low, high) if low >= 1 and high <= count else (None, None)
        assert quantile_interval(np.arange(1, count + 1), share, outside=outside) == expected


def test_an_interval_does_not_depend_on_the_order_of_its_values() -> None:
    values = np.random.default_rng(0).permutation(100)
    assert quantile_interval(values, 0.5) == quantile_interval(np.arange(100), 0.5)
