"""Outputs beside the one that a task reads, and outputs of whole numbers."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import compared, context, judged, targets

_HEADS = [
    OutputHead(name="out", shape=(1, 2), ending="linear"),
    OutputHead(name="second", shape=(1, 3), ending="linear"),
]


@pytest.mark.parametrize("truth", [False, True])
@pytest.mark.parametrize("kind", ["regression", "embedding", "binary"])
def test_a_second_output_that_is_wrong_fails_though_no_task_reads_it(
    kind: str, truth: bool
) -> None:
    rng = np.random.default_rng(0)
    first, second = (rng.normal(0, 1, (600, n)).astype(np.float32) for n in (2, 3))
    known = None
    if truth and kind == "regression":
        known = targets("values", list(first + rng.normal(0, 0.1, first.shape)))
    elif truth:
        labels = (first[:, 1] > first[:, 0]).astype(np.uint8)
        known = targets("identity" if kind == "embedding" else "labels", [*labels[:, None]])
        if kind == "embedding":
            known = targets("identity", [int(i) for i in labels])
    made = evaluator_for(context(kind, 600, heads=_HEADS, targets=known))
    assert made is not None
    good = compared(made, [first, second], [first, second])
    assert judged(good).verdict == "pass"
    assert made.task == kind and good.slices[-1].output == "second"
    finding = judged(compared(made, [first, -second], [first, second]))
    assert finding.verdict == "fail" and "of second" in finding.message


def test_a_second_output_of_whole_numbers_decides_too() -> None:
    rng = np.random.default_rng(1)
    first = rng.normal(0, 1, (600, 2)).astype(np.float32)
    second = rng.integers(0, 9, (600, 3))
    known = targets("values", list(first + rng.normal(0, 0.1, first.shape)))
    for truth in (None, known):
        made = evaluator_for(context("regression", 600, heads=_HEADS, targets=truth))
        assert made is not None
        assert judged(compared(made, [first, second], [first, second])).verdict == "pass"
        finding = judged(compared(made, [first, second + 1], [first, second]))
        assert finding.verdict == "fail" and "equal values of second" in finding.message


def test_features_of_whole_numbers_are_judged_by_the_share_that_is_equal() -> None:
    rng = np.random.default_rng(2)
    output = rng.integers(0, 1000, (400, 5))
    made = evaluator_for(context("features", 400))
    assert made is not None
    (metric,) = compared(made, output + 1, output).metrics
    assert (metric.unit, metric.value) == ("%", 0.0)
    assert judged(compared(made, output + 1, output), min_sqnr_db=20.0).verdict == "fail"
    assert judged(compared(made, output, output), min_sqnr_db=20.0).verdict == "pass"
    # beside an output of floats, whose SQNR has no limit
    floats = rng.normal(0, 1, (400, 5)).astype(np.float32)
    both = evaluator_for(context("features", 400, heads=_HEADS))
    assert both is not None
    stats = compared(both, [floats, output], [floats, output])
    assert judged(stats).verdict == "inconclusive"
    assert judged(stats, min_sqnr_db=20.0).verdict == "pass"
    wrong = compared(both, [floats, output + 1], [floats, output])
    assert judged(wrong, min_sqnr_db=20.0).verdict == "fail"


def test_a_column_that_varies_by_next_to_nothing_is_measured_by_its_size() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal((1, 0, 5), (1e-4, 1, 2), (100, 3))
    own = reference + rng.normal(0, (1e-3, 0.01, 0.02), reference.shape)
    made = evaluator_for(context("regression", 100))
    assert made is not None
    stats = compared(made, own.astype(np.float32), reference.astype(np.float32))
    assert stats.metrics[0].value < 5
    assert judged(stats).verdict == "pass"


def test_one_class_for_all_unlabelled_samples_of_a_binary_network_proves_nothing() -> None:
    scores = np.random.default_rng(4).uniform(0.6, 0.9, (600, 1)).astype(np.float32)
    head = OutputHead(name="out", shape=(1, 1), ending="sigmoid")
    made = evaluator_for(context("binary", 600, heads=[head]))
    assert made is not None
    stats = compared(made, scores, scores)
    assert "class 1 for all 600" in stats.doubts[0]
    assert judged(stats).verdict == "inconclusive"


@pytest.mark.parametrize("step", [0, 1, -1])
def test_labels_one_column_off_are_named(step: int) -> None:
    rng = np.random.default_rng(5)
    labels = (rng.random((300, 8)) < 0.3).astype(np.uint8)
    # labels that go together, as an object and its parts do, are ranked above chance all the same
    labels[:, 1:] |= labels[:, :-1] & (rng.random((300, 7)) < 0.8)
    scores = (labels * 4.0 + rng.normal(0, 1, labels.shape)).astype(np.float32)
    kept = targets("labels", list(np.roll(labels, step, axis=1)))
    made = evaluator_for(context("multilabel", 300, targets=kept))
    assert made is not None
    doubts = compared(made, scores, scores).doubts
    assert bool(doubts) == bool(step)
    if step:
        assert f"where every class of the ground truth is {-step:+d}" in doubts[-1]
