"""Figures by hand, published values, and properties. Nothing here needs a runtime."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from edge_scnet.stats.accuracy import (
    accuracy_stats,
    expected_calibration_error,
    mcnemar_p,
    output_rows,
    probabilities,
    relative_noise,
    sqnr_db,
    top_k,
)
from edge_scnet.stats.decibels import comparable, decibels, of_relative_noise
from edge_scnet.stats.intervals import (
    Z_ONE_SIDED_95,
    Z_TWO_SIDED_95,
    paired_difference_interval,
    paired_difference_score,
    wilson_bounds,
)
from edge_scnet.stats.timing import latency_stats, paired_ratio


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


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_the_interval_of_a_percentile_covers_it_19_times_in_20(share: float):
    """Drawn from a known distribution, 95 % within what 2,000 draws can tell; too few samples have
    none.
    """
    rng = np.random.default_rng(3)
    truth = -math.log(1 - share)
    name = {0.5: "p50", 0.9: "p90", 0.99: "p99"}[share]
    covered = 0
    for _ in range(2000):
        stats = latency_stats([(1e6 * rng.exponential(1.0, 400) + 1).astype(int).tolist()])
        low, high = getattr(stats, f"{name}_low_ms"), getattr(stats, f"{name}_high_ms")
        covered += low <= truth <= high
    assert 0.94 <= covered / 2000 <= 0.985
    least = {0.5: 6, 0.9: 36, 0.99: 368}[share]
    for count, known in ((least - 1, False), (least, True)):
        stats = latency_stats([[k + 1 for k in range(count)]])
        assert (getattr(stats, f"{name}_low_ms") is not None) == known


def test_calibration_error_by_hand():
    # two bins: 0.8 confident and right 3 of 4 times; 0.6 confident and right 1 of 2 times
    shares = np.array([[0.8, 0.2]] * 4 + [[0.4, 0.6]] * 2)
    labels = [0, 0, 0, 1, 1, 0]
    expected = 100 * (4 / 6 * abs(0.75 - 0.8) + 2 / 6 * abs(0.5 - 0.6))
    assert expected_calibration_error(shares, labels) == pytest.approx(expected)
    # the same as logits, shifted by any constant
    assert expected_calibration_error(np.log(shares) + 7, labels) == pytest.approx(expected)
    stats = accuracy_stats(np.log(shares), np.log(shares[:, ::-1]), labels)
    assert stats.ece_percent == pytest.approx(expected) and stats.reference_ece_percent is not None
    assert accuracy_stats(np.log(shares), np.log(shares)).ece_percent is None


def test_probabilities_are_not_made_probabilities_twice():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_array_equal(probabilities(shares), shares)
    np.testing.assert_allclose(probabilities(np.log(shares)), shares)
    np.testing.assert_allclose(probabilities([[1000.0, 0.0]]), [[1.0, 0.0]])
    best, confidence = top_k(np.log(shares), 2)
    assert best.tolist() == [[0, 1], [2, 0]]
    np.testing.assert_allclose(confidence, [[0.7, 0.2], [0.8, 0.1]])


def test_outputs_by_the_sums_of_squares():
    rng = np.random.default_rng(0)
    reference, noise = rng.normal(size=1000), 0.1 * rng.normal(size=1000)
    engine = reference + noise
    powers = [float((array**2).sum()) for array in (reference, engine, noise)]
    first, exact, silent = output_rows(
        ("a", "b", "c"), *zip(powers, (powers[0], powers[0], 0.0), (0.0, 0.0, 0.0), strict=True)
    )
    assert first.name == "a" and first.sqnr_db == pytest.approx(sqnr_db(reference, engine))
    assert first.cosine == pytest.approx(
        float(reference @ engine) / math.sqrt(powers[0] * powers[1])
    )
    assert (exact.sqnr_db, exact.cosine) == (None, 1.0) and (silent.sqnr_db, silent.cosine) == (
        None,
        None,
    )


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


def test_sqnr_by_hand():
    assert sqnr_db([3.0, 4.0], [3.0, 4.5]) == pytest.approx(20.0)  # 25 / 0.25
    assert sqnr_db([1.0, 1.0], [0.0, 0.0]) == pytest.approx(0.0)
    assert sqnr_db([1.0], [3.0]) == pytest.approx(
        10 * math.log10(1 / 4)
    )  # noise above the signal is negative
    assert sqnr_db([1.0, 2.0], [1.0, 2.0]) is None
    assert sqnr_db([0.0], [0.0]) is None


def test_noise_is_averaged_over_outputs_and_a_zero_output_has_none():
    quiet, loud, zero = np.array([3.0, 4.0]), np.array([10.0, 0.0]), np.zeros(2)
    noise = relative_noise([quiet, loud, zero], [quiet + [0.0, 0.5], loud + [1.0, 0.0], zero])
    assert noise == pytest.approx((0.01 + 0.01 + 0.0) / 3)
    assert of_relative_noise(0.01) == pytest.approx(20.0) and of_relative_noise(0.0) is None


def test_decibels_as_numbers_and_as_text():
    assert comparable(None) > comparable(1e300) and comparable(3.0) == 3.0
    assert (decibels(None), decibels(12.34)) == ("exact", "12.3 dB")
    assert (decibels(None, exact="identical"), decibels(-1.0, unit="")) == ("identical", "-1.0")


def test_sqnr_sums_in_float64():
    reference = np.full(1000, 60_000, dtype=np.float16)  # its square is beyond float16
    assert sqnr_db(reference, reference * np.float16(0.5)) == pytest.approx(
        20 * math.log10(2), abs=0.01
    )


@pytest.mark.parametrize(
    ("reference", "other", "message"),
    [
        ([1.0, 2.0], [1.0], "shapes differ"),
        ([[1.0, 2.0]], [1.0, 2.0], "shapes differ"),
        ([1.0, math.nan], [1.0, 2.0], "the reference has 1 NaN"),
        ([1.0, 2.0], [math.inf, -math.inf], "the approximation has 2 NaN"),
        ([0.0, 0.0], [0.0, 1.0], "zero throughout"),
    ],
)
def test_sqnr_refuses(reference: list[float], other: list[float], message: str):
    with pytest.raises(ValueError, match=message):
        sqnr_db(reference, other)


@pytest.mark.parametrize(
    ("lost", "won", "p"),
    # 2 * P(X <= smaller) by hand: 2 * 1/2^5, 2 * (1 + 12 + 66) / 2^12, 2 * (1 + 5 + 10) / 2^5 = 1
    [
        (0, 0, 1.0),
        (5, 0, 0.0625),
        (0, 5, 0.0625),
        (10, 2, 158 / 4096),
        (2, 3, 1.0),
        (4, 4, 1.0),
        (1, 0, 1.0),
    ],
)
def test_mcnemar_by_hand(lost: int, won: int, p: float):
    assert mcnemar_p(lost, won) == pytest.approx(p, rel=1e-12)


def test_mcnemar_equals_the_sum_of_binomials():
    for lost, won in itertools.product(range(0, 40, 3), repeat=2):
        trials = lost + won
        tail = sum(math.comb(trials, k) for k in range(min(lost, won) + 1))
        assert mcnemar_p(lost, won) == pytest.approx(min(1.0, 2 * tail / 2**trials), rel=1e-10)
    assert 0 < mcnemar_p(6000, 5400) < 1e-7  # in logarithms: 2 ** 11400 is beyond float64


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


def _scores(first: list[int], classes: int) -> np.ndarray:
    """Logits whose first class is the given one."""
    logits = np.zeros((len(first), classes), dtype=np.float32)
    logits[np.arange(len(first)), first] = 1.0
    return logits


def test_accuracy_by_hand():
    labels = [0, 1, 2, 3, 0, 1, 2, 3]
    reference = _scores([0, 1, 2, 3, 0, 1, 0, 0], 4)  # 6 right
    mine = _scores([0, 1, 2, 0, 1, 0, 2, 1], 4)  # loses three, wins one, one wrong in two ways
    stats = accuracy_stats(mine, reference, np.array(labels))
    assert (stats.images, stats.top1_percent, stats.reference_top1_percent) == (8, 50.0, 75.0)
    assert (stats.lost, stats.won, stats.drop_pp) == (3, 1, 25.0)
    assert (stats.agreeing, stats.agreement_percent) == (3, 37.5)
    assert stats.top5_percent is None
    assert stats.mcnemar_p == pytest.approx(2 * 5 / 16)
    assert stats.sqnr_db == pytest.approx(
        10 * math.log10(8 / 10)
    )  # five images differ in two logits
    low, high = paired_difference_interval(3, 1, 8, z=Z_TWO_SIDED_95)
    assert (stats.drop_low_pp, stats.drop_high_pp) == (100 * low, 100 * high)
    assert (
        stats.drop_low_pp
        < stats.drop_lower95_pp
        < 25.0
        < stats.drop_upper95_pp
        < stats.drop_high_pp
    )


def test_ties_go_to_the_lowest_index():
    logits = np.zeros((7, 7))
    stats = accuracy_stats(logits, _scores([0] * 7, 7), np.arange(7))
    assert stats.top1_percent == pytest.approx(100 / 7)
    assert stats.top5_percent == pytest.approx(500 / 7)
    assert stats.agreement_percent == 100.0


def test_top5_counts_places():
    logits = np.tile(np.arange(10.0)[::-1], (10, 1))  # class i is in place i
    stats = accuracy_stats(logits, logits, np.arange(10))
    assert (stats.top1_percent, stats.top5_percent) == (10.0, 50.0)
    assert accuracy_stats(logits[:, :6], logits[:, :6], [5] * 10).top5_percent == 0.0
    assert accuracy_stats(logits[:, :5], logits[:, :5], [4] * 10).top5_percent is None


def test_identical_engines():
    logits = np.random.default_rng(1).normal(size=(100, 10))
    stats = accuracy_stats(logits, logits, np.zeros(100, dtype=np.uint8))
    assert (stats.sqnr_db, stats.lost, stats.won, stats.drop_pp, stats.mcnemar_p) == (
        None,
        0,
        0,
        0.0,
        1.0,
    )
    assert stats.drop_upper95_pp == pytest.approx(100 * 2.70554 / 102.70554, rel=1e-5)


def test_without_labels_only_what_needs_none():
    stats = accuracy_stats(_scores([0, 1, 2], 6), _scores([0, 1, 1], 6))
    assert stats.agreement_percent == pytest.approx(200 / 3)
    assert stats.sqnr_db is not None
    unlabelled = (
        stats.top1_percent,
        stats.top5_percent,
        stats.lost,
        stats.won,
        stats.drop_pp,
        stats.mcnemar_p,
    )
    assert unlabelled == (None,) * 6


@pytest.mark.parametrize(
    ("mine", "reference", "labels", "message"),
    [
        (np.zeros((2, 3)), np.zeros((3, 3)), None, r"got \(2, 3\) and \(3, 3\)"),
        (np.zeros(3), np.zeros(3), None, "images, classes"),
        (np.zeros((0, 3)), np.zeros((0, 3)), None, "images, classes"),
        (np.zeros((2, 3)), np.zeros((2, 3)), [0], "2 whole numbers"),
        (np.zeros((2, 3)), np.zeros((2, 3)), [0.0, 1.0], "2 whole numbers"),
        (np.zeros((2, 3)), np.zeros((2, 3)), [0, 3], "0 to 2, got 0 to 3"),
        (np.zeros((2, 3)), np.zeros((2, 3)), [-1, 0], "got -1 to 0"),
        (np.full((2, 3), np.nan), np.zeros((2, 3)), [0, 1], "NaN"),
    ],
)
def test_accuracy_refuses(mine: np.ndarray, reference: np.ndarray, labels: object, message: str):
    with pytest.raises(ValueError, match=message):
        accuracy_stats(mine, reference, labels)
