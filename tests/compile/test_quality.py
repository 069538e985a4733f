"""The margin of the fidelity check separates every case seen."""

from __future__ import annotations

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
