"""Intervals of shares and paired differences: published values and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy

from edge_scnet.stats.intervals import (
    Z_ONE_SIDED_95,
    Z_TWO_SIDED_95,
    paired_difference_interval,
    paired_difference_score,
    wilson_bounds,
)


@pytest.mark.parametrize(
    ("lost", "won", "images", "z", "low", "high"),
    [
        # Printed by R's PropCIs::scoreci.mp, as three independent repositories quote it.
        (20, 60, 1000, Z_TWO_SIDED_95, -0.0584, -0.0231),
        (28, 25, 618, Z_ONE_SIDED_95, -0.0148, 0.0247),
        (48, 41, 549, Z_ONE_SIDED_95, -0.0157, 0.0414),
    ],
)
def test_tango_interval_matches_published_values(
    lost: int, won: int, images: int, z: float, low: float, high: float
):
    assert paired_difference_interval(lost, won, images, z=z) == pytest.approx(
        (low, high), abs=5e-5
    )


def test_tango_bounds_solve_the_score_equation_and_mirror():
    for images in (12, 300, 10_000):
        for lost, won in ((0, 0), (1, 0), (3, 7), (11, 1), (0, 5)):
            for z in (Z_ONE_SIDED_95, Z_TWO_SIDED_95):
                low, high = paired_difference_interval(lost, won, images, z=z)
                assert -1 <= low < (lost - won) / images < high <= 1
                for bound, wanted in ((low, z), (high, -z)):
                    if abs(bound) < 1:
                        assert paired_difference_score(lost, won, images, bound) == pytest.approx(
                            wanted, abs=1e-6
                        )
                assert paired_difference_interval(won, lost, images, z=z) == (-high, -low)


def test_tango_score_is_the_likelihoods_own():
    """The restricted maximum by brute force, not by the root of the quadratic."""
    for lost, won, images, difference in (
        (9, 4, 60, 0.2),
        (0, 6, 50, 0.05),
        (5, 5, 40, -0.1),
        (12, 1, 30, 0.0),
    ):
        q = np.linspace(max(0.0, -difference), (1 - difference) / 2, 400_001)[1:-1]
        likelihood = (
            lost * np.log(q + difference)
            + won * np.log(q)
            + (images - lost - won) * np.log(1 - 2 * q - difference)
        )
        best = q[likelihood.argmax()]
        expected = (lost - won - images * difference) / math.sqrt(
            images * (2 * best + difference * (1 - difference))
        )
        assert paired_difference_score(lost, won, images, difference) == pytest.approx(
            expected, abs=1e-3
        )


def test_tango_with_nothing_discordant_is_closed_form():
    for images in (1, 100, 10_000):
        bound = Z_TWO_SIDED_95**2 / (images + Z_TWO_SIDED_95**2)
        assert paired_difference_interval(0, 0, images, z=Z_TWO_SIDED_95) == pytest.approx(
            (-bound, bound), rel=1e-9
        )
    assert paired_difference_interval(10, 0, 10, z=Z_TWO_SIDED_95)[1] == 1.0


def test_tango_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(20_261_124)
    for lost_share, won_share in ((0.01, 0.006), (0.004, 0.0), (0.05, 0.08)):
        counts = generator.multinomial(
            500, [lost_share, won_share, 1 - lost_share - won_share], size=400
        )
        truth, intervals = lost_share - won_share, {}
        for lost, won, _ in counts.tolist():
            if (lost, won) not in intervals:
                intervals[lost, won] = paired_difference_interval(lost, won, 500, z=Z_TWO_SIDED_95)
        covered = np.mean(
            [low <= truth <= high for low, high in (intervals[a, b] for a, b, _ in counts.tolist())]
        )
        assert 0.92 <= covered <= 0.99


@pytest.mark.parametrize(("lost", "won", "images"), [(-1, 0, 10), (6, 5, 10), (0, 0, 0)])
def test_tango_refuses_impossible_counts(lost: int, won: int, images: int):
    with pytest.raises(ValueError, match="impossible counts"):
        paired_difference_interval(lost, won, images, z=1.96)


def test_wilson_by_hand():
    # Newcombe 1998 (single proportion), 81 of 263: 0.2553 to 0.3662; 0 of 20: 0 to 0.1611; 1 of 29:
    # 0.0061 to 0.1718.
    assert wilson_bounds(81, 263, z=Z_TWO_SIDED_95) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_bounds(0, 20, z=Z_TWO_SIDED_95) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_bounds(1, 29, z=Z_TWO_SIDED_95) == pytest.approx((0.0061, 0.1718), abs=5e-5)
    for total in range(1, 200):
        assert wilson_bounds(0, total, z=1.3)[0] == 0.0
        assert wilson_bounds(total, total, z=1.3)[1] == 1.0


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilsons_bounds_are_scipys(level: float) -> None:
    z = float(scipy.stats.norm.isf((1 - level) / 2))
    for count, total in ((0, 7), (1, 29), (81, 263), (9_999, 10_000), (13, 13)):
        expected = scipy.stats.binomtest(count, total).proportion_ci(level, method="wilson")
        assert wilson_bounds(count, total, z=z) == pytest.approx(
            (expected.low, expected.high), abs=1e-12
        )


def test_the_quantiles_of_the_normal_distribution_are_scipys() -> None:
    assert pytest.approx(scipy.stats.norm.isf(0.025), rel=1e-14) == Z_TWO_SIDED_95
    assert pytest.approx(scipy.stats.norm.isf(0.05), rel=1e-14) == Z_ONE_SIDED_95
