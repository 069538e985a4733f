"""FP32 at chance proves nothing of any task, however equal INT8 is to it; what knows little does.

Each case is tried with several seeds: what knows nothing of its samples may not ship by luck.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edge_scnet.stats.figures import TaskStats
from edge_scnet.tasks.registry import evaluator_for, figures_of
from tests.tasks.cases import compared, context, judged, targets

# By seed and by how much the network knows: the context and FP32's output, which is INT8's too.
Case = Callable[[int, float], tuple[dict, np.ndarray]]
_COUNT = 200


def _multilabel(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """Rare labels: the average precision of any order lies far above their shares."""
    rng = np.random.default_rng(seed)
    labels = rng.random((_COUNT, 6)) < 0.01
    labels[:6] |= np.eye(6, dtype=bool)
    scores = rng.normal(0, 1, labels.shape) + knows * 6 * labels
    return {"targets": targets("labels", list(labels.astype(np.uint8)))}, scores


def _regression(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """A value near the middle for every sample, which varies a little and knows nothing."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(5, 1, (_COUNT, 3))
    values = 5 + knows * (truth - 5) + rng.normal(0, 0.05, truth.shape)
    return {"targets": targets("values", list(truth))}, values


def _keypoints(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """The mean shape in the middle, which is nearer than half of an object's size."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(16, 48, (5, 2))
    truth = shape + rng.normal(0, 4, (_COUNT, 1, 2)) + rng.normal(0, 1, (_COUNT, 5, 2))
    points = shape + knows * (truth - shape) + rng.normal(0, 0.2, truth.shape)
    visible = [np.concatenate([each, np.ones((5, 1))], axis=1) for each in truth]
    settings = {
        "shape": (3, 64, 64),
        "arguments": {"units": "pixels", "layout": "xyxy"},
        "targets": targets("keypoints", visible),
    }
    return settings, points.reshape(_COUNT, 10)


def _segmentation(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """Areas of two classes, half and half: any map has a third of the union right."""
    rng = np.random.default_rng(seed)
    masks = rng.integers(0, 2, (60, 8, 8))
    logits = rng.normal(0, 1, (60, 2, 8, 8))
    logits[:, 1] += 4 * knows * (masks - 0.5)
    return {"targets": targets("mask", list(masks.astype(np.uint8))), "count": 60}, logits


def _embedding(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """Few samples in many pairs, which are not independent."""
    rng = np.random.default_rng(seed)
    identities = np.arange(120) % 4
    centres = rng.normal(0, 1, (4, 8))
    vectors = rng.normal(0, 1, (120, 8)) + 2 * knows * centres[identities]
    truth = targets("identity", [int(i) for i in identities])
    return {"targets": truth, "count": 120}, vectors


def _binary(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(_COUNT) < 0.1).astype(np.uint8)
    scores = rng.normal(-1, 1, (_COUNT, 1)) + 4 * knows * labels[:, None]
    return {"targets": targets("labels", [*labels[:, None]])}, scores


def _frequent(seed: int, knows: float) -> tuple[dict, np.ndarray]:
    """Labels that nearly always apply: a tenth above the mAP of any order is more than 100 %."""
    rng = np.random.default_rng(seed)
    labels = rng.random((_COUNT, 6)) < 0.95
    scores = rng.normal(0, 1, labels.shape) + knows * 6 * labels
    return {"targets": targets("labels", list(labels.astype(np.uint8)))}, scores


_CASES: dict[str, Case] = {
    "binary": _binary,
    "multilabel": _multilabel,
    "multilabel, frequent": _frequent,
    "regression": _regression,
    "keypoints": _keypoints,
    "segmentation": _segmentation,
    "embedding": _embedding,
}


def _stats(kind: str, seed: int, knows: float) -> TaskStats:
    settings, output = _CASES[kind](seed, knows)
    count = settings.pop("count", _COUNT)
    made = evaluator_for(context(kind.partition(",")[0], count, **settings))
    assert made is not None
    return compared(made, output.astype(np.float32), output.astype(np.float32))


def _doubts(kind: str, seed: int, knows: float) -> tuple[tuple[str, ...], str]:
    stats = _stats(kind, seed, knows)
    return stats.doubts, judged(stats).verdict


@pytest.mark.parametrize("kind", _CASES)
def test_what_knows_nothing_never_ships(kind: str) -> None:
    found = [_doubts(kind, seed, 0.0) for seed in range(3)]
    # each test lets one of twenty pass by chance
    assert sum(not doubts for doubts, _ in found) <= 1, found
    assert all(verdict != "pass" for doubts, verdict in found if doubts)


@pytest.mark.parametrize("kind", _CASES)
def test_what_knows_something_is_not_doubted(kind: str) -> None:
    found = [_doubts(kind, seed, 0.6) for seed in range(2)]
    assert all(not doubts for doubts, _ in found), found


@pytest.mark.parametrize("kind", _CASES)
def test_the_names_of_a_task_s_figures_are_known_before_it_runs(kind: str) -> None:
    known = figures_of(kind.partition(",")[0])
    found = [metric.name for metric in _stats(kind, 0, 0.6).metrics if metric.reference is not None]
    assert found
    for name in found:
        open_ended = (each[:-3] for each in known if each.endswith("..."))
        assert name in known or any(map(name.startswith, open_ended)), name
