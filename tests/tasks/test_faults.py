"""Every task: engines that are next to equal pass 20 times of 20, planted faults are caught."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.tasks.base import Context
from tests.tasks.cases import SEEDS, context, noisy, targets, verdict

# of fewer no drop of 0.5 pp can be shown not to be
_COUNT = 800
Made = tuple[Context, np.ndarray]


def _head(ending: Any, *shape: int) -> OutputHead:
    return OutputHead(name="out", shape=(1, *shape), ending=ending)


def _binary(seed: int, *, truth: bool) -> Made:
    rng = np.random.default_rng(seed)
    # an agreement of 99 % and a drop of 0.5 pp
    labels = rng.integers(0, 2, 600)
    logits = rng.normal(0, 1, 600) + 4.0 * labels - 2.0
    scores = (1 / (1 + np.exp(-logits)))[:, None].astype(np.float32)
    kept = targets("labels", [np.array([x], np.uint8) for x in labels]) if truth else None
    return context("binary", 600, heads=[_head("sigmoid", 1)], targets=kept), scores


def _multilabel(seed: int, *, truth: bool) -> Made:
    rng = np.random.default_rng(seed)
    # two thirds of the samples have a label: the others say nothing of a loss
    labels = (rng.random((1000, 4)) < 0.25).astype(np.uint8)
    logits = rng.normal(0, 1, labels.shape) + 5.0 * labels - 2.5
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    kept = targets("labels", list(labels)) if truth else None
    return context("multilabel", len(labels), heads=[_head("sigmoid", 4)], targets=kept), scores


def _regression(seed: int, *, truth: bool) -> Made:
    rng = np.random.default_rng(seed)
    values = rng.normal(30, 5, (_COUNT, 1))
    predicted = (values + rng.normal(0, 0.8, values.shape)).astype(np.float32)
    kept = targets("values", list(values)) if truth else None
    return context("regression", _COUNT, heads=[_head("linear", 1)], targets=kept), predicted


def _columns(seed: int, *, truth: bool) -> Made:
    """Three columns with units of their own: metres, degrees, a share."""
    rng = np.random.default_rng(seed)
    values = rng.normal((1000, 20, 0.5), (300, 40, 0.1), (_COUNT, 3))
    predicted = (values + rng.normal(0, (30, 4, 0.01), values.shape)).astype(np.float32)
    kept = targets("values", list(values)) if truth else None
    return context("regression", _COUNT, heads=[_head("linear", 3)], targets=kept), predicted


def _keypoints(seed: int, *, truth: bool) -> Made:
    """68 points around a centre that moves, in pixels of an input of 112."""
    rng = np.random.default_rng(seed)
    shape = rng.uniform(20, 90, (1, 68, 2))
    points = shape + rng.normal(0, 4, (_COUNT, 1, 2)) + rng.normal(0, 2, (_COUNT, 68, 2))
    predicted = points + rng.normal(0, 1, points.shape)
    known = [np.concatenate([each, np.ones((68, 1))], axis=1) for each in points]
    kept = targets("keypoints", known) if truth else None
    given = context(
        "keypoints", _COUNT, heads=[_head("linear", 136)], targets=kept, shape=(3, 112, 112)
    )
    return given, predicted.reshape(_COUNT, 136).astype(np.float32)


def _embedding(seed: int, *, truth: bool) -> Made:
    rng = np.random.default_rng(seed)
    identities = np.arange(_COUNT) // 5
    centres = rng.normal(0, 1, (_COUNT // 5, 64))
    vectors = centres[identities] + rng.normal(0, 0.4, (_COUNT, 64))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    kept = targets("identity", [int(i) for i in identities]) if truth else None
    return context("embedding", _COUNT, heads=[_head("l2", 64)], targets=kept), unit.astype(
        np.float32
    )


def _head_of_detector(seed: int, *, truth: bool) -> Made:
    """Boxes in pixels and scores from 0 to 1 in one output [1, 4 + 8, 40]."""
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 500, (60, 4, 40))
    scores = np.clip(rng.normal(0.02, 0.01, (60, 8, 40)), 0, 1)
    scores[rng.random(scores.shape) < 0.02] = 0.9
    output = np.concatenate([boxes, scores], axis=1).astype(np.float32)
    head = OutputHead(name="output0", shape=(1, 12, 40), joined=(1, (4, 8)))
    return context("features", 60, heads=[head]), output


@dataclass(frozen=True)
class Case:
    make: Callable[..., Made]
    faults: dict[str, Callable[[np.ndarray], np.ndarray]]
    truths: tuple[bool, ...] = (False, True)
    gates: tuple[tuple[str, float], ...] = ()


def _shift_column(column: int, by: float) -> Callable[[np.ndarray], np.ndarray]:
    def shift(array: np.ndarray) -> np.ndarray:
        changed = array.copy()
        changed[:, column] += by
        return changed

    return shift


def _constant_scores(array: np.ndarray) -> np.ndarray:
    changed = array.copy()
    changed[:, 4:] = array[:, 4:].mean()
    return changed


def _constant(array: np.ndarray) -> np.ndarray:
    return np.full_like(array, array.mean())


_CASES = {
    "binary": Case(_binary, {"negated": lambda a: 1 - a, "constant": _constant}),
    "multilabel": Case(
        _multilabel,
        {"negated": lambda a: 1 - a, "off by one": lambda a: np.roll(a, 1, axis=1)},
    ),
    "regression": Case(_regression, {"negated": lambda a: -a, "constant": _constant}),
    "columns": Case(_columns, {"the small one constant": lambda a: a * (1, 1, 0) + (0, 0, 0.5)}),
    "keypoints": Case(_keypoints, {"one moved": _shift_column(40, 7.0), "constant": _constant}),
    "embedding": Case(
        _embedding,
        {
            "columns permuted": lambda a: a[:, ::-1] * np.sign(np.arange(64) - 20.5),
            "negated": lambda a: -a,
            "constant": lambda a: a * 0 + a[:1],
        },
    ),
    "features": Case(
        _head_of_detector,
        {"scores constant": _constant_scores},
        truths=(False,),
        gates=(("min_sqnr_db", 20.0),),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _CASES)
def test_next_to_equal_engines_pass_every_time(name: str) -> None:
    case = _CASES[name]
    for truth in case.truths:
        for seed in range(SEEDS):
            given, output = case.make(seed, truth=truth)
            found = verdict(given, output, lambda a, s=seed: noisy(a, s), **dict(case.gates))
            assert found == "pass", (seed, truth)


@pytest.mark.parametrize("name", _CASES)
def test_equal_engines_pass(name: str) -> None:
    case = _CASES[name]
    for truth in case.truths:
        given, output = case.make(0, truth=truth)
        assert verdict(given, output, **dict(case.gates)) == "pass", truth


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name, case in _CASES.items() for fault in case.faults]
)
def test_a_planted_fault_is_caught_with_and_without_truth(name: str, fault: str) -> None:
    case = _CASES[name]
    change = case.faults[fault]
    for truth in case.truths:
        given, output = case.make(3, truth=truth)
        found = verdict(given, output, lambda a: change(a).astype(np.float32), **dict(case.gates))
        assert found == "fail", truth
