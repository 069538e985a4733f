"""Drift, heaps and growth: found where they are, and not where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from edge_scnet.stats.steadiness import kernel_density, memory_growth, modes, steadiness, trend


def test_the_slope_is_not_bent_by_an_outlier_and_order_is_significant():
    y = [2.0 * k for k in range(20)]
    y[5] = 1000.0
    slope, p = trend(range(20), y)
    assert slope == pytest.approx(2.0) and p is not None and p < 1e-6
    slope, p = trend(range(20), [1.0] * 20)
    assert (slope, p) == (0.0, 1.0)
    assert trend(range(7), range(7)) == (None, None)


def test_kendalls_p_by_hand():
    """Twelve ranks, S = 50: the variance is 12 * 11 * 29 / 18, z = 49 / sqrt(212.67) = 3.360."""
    ranks = [1, 2, 4, 3, 6, 5, 9, 7, 12, 8, 11, 10]
    score = sum(np.sign(b - a) for i, a in enumerate(ranks) for b in ranks[i + 1 :])
    assert score == 50
    assert trend(range(12), ranks)[1] == pytest.approx(0.00078, abs=1e-5)


def test_order_in_noise_is_seen_as_often_as_promised():
    rng = np.random.default_rng(0)
    found = sum(trend(range(20), rng.normal(size=20).tolist())[1] < 0.05 for _ in range(2000))
    assert 0.03 <= found / 2000 <= 0.06


@pytest.mark.parametrize("seed", range(12))
def test_one_heap_is_one(seed: int):
    rng = np.random.default_rng(seed)
    times = (
        np.exp(rng.normal(0, 0.03 * (seed + 1), 3000))
        if seed % 2
        else rng.gamma(1 + seed / 3, 1, 3000) + 3
    )
    centres, shares = modes(times.tolist())
    assert centres == (pytest.approx(float(np.median(times))),) and shares == (100.0,)


@pytest.mark.parametrize("ratio", [1.1, 1.3, 2.0])
def test_two_heaps_are_two(ratio: float):
    rng = np.random.default_rng(0)
    times = np.concatenate([rng.normal(1, 0.02, 700), ratio * rng.normal(1, 0.02, 300), [50.0] * 5])
    rng.shuffle(times)
    centres, shares = modes(times.tolist())
    assert centres == (pytest.approx(1, rel=0.01), pytest.approx(ratio, rel=0.01))
    assert shares == (pytest.approx(70, abs=1.5), pytest.approx(30, abs=1.5))


def test_a_few_slow_runs_are_no_heap():
    times = [1.0 + 0.001 * (k % 20) for k in range(950)] + [5.0] * 50
    assert len(modes(times)[0]) == 1
    assert len(modes([1.0] * 30 + [2.0] * 15)[0]) == 1  # too few to tell


def test_times_over_many_orders_of_magnitude_are_told_at_once():
    assert len(modes(np.geomspace(1e-6, 1e9, 500).tolist())[0]) == 1


def test_drift_is_from_the_first_block_to_the_last():
    blocks = [[int(1e6 * (1 + 0.1 * k / 11))] * 9 + [9_000_000] for k in range(12)]
    found = steadiness(blocks)
    assert (
        found.drift_percent == pytest.approx(10 / 1.05, rel=0.01)
        and found.drift_p is not None
        and found.drift_p < 1e-4
    )
    flat = steadiness([[1_000_000, 1_100_000]] * 12)
    assert (flat.drift_percent, flat.drift_p) == (0.0, 1.0)
    assert steadiness([[1_000_000]] * 3).drift_percent is None


def test_memory_that_grows():
    runs = [100 * (k + 1) for k in range(12)]
    per_run, total, p = memory_growth(runs, [10**8 + 50 * n for n in runs])
    assert per_run == pytest.approx(50) and total == 50 * 1100 and p is not None and p < 0.01
    assert memory_growth(runs, [10**8] * 12) == (0.0, 0, 1.0)
    assert memory_growth(runs[:3], [1, 2, 3]) == (None, None, None)


def test_two_heaps_that_run_into_each_other_are_one():
    """The density between them falls to two thirds of the lower one: no two states."""
    rng = np.random.default_rng(0)
    times = np.concatenate([rng.normal(1, 0.05, 5000), rng.normal(1.14, 0.05, 5000)])
    assert len(modes(times.tolist())[0]) == 1


@pytest.mark.slow
def test_an_hour_of_blocks_is_thinned_and_keeps_its_slope():
    # of so many points p would be 0, and all their pairs would take 20 GB; of 400 it is not yet
    assert 0 < trend(range(24_000), range(24_000))[1] < 1e-100
    assert trend(range(400), range(400))[0] == 1.0
    found = steadiness([[int(1e6 * (1 + 0.2 * k / 24_000))] * 3 for k in range(24_000)])
    assert (
        found.drift_percent == pytest.approx(20 / 1.1, rel=0.01)
        and found.drift_p is not None
        and found.drift_p < 1e-9
    )
    per_run, total, _ = memory_growth(range(24_000), [10**8 + 8 * k for k in range(24_000)])
    assert per_run == pytest.approx(8) and total == 8 * 23_999


@pytest.mark.parametrize("levels", [3, 10, 10_000])
def test_slope_and_p_are_scipys(levels: int):
    """With ties or without. SciPy's p has no correction for continuity, so it is put in."""
    rng = np.random.default_rng(levels)
    for count in (8, 20, 57):
        x = np.cumsum(rng.integers(1, 9, count)).tolist()
        y = (np.floor(levels * rng.random(count)) + 0.2 * levels / count * np.arange(count)).round()
        slope, p = trend(x, y.tolist())
        assert slope == pytest.approx(scipy.stats.theilslopes(y, x).slope)
        kendall = scipy.stats.kendalltau(x, y, method="asymptotic")
        pairs = count * (count - 1) / 2
        tied = sum(n * (n - 1) / 2 for n in np.unique(y, return_counts=True)[1])
        score = abs(kendall.statistic) * math.sqrt(pairs * (pairs - tied))
        deviation = score / scipy.stats.norm.isf(kendall.pvalue / 2)
        assert p == pytest.approx(2 * scipy.stats.norm.sf((score - 1) / deviation), rel=1e-6)


@pytest.mark.parametrize("width", [0.02, 0.1, 0.5])
def test_the_density_is_scipys(width: float):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.3, 700), rng.normal(2, 0.5, 300)])
    places, density = kernel_density(values, width)
    kernel = scipy.stats.gaussian_kde(values, bw_method=width / values.std(ddof=1))
    expected = kernel(places) * len(values) * width / 4
    # the bins are a quarter of the width, and the tails of the kernel are cut off
    np.testing.assert_allclose(density, expected, atol=0.03 * expected.max())
    assert density.sum() == pytest.approx(len(values), rel=1e-6)
