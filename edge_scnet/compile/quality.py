"""How close an engine's outputs come to the float graph's, and how close they must come.

Qualities are signal to noise ratios (SQNR) in dB, one for each output; None: identical, or the
reference is zero throughout and no ratio exists.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_scnet.stats.accuracy import sqnr_db
from edge_scnet.stats.decibels import comparable

# The engine may lose this much against the simulation, both measured against float. Distance
# between engine and simulation alone says nothing: in a deep network rounding flips grow to 13 to
# 19 dB even between two right ones. Seen: trained network 29.9 (engine) and 29.7 (simulation), the
# same miscompiled 6.8 and 24.8.
FIDELITY_MARGIN_DB = 2.0

FIDELITY_IMAGES = 64

# The shortfall of an output that should be identical and is not, for comparing: above every other.
_IDENTICAL_DB = 1e9


def joined(runs: Sequence[Sequence[np.ndarray]]) -> list[np.ndarray]:
    """Returns runs by batch as one flat array for each output."""
    return [
        np.concatenate([output.reshape(-1) for output in outputs])
        for outputs in zip(*runs, strict=True)
    ]


def sqnr_by_output(
    reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray]
) -> tuple[float | None, ...]:
    """Returns each output's SQNR in dB.

    Raises:
        ValueError: the shapes or the numbers of outputs differ, or an element is not finite.
    """
    return tuple(
        sqnr_db(wanted, output) if wanted.any() else None
        for wanted, output in zip(reference, outputs, strict=True)
    )


def least_allowed(simulation_db: float | None) -> float | None:
    """Returns the SQNR that an engine must have where the simulation of its graph has this one."""
    return None if simulation_db is None else simulation_db - FIDELITY_MARGIN_DB


def falls_short(quality_db: float | None, least_db: float | None) -> bool:
    """Whether an SQNR is below the one that is needed."""
    return comparable(quality_db) < comparable(least_db)


def worst_output(qualities: Sequence[float | None], least: Sequence[float | None]) -> int:
    """Returns the index of the output that is nearest to what it must have, or farthest below it.

    Each output is judged by itself: behind a large one a small one that is wrong would not show.
    """

    def headroom(index: int) -> float:
        return comparable(qualities[index]) - min(comparable(least[index]), _IDENTICAL_DB)

    return min(range(len(qualities)), key=headroom)


def all_finite(outputs: Sequence[np.ndarray]) -> bool:
    """Whether no output holds NaN or infinity."""
    return all(bool(np.isfinite(output).all()) for output in outputs)
