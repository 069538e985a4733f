"""A user's own evaluator: called as one of ours is, and whatever it does is one clear error."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.errors import DataError
from edge_scnet.tasks.registry import check_task, evaluator_for
from tests.tasks.cases import compared, context, judged

_OUTPUT = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def _evaluator(name: str):
    made = evaluator_for(context(f"tests.tasks.lossy:{name}", 12))
    assert made is not None
    return made


def test_it_is_fed_and_its_figures_are_taken() -> None:
    stats = compared(_evaluator("right"), _OUTPUT + 0.5, _OUTPUT)
    assert stats.task == "largest" and stats.metrics[0].value == pytest.approx(0.5)
    finding = judged(stats)
    assert finding.verdict == "inconclusive" and "no lower limit is set" in finding.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "fails_on_the_fifth",
            r"reduce on 5\.png failed: ValueError: no largest value \(lossy\.py, line \d+\)",
        ),
        ("is_none", r"returned object, which has no reduce\(\)"),
        ("raises", r"lossy:raises\(context\) failed: RuntimeError: no weights"),
        ("missing", "the import of tests.tasks.lossy:missing failed: AttributeError"),
        ("is_nan", "value of distance is nan over 12 samples"),
        ("has_no_bound", "loss_upper95 of distance is inf"),
        ("flatters", "the loss of distance is -2; value - reference is 2"),
        ("counts_wrong", "figures of 999 samples; the set has 12"),
        ("forgets", "reduce returned 1 things for 4 samples"),
    ],
)
def test_what_goes_wrong_is_named(name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        compared(_evaluator(name), _OUTPUT, _OUTPUT)


_HEADS = [
    OutputHead(name="out", shape=(1, 4), ending="linear"),
    OutputHead(name="second", shape=(1, 3), ending="linear"),
]


@pytest.mark.parametrize(
    ("name", "is_seen"),
    [
        ("judges_the_first", True),
        ("judges_by_number", True),
        ("judges_both", False),
        ("right", False),
    ],
)
def test_outputs_that_it_says_it_does_not_judge_are_judged_as_features(
    name: str, is_seen: bool
) -> None:
    second = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    made = evaluator_for(context(f"tests.tasks.lossy:{name}", 12, heads=_HEADS))
    assert made is not None and made.task == "largest"
    stats = compared(made, [_OUTPUT, -second], [_OUTPUT, second])
    assert ("second" in {part.output for part in stats.slices}) == is_seen
    finding = judged(stats)
    assert (finding.verdict == "fail" and "of second" in finding.message) == is_seen


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("judges_another", "outputs has 'depth'; .* the network has out, second"),
        ("judges_a_word", "outputs is 'out'; names or numbers of outputs are wanted"),
    ],
)
def test_outputs_that_there_are_not_are_refused(name: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        evaluator_for(context(f"tests.tasks.lossy:{name}", 12, heads=_HEADS))


def test_what_compare_returns_is_looked_at() -> None:
    made = _evaluator("forgets")
    with pytest.raises(DataError, match="compare returned dict; a TaskStats"):
        made.compare([0.0], [0.0])


def test_unknown_tasks_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="no task 'segmentaton'") as raised:
        check_task("segmentaton")
    assert "--task segmentation" in raised.value.hint
    check_task("a.b:c")
