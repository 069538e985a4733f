"""SQNR by output and the 2 dB rule, once for every runtime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_scnet.stats.accuracy import sqnr_db
from edge_scnet.stats.decibels import comparable

# The engine may lose this much against the simulation, both measured against float. Distance
# between engine and simulation alone says nothing: in a deep network rounding flips grow to 13 to
# 19 dB even between two right ones. Seen: trained network 29.9 (engine) and 29.7 (simulation), the
# same miscompiled 6.8 and 24.8.
FIDELITY_MARGIN_DB = 2.0

FIDELITY_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """SQNR against the float graph's outputs on the same images, in dB; None: identical."""

    engine_db: float | None
    simulation_db: float | None
    images: int


def below_simulation(engine: float | None, simulation: float | None, margin: float) -> bool:
    return comparable(engine) < comparable(simulation) - margin


def quality_of(reference: np.ndarray, found: np.ndarray) -> float | None:
    """SQNR in dB; None where they are identical, or where the reference is zero throughout and no
    ratio exists.
    """
    return sqnr_db(reference, found) if reference.any() else None


def by_output(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Runs by batch as one flat array per output."""
    return [
        np.concatenate([output.reshape(-1) for output in outputs])
        for outputs in zip(*runs, strict=True)
    ]
