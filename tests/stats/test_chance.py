"""FP32's own accuracy, questioned."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.stats.accuracy import accuracy_stats
from edge_scnet.stats.chance import above_chance, class_doubts, ranks_above_chance


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
