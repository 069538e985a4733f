"""A user's own evaluator: called as one of ours is, and whatever it does is one clear error."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_what_compare_returns_is_looked_at() -> None:
    made = _evaluator("forgets")
    with pytest.raises(DataError, match="compare returned dict; a TaskStats"):
        made.compare([0.0], [0.0])


def test_unknown_tasks_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(DataError, match="no task 'segmentaton'") as raised:
        check_task("segmentaton")
    assert "--task segmentation" in raised.value.hint
    check_task("a.b:c")
