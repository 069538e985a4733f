"""FP32's own accuracy, questioned."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.stats.accuracy import accuracy_stats
from edge_scnet.stats.chance import (
    above_chance,
    better_than,
    beyond_chance,
    class_doubts,
    collapsed_doubts,
    one_class_doubts,
    ranks_above_chance,
)


def _labels(count: int = 300, classes: int = 10) -> np.ndarray:
    return np.random.default_rng(0).integers(0, classes, count)


def test_a_network_that_is_right_is_not_doubted() -> None:
    truth = _labels()
    said = np.where(np.random.default_rng(1).random(300) < 0.3, truth, 0)
    assert class_doubts(said, truth, 10) == ()


@pytest.mark.parametrize("share", [0.1, 0.6])
def test_one_class_throughout_is_chance_however_frequent_that_is(share: float) -> None:
    truth = np.where(np.arange(300) < 300 * share, 0, 1 + _labels() % 9)
    (doubt,) = class_doubts(np.zeros(300, int), truth, 10)
    assert f"right on {100 * share:.1f} %" in doubt and "not above chance" in doubt


def test_labels_off_by_one_are_named() -> None:
    truth = _labels()
    for step, words in ((1, "from 1?"), (-1, "from 0?")):
        (doubt,) = class_doubts(truth + step, truth, 12)
        assert words in doubt and "100.0 % where every label is" in doubt


def test_labels_of_one_class_prove_nothing() -> None:
    (doubt,) = class_doubts(np.zeros(20, int), np.zeros(20, int), 10)
    assert "all 20 images have the label 0" in doubt
    assert class_doubts(np.zeros(19, int), np.zeros(19, int), 10) == ()


def test_accuracy_stats_bring_the_doubts() -> None:
    truth = _labels()
    logits = np.random.default_rng(2).normal(size=(300, 10))
    assert accuracy_stats(logits, logits, truth).doubts
    logits[np.arange(300), truth] += 3
    assert not accuracy_stats(logits, logits, truth).doubts
    assert not accuracy_stats(logits, logits).doubts


def test_one_class_for_all_unlabelled_images_proves_nothing() -> None:
    logits = np.random.default_rng(3).normal(size=(30, 4))
    assert not accuracy_stats(logits, logits).doubts
    logits[:, 2] += 20
    (doubt,) = accuracy_stats(logits, logits).doubts
    assert "class 2 for all 30" in doubt
    assert not accuracy_stats(logits[:10], logits[:10]).doubts


def test_the_binomial_test() -> None:
    assert not above_chance(10, 100, 0.1) and above_chance(16, 100, 0.1)
    assert above_chance(1, 100, 0.0) and not above_chance(0, 100, 0.1)


def test_pairs() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.5, 1, 200), rng.normal(0, 1, 200)
    assert ranks_above_chance(first, second) and not ranks_above_chance(second, first)


def test_many_images_make_next_to_chance_significant_and_prove_nothing_all_the_same() -> None:
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 10, 10_000)
    said = np.where(rng.random(10_000) < 0.03, truth, rng.integers(0, 10, 10_000))
    assert above_chance(int((said == truth).sum()), 10_000, 0.1)
    (doubt,) = class_doubts(said, truth, 10)
    assert "next to chance (10.0 %; kappa 0.0" in doubt and doubt.endswith("the network's?")


def test_less_than_the_most_frequent_label_alone_is_doubted_unless_much_is_known() -> None:
    rng = np.random.default_rng(5)
    truth = (rng.random(2000) < 0.2).astype(int)
    said = np.where(rng.random(2000) < 0.15, truth, rng.integers(0, 2, 2000))
    (doubt,) = class_doubts(said, truth, 2)
    assert "less than the most frequent label alone has" in doubt
    # a network that looks for a rare class, and finds it: 90 % of 5 % positives, 10 % false alarms
    rare = (rng.random(2000) < 0.05).astype(int)
    alarms = np.where(rare, rng.random(2000) < 0.9, rng.random(2000) < 0.1).astype(int)
    assert (alarms == rare).mean() < 0.95 and class_doubts(alarms, rare, 2) == ()


def test_kappa_is_the_share_beyond_chance() -> None:
    assert beyond_chance(0.55, 0.1) == pytest.approx(0.5)
    assert beyond_chance(1.0, 1.0) == 0.0


def test_nearly_one_class_for_unlabelled_images_agrees_with_an_engine_that_says_no_other() -> None:
    said = np.zeros(1000, int)
    said[:10] = 1
    assert "class 0 for 990 of 1,000" in one_class_doubts(said)[0]
    said[10] = 1
    assert one_class_doubts(said) == ()


def test_an_engine_that_says_one_class_where_fp32_does_not_is_named() -> None:
    truth = np.zeros(1000, int)
    truth[:3] = 1
    logits = np.eye(2)[truth]
    constant = np.tile([1.0, 0.0], (1000, 1)) + np.random.default_rng(0).random((1000, 1))
    stats = accuracy_stats(constant, logits, truth)
    assert stats.labels is not None and stats.labels.drop_pp == pytest.approx(0.3)
    assert "class 0 for all 1,000 images, FP32 another one for 3" in stats.doubts[-1]
    assert collapsed_doubts(truth, truth) == collapsed_doubts(truth[:5], truth[:5]) == ()


def test_errors_are_smaller_beyond_their_noise_or_not_at_all() -> None:
    rng = np.random.default_rng(6)
    other = rng.random(100)
    assert better_than(other - 0.1, other) and not better_than(other, other)
    noisy = other + rng.normal(-0.01, 1, 100)
    assert not better_than(noisy, other, tests=3)
    assert better_than([0.1, np.nan], [0.2, 0.3]) and not better_than([0.2], [0.1])


def test_pairs_of_few_samples_are_not_independent() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.normal(0.1, 1, 5000), rng.normal(0, 1, 5000)
    assert ranks_above_chance(first, second)
    assert not ranks_above_chance(first, second, samples=100)
