"""Latency figures and paired ratios of times, by hand and by their promises."""

from __future__ import annotations

import functools
import math
import random

import numpy as np
import pytest

from edge_scnet.stats.figures import LatencyStats
from edge_scnet.stats.timing import latency_stats, paired_ratio, rate_ratio


def test_latency_percentiles_and_order():
    samples = [ms * 1_000_000 for ms in (5, 1, 3, 2, 4)]
    stats = latency_stats([samples])
    assert stats.samples_ns == tuple(samples)  # in the order taken
    assert (stats.count, stats.p50_ms) == (5, 3.0)
    assert stats.p90_ms == pytest.approx(4.6)
    assert stats.p99_ms == pytest.approx(4.96)
    assert (stats.p50_low_ms, stats.p50_high_ms) == (None, None)


@pytest.mark.parametrize(
    ("count", "ranks"),
    [
        (6, (1, 6)),
        (8, (1, 8)),
        (9, (2, 8)),
        (10, (2, 9)),
        (20, (6, 15)),
        (25, (8, 18)),
        (100, (40, 61)),
    ],
)
def test_median_interval_takes_the_ranks_of_the_published_tables(
    count: int, ranks: tuple[int, int]
):
    samples = [rank * 1_000_000 for rank in range(1, count + 1)]
    random.Random(count).shuffle(samples)
    stats = latency_stats([samples])
    assert (stats.p50_low_ms, stats.p50_high_ms) == ranks


def test_median_interval_of_many_samples_is_finite_and_near_the_normal_ranks():
    stats = latency_stats([[rank * 1_000_000 for rank in range(1, 40_001)]])
    assert stats.p50_low_ms == pytest.approx(20_000 - 196, abs=2)
    assert stats.p50_high_ms == pytest.approx(20_001 + 196, abs=2)


@functools.cache
def drawn_stats() -> list[LatencyStats]:
    """Figures of 400 times drawn from an exponential distribution of mean 1 ms, 2,000 times."""
    rng = np.random.default_rng(3)
    return [
        latency_stats([(1e6 * rng.exponential(1.0, 400) + 1).astype(int).tolist()])
        for _ in range(2000)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_interval_of_a_percentile_covers_it_19_times_in_20(share: float):
    """Drawn from a known distribution, 95 % within what 2,000 draws can tell; too few samples have
    none.
    """
    truth = -math.log(1 - share)
    name = {0.5: "p50", 0.9: "p90", 0.99: "p99"}[share]
    covered = 0
    for stats in drawn_stats():
        low, high = getattr(stats, f"{name}_low_ms"), getattr(stats, f"{name}_high_ms")
        covered += low <= truth <= high
    assert 0.94 <= covered / 2000 <= 0.985
    least = {0.5: 6, 0.9: 36, 0.99: 368}[share]
    for count, known in ((least - 1, False), (least, True)):
        stats = latency_stats([[k + 1 for k in range(count)]])
        assert (getattr(stats, f"{name}_low_ms") is not None) == known


@pytest.mark.parametrize("samples", [[], [1000, 0], [-5]])
def test_impossible_times_are_refused(samples: list[int]):
    with pytest.raises(ValueError, match="positive"):
        latency_stats([samples])


def test_ratio_cancels_drift_and_ignores_a_disturbed_round():
    drift = [1, 2, 3, 4, 5, 6, 7]
    fast = [[10 * d, 50 * d, 9 * d] for d in drift]  # one slow run in each block
    slow = [[20 * d, 22 * d, 18 * d] for d in drift]
    slow[3] = [9000, 9000, 9000]
    stats = paired_ratio(slow, fast)
    assert (stats.ratio, stats.low, stats.rounds) == (2.0, 2.0, 7)
    assert stats.high == 225.0  # 7 rounds: the extremes are the interval
    assert paired_ratio(fast, slow).ratio == 0.5


def test_ratio_without_enough_rounds_has_no_interval():
    stats = paired_ratio([[3], [4]], [[2], [2]])
    assert (stats.ratio, stats.low, stats.high, stats.rounds) == (1.75, None, None, 2)


@pytest.mark.parametrize(("a", "b"), [([], []), ([[1]], []), ([[1]], [[]]), ([[0]], [[1]])])
def test_ratio_refuses_blocks_that_do_not_pair(a: list[list[int]], b: list[list[int]]):
    with pytest.raises(ValueError, match="block"):
        paired_ratio(a, b)


def test_99_percent_intervals_hold_the_95_percent_ones() -> None:
    rng = np.random.default_rng(0)
    blocks = [[[int(x) for x in rng.normal(1e6, 2e4, 20)] for _ in range(40)] for _ in range(2)]
    found = paired_ratio(*blocks)
    assert (
        found.low99 is not None
        and found.low is not None
        and found.high is not None
        and found.high99 is not None
    )
    assert found.low99 <= found.low <= found.ratio <= found.high <= found.high99
    few = paired_ratio(blocks[0][:7], blocks[1][:7])
    assert few.low is not None and few.low99 is None


def test_rates_are_paired_by_window() -> None:
    reference = [100.0, 50.0, 80.0, 100.0, 20.0, 100.0]
    stats = rate_ratio([2.0 * rate for rate in reference], reference)
    assert (stats.ratio, stats.low, stats.high, stats.rounds) == (2.0, 2.0, 2.0, 6)
    few = rate_ratio([3.0, 1.0, 2.0], [1.0, 1.0, 1.0])
    assert (few.ratio, few.low, few.high) == (2.0, None, None)
    for own, other in (([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [0.0])):
        with pytest.raises(ValueError, match=r"windows|positive"):
            rate_ratio(own, other)
