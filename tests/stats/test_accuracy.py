"""Accuracy, SQNR and calibration error by hand, and what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy

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
from edge_scnet.stats.intervals import Z_TWO_SIDED_95, paired_difference_interval


def test_calibration_error_by_hand():
    # two bins: 0.8 confident and right 3 of 4 times; 0.6 confident and right 1 of 2 times
    shares = np.array([[0.8, 0.2]] * 4 + [[0.4, 0.6]] * 2)
    labels = [0, 0, 0, 1, 1, 0]
    expected = 100 * (4 / 6 * abs(0.75 - 0.8) + 2 / 6 * abs(0.5 - 0.6))
    assert expected_calibration_error(shares, labels) == pytest.approx(expected)
    # the same as logits, shifted by any constant
    assert expected_calibration_error(np.log(shares) + 7, labels) == pytest.approx(expected)
    stats = accuracy_stats(np.log(shares), np.log(shares[:, ::-1]), labels)
    assert stats.labels is not None
    assert stats.labels.ece_percent == pytest.approx(expected)
    assert stats.labels.reference_ece_percent is not None


def test_probabilities_are_not_made_probabilities_twice():
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    np.testing.assert_array_equal(probabilities(shares), shares)
    np.testing.assert_allclose(probabilities(np.log(shares)), shares)
    np.testing.assert_allclose(probabilities([[1000.0, 0.0]]), [[1.0, 0.0]])
    best, confidence = top_k(np.log(shares), 2)
    assert best.tolist() == [[0, 1], [2, 0]]
    np.testing.assert_allclose(confidence, [[0.7, 0.2], [0.8, 0.1]])


@pytest.mark.parametrize(
    ("total", "are_probabilities"),
    [
        (1.0009, True),
        (0.9991, True),
        (1.002, False),
        (0.9, False),
        (np.inf, False),
        (np.nan, False),
    ],
)
def test_rows_that_sum_to_about_1_are_probabilities(total: float, are_probabilities: bool) -> None:
    rows = np.array([[0.25, 0.75], [0.25, total - 0.25]])
    with np.errstate(invalid="ignore"):
        assert (probabilities(rows) is rows) == are_probabilities


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
    outputs = [np.array([3.0, 4.5]), np.array([11.0, 0.0]), zero]
    noise = relative_noise([quiet, loud, zero], outputs)
    assert noise == pytest.approx((0.01 + 0.01 + 0.0) / 3)
    assert of_relative_noise(0.01) == pytest.approx(20.0) and of_relative_noise(0.0) is None


def test_infinities_of_a_mask_are_no_noise():
    reference, output = np.array([3.0, 4.0, -np.inf]), np.array([3.0, 3.5, -np.inf])
    assert relative_noise([reference], [output]) == pytest.approx(0.25 / 25)


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


@pytest.mark.parametrize(("lost", "won"), [(5, 0), (10, 2), (31, 17), (400, 333), (6000, 5400)])
def test_mcnemar_is_scipys_binomial_test(lost: int, won: int):
    expected = scipy.stats.binomtest(lost, lost + won).pvalue
    assert mcnemar_p(lost, won) == pytest.approx(expected, rel=1e-8)


def test_the_softmax_is_scipys():
    logits = np.random.default_rng(0).normal(0, 20, (50, 10))
    np.testing.assert_allclose(probabilities(logits), scipy.special.softmax(logits, axis=1))


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
    assert (stats.images, stats.agreeing, stats.agreement_percent) == (8, 3, 37.5)
    labelled = stats.labels
    assert labelled is not None
    assert (labelled.top1_percent, labelled.reference_top1_percent) == (50.0, 75.0)
    assert (labelled.lost, labelled.won, labelled.drop_pp) == (3, 1, 25.0)
    assert labelled.top5_percent is None
    assert labelled.mcnemar_p == pytest.approx(2 * 5 / 16)
    assert stats.sqnr_db == pytest.approx(
        10 * math.log10(8 / 10)
    )  # five images differ in two logits
    low, high = paired_difference_interval(3, 1, 8, z=Z_TWO_SIDED_95)
    assert (labelled.drop_low_pp, labelled.drop_high_pp) == (100 * low, 100 * high)
    assert (
        labelled.drop_low_pp
        < labelled.drop_lower95_pp
        < 25.0
        < labelled.drop_upper95_pp
        < labelled.drop_high_pp
    )


def test_ties_go_to_the_lowest_index():
    logits = np.zeros((7, 7))
    stats = accuracy_stats(logits, _scores([0] * 7, 7), np.arange(7))
    assert stats.labels is not None
    assert stats.labels.top1_percent == pytest.approx(100 / 7)
    assert stats.labels.top5_percent == pytest.approx(500 / 7)
    assert stats.agreement_percent == 100.0


def test_top5_counts_places():
    logits = np.tile(np.arange(10.0)[::-1], (10, 1))  # class i is in place i
    labelled = accuracy_stats(logits, logits, np.arange(10)).labels
    assert labelled is not None
    assert (labelled.top1_percent, labelled.top5_percent) == (10.0, 50.0)
    six = accuracy_stats(logits[:, :6], logits[:, :6], [5] * 10).labels
    five = accuracy_stats(logits[:, :5], logits[:, :5], [4] * 10).labels
    assert six is not None and six.top5_percent == 0.0
    assert five is not None and five.top5_percent is None


def test_identical_engines():
    logits = np.random.default_rng(1).normal(size=(100, 10))
    stats = accuracy_stats(logits, logits, np.zeros(100, dtype=np.uint8))
    labelled = stats.labels
    assert stats.sqnr_db is None and labelled is not None
    assert (labelled.lost, labelled.won, labelled.drop_pp, labelled.mcnemar_p) == (0, 0, 0.0, 1.0)
    assert labelled.drop_upper95_pp == pytest.approx(100 * 2.70554 / 102.70554, rel=1e-5)


def test_without_labels_only_what_needs_none():
    stats = accuracy_stats(_scores([0, 1, 2], 6), _scores([0, 1, 1], 6))
    assert stats.agreement_percent == pytest.approx(200 / 3)
    assert stats.sqnr_db is not None
    assert stats.labels is None


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
