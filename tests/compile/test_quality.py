"""Quality by output, the worst of them, and the margin of the fidelity check."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.compile import quality


@pytest.mark.parametrize(
    ("engine", "simulation", "fails"),
    [
        (6.8, 24.8, True),
        (29.9, 29.7, False),
        (17.1, 16.7, False),
        (22.7, 24.8, True),
        (22.9, 24.8, False),
        (None, 30.0, False),
        (40.0, None, True),
    ],
)
def test_margin_separates_every_case_seen(
    engine: float | None, simulation: float | None, fails: bool
) -> None:
    assert quality.falls_short(engine, quality.least_allowed(simulation)) is fails


def test_each_output_is_judged_by_itself() -> None:
    large, small = np.full(4, 1000, np.float32), np.ones(4, np.float32)
    qualities = quality.sqnr_by_output([large, small, 0 * small], [large, 0.9 * small, small * 0])
    assert qualities == (None, pytest.approx(20, abs=0.01), None)
    least = [quality.least_allowed(simulation) for simulation in (None, 40.0, None)]
    assert least == [None, 38.0, None] and quality.worst_output(qualities, least) == 1


@pytest.mark.parametrize(
    ("qualities", "least", "worst"),
    [
        ((30.0, 20.0), (28.0, 19.0), 1),  # nearest to what it must have, not the lowest
        ((30.0, 60.0), (28.0, None), 1),  # should be identical and is not
        ((None, 20.0), (None, 19.0), 1),
        ((None, None), (None, None), 0),
    ],
)
def test_the_worst_output_is_the_nearest_to_its_limit(
    qualities: tuple[float | None, ...], least: tuple[float | None, ...], worst: int
) -> None:
    assert quality.worst_output(qualities, least) == worst


def test_nan_and_infinity_are_found_in_any_output() -> None:
    fine = np.ones(3, np.float32)
    assert quality.all_finite([fine, fine])
    assert not quality.all_finite([fine, fine * np.float32(np.inf)])
    assert not quality.all_finite([fine * np.float32(np.nan), fine])
