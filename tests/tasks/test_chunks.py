"""What outputs are is told once, of all samples: figures do not depend on the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.stats.figures import TaskStats
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import context


def _one_by_one(made: Any, own: np.ndarray, reference: np.ndarray, step: int) -> TaskStats:
    kept: tuple[list[Any], list[Any]] = ([], [])
    for first in range(0, len(own), step):
        chunk = [reference[first : first + step]]
        at = range(first, first + len(chunk[0]))
        kept[0].extend(made.reduce(chunk, chunk, at))
        kept[1].extend(made.reduce([own[first : first + step]], chunk, at))
    result: TaskStats = made.compare(kept[1], kept[0])
    return result


@pytest.mark.parametrize(
    ("task", "shape"),
    [("binary", (1,)), ("multilabel", (3,)), ("keypoints", (2,)), ("segmentation", (1, 4, 4))],
)
def test_figures_are_the_same_for_chunks_of_any_size(task: str, shape: tuple[int, ...]) -> None:
    """Logits of which some samples look like probabilities; points, some near the corner."""
    rng = np.random.default_rng(0)
    reference = rng.normal(0.5, 1.5, (24, *shape)).astype(np.float32) * (
        3 if task == "keypoints" else 1
    )
    reference[:8] = rng.random((8, *shape))
    own = (reference + rng.normal(0, 0.3, reference.shape)).astype(np.float32)
    head = OutputHead(name="out", shape=(1, *shape))
    made = evaluator_for(context(task, 24, heads=(head,)))
    assert _one_by_one(made, own, reference, 1) == _one_by_one(made, own, reference, 24)
