"""How far two runs of a model are apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_scnet.export.differences import by_image, difference

NAN, INF = math.nan, math.inf


def floats(*values: float) -> np.ndarray:
    return np.array([values], np.float32)


@pytest.mark.parametrize(
    ("want", "have", "holds"),
    [
        (floats(0, NAN, 1), floats(0, NAN, 1), True),
        (floats(0, NAN, 1), floats(0, 0, 1), False),
        (floats(0, 0, 1), floats(0, NAN, 1), False),
        (floats(0, -INF, 1), floats(0, -INF, 1), True),
        (floats(0, -INF, 1), floats(0, INF, 1), False),
        (floats(0, -INF, 1), floats(0, -1e38, 1), False),
        (floats(NAN, NAN), floats(NAN, NAN), True),
        (floats(0, 1), floats(0, 1 + 9e-5), True),
        (floats(0, 1), floats(0, 1 + 2e-4), False),
        # the other class is the larger by less than the tolerance
        (floats(1, 1 - 1e-5, 0), floats(1 - 1e-5, 1, 0), False),
        (floats(0, 1), floats(0, 1)[0], False),
        (floats(0, 1), floats(0, 1).astype(np.int64), False),
        (np.zeros((1, 0), np.float32), np.zeros((1, 0), np.float32), True),
        (np.array([3, 4]), np.array([3, 4]), True),
        (np.array([3, 4]), np.array([3, 5]), False),
        (np.array([True, False]), np.array([True, True]), False),
    ],
)
def test_what_is_equal(want: np.ndarray, have: np.ndarray, holds: bool):
    assert difference(want, have, batch=1).holds is holds


def test_one_in_ten_thousand_of_a_map_of_classes_may_fall_to_the_other_side_of_a_tie():
    classes = np.zeros((1, 100, 200), np.int64)
    for changed, holds in ((2, True), (3, False)):
        other = classes.copy()
        other.flat[:changed] = 1
        found = difference(classes, other, batch=1)
        assert (found.differing, found.holds) == (changed, holds)


def test_top1_is_that_of_classes_alone():
    """The rows of a detector's scores are no images."""
    want = np.array([[1, 1 - 1e-5, 0], [0, 0, 0]], np.float32)
    assert difference(want, want[:, [1, 0, 2]], batch=1).holds
    assert not difference(want, want[:, [1, 0, 2]], batch=2).holds


def test_images_alone_and_together():
    rows = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    alone = [rows[i : i + 1] for i in range(4)]
    assert by_image(alone, rows, own=1, wanted=4).holds
    assert not by_image(alone, rows[::-1], own=1, wanted=4).holds
    # a constant output has no row of its own for every image
    constant = np.array([7], np.int64)
    assert by_image([constant] * 4, constant, own=1, wanted=4).holds
    assert not by_image([np.float32(1), np.float32(2)], np.float32(1), own=1, wanted=2).holds
    # a file of two images was run with an image twice
    twice = [rows[[i, i]] for i in range(2)]
    assert by_image(twice, rows[:2], own=2, wanted=2).holds
