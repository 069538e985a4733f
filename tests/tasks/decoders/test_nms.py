"""Suppression against the definition, box by box."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.tasks.decoders.nms import suppress


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    return float(width * height / (sum(areas) - width * height))


def by_definition(
    corners: np.ndarray, scores: np.ndarray, classes: np.ndarray, limit: float, most: int
) -> list[int]:
    kept: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if all(classes[i] != classes[k] or iou(corners[i], corners[k]) <= limit for k in kept):
            kept.append(i)
    return kept[:most]


@pytest.mark.parametrize("most", [3, 100])
@pytest.mark.parametrize("limit", [0.0, 0.3, 0.65, 1.0])
def test_suppression_is_that_of_the_definition(limit: float, most: int):
    rng = np.random.default_rng(int(100 * limit) + most)
    for count in (0, 1, 2, 60):
        start = rng.uniform(0, 60, (count, 2))
        corners = np.concatenate([start, start + rng.uniform(5, 60, (count, 2))], axis=1)
        scores, classes = rng.random(count), rng.integers(0, 3, count)
        found = suppress(corners, scores, classes, iou=limit, most=most)
        assert found.tolist() == by_definition(corners, scores, classes, limit, most)


def test_boxes_of_other_classes_and_boxes_without_area_take_nothing_away():
    corners = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5], [5, 5, 5, 5]], float)
    kept = suppress(
        corners, np.array([0.9, 0.8, 0.7, 0.6]), np.array([0, 1, 0, 0]), iou=0.5, most=9
    )
    assert kept.tolist() == [0, 1, 2, 3]


def test_of_equal_scores_the_first_is_the_better():
    corners = np.tile([0.0, 0.0, 4.0, 4.0], (3, 1))
    assert suppress(corners, np.ones(3), np.zeros(3), iou=0.5, most=9).tolist() == [0]
