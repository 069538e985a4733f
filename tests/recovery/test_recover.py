"""What counts as a gain of a recovery."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.recovery.recover import _is_sure


def parts(noises_db: np.ndarray) -> list[list[tuple[float, float]]]:
    return [[(float(10 ** (-db / 10)), 1.0)] for db in noises_db]


@pytest.mark.parametrize(
    ("gains_db", "sure"),
    [
        ([1.0, 2.0, 1.5, 1.2, 0.9, 1.4, 1.1, 1.3], True),
        # one sample with much noise gains, so that all of them together do
        ([12.0, -0.3, -0.2, 0.1, -0.1, -0.4, 0.2, -0.2], False),
        ([0.0] * 8, False),
    ],
)
def test_a_gain_is_one_of_most_samples(gains_db: list[float], sure: bool) -> None:
    before = np.array([5.0, 20, 21, 22, 20, 19, 22, 23])
    assert _is_sure(parts(before), parts(before + gains_db)) is sure
