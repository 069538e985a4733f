"""Intervals of the paired bootstrap: properties, and how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy

from edge_scnet.stats.bootstrap import (
    LEAST_SAMPLES,
    Weights,
    draws,
    paired_bootstrap,
    weighted_mean,
)
from edge_scnet.stats.intervals import t_quantile


def _mean_of(values: np.ndarray):
    return lambda weights: weighted_mean(values, weights)


def test_resamples_draw_as_many_as_there_are_and_are_the_same_every_time() -> None:
    blocks = list(draws(30, 1000))
    assert np.concatenate(blocks).shape == (1000, 30)
    assert all((block.sum(axis=1) == 30).all() for block in blocks)
    values = np.random.default_rng(0).normal(size=30)
    assert paired_bootstrap(30, _mean_of(values)) == paired_bootstrap(30, _mean_of(values))


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=50)
    whole = paired_bootstrap(50, _mean_of(values), resamples=1000)
    monkeypatch.setattr("edge_scnet.stats.bootstrap._BLOCK_VALUES", 333)
    assert paired_bootstrap(50, _mean_of(values), resamples=1000) == whole


def test_the_interval_of_a_mean_is_that_of_student() -> None:
    values = np.random.default_rng(3).normal(1.0, 2.0, 200)
    found = paired_bootstrap(200, _mean_of(values))
    assert found is not None
    wanted = scipy.stats.t.interval(0.95, 199, values.mean(), values.std(ddof=1) / 200**0.5)
    assert (found.low, found.high) == pytest.approx(wanted, abs=0.03)
    assert found.low < found.lower95 < found.loss < found.upper95 < found.high


def test_few_samples_have_no_interval() -> None:
    values = np.zeros(LEAST_SAMPLES - 1)
    assert paired_bootstrap(len(values), _mean_of(values)) is None


def test_a_figure_that_most_resamples_lack_has_no_interval() -> None:
    def rarely(weights: Weights) -> np.ndarray:
        return np.where(weights[:, 0] > 0, np.nan, 1.0)

    assert paired_bootstrap(40, rarely) is None


def test_samples_without_a_value_are_left_out() -> None:
    values = np.array([1.0, np.nan, 3.0])
    assert weighted_mean(values, np.array([[1.0, 5.0, 1.0], [0.0, 1.0, 0.0]]))[0] == 2.0
    assert np.isnan(weighted_mean(values, np.array([[0.0, 1.0, 0.0]]))[0])


@pytest.mark.parametrize("freedom", [19, 50, 1000])
def test_quantiles_of_t(freedom: int) -> None:
    for share in (0.95, 0.975):
        z = scipy.stats.norm.ppf(share)
        assert t_quantile(z, freedom) == pytest.approx(scipy.stats.t.ppf(share, freedom), abs=2e-4)


def test_a_true_loss_lies_below_the_upper_bound_95_times_in_100() -> None:
    """Losses are skewed: most samples lose nothing, some much."""
    rng = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        values = rng.exponential(1.0, 60) * (rng.random(60) < 0.5)
        found = paired_bootstrap(60, _mean_of(values), resamples=1000, seed=seed)
        assert found is not None
        held += found.upper95 >= 0.5
    assert held >= 180
