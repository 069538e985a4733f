"""Signal to noise ratios in decibels, as numbers to compare and as text.

No noise at all is written as None.
"""

from __future__ import annotations

import math


def of_relative_noise(noise: float) -> float | None:
    """The SQNR in dB of a noise power relative to the signal's; None: no noise."""
    return -10.0 * math.log10(noise) if noise else None


def comparable(value: float | None) -> float:
    """The SQNR in dB as a number that compares: infinity where there is no noise."""
    return math.inf if value is None else value


def decibels(value: float | None, *, exact: str = "exact", unit: str = " dB") -> str:
    """An SQNR as text.

    Args:
        exact: the word for no noise.
        unit: what follows the figure; "" in a column that has the unit in its head.
    """
    return exact if value is None else f"{value:.1f}{unit}"
