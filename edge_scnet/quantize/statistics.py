"""The records that calibration makes and placement reads: statistics of activations, and what they
were made of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStats:
    """What one tensor held over all images.

    Bin i counts the values from (first_bin + i) * width up to the next bin's, width = 2**exponent.
    There are none where only minimum and maximum were asked for.
    """

    minimum: float
    maximum: float
    elements: int  # counted in the bins
    exponent: int
    first_bin: int
    counts: np.ndarray

    @property
    def bin_width(self) -> float:
        return float(2.0**self.exponent)

    @property
    def centers(self) -> np.ndarray:
        """The middle of every bin; of the bin that holds the zeros of a ReLU, zero itself."""
        index = self.first_bin + np.arange(self.counts.size)
        middle: np.ndarray = (index + 0.5) * self.bin_width
        return np.where(index == 0, 0.0, middle) if self.minimum == 0.0 else middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far thresholds move between two halves of the images, in percent of the tensor's range."""

    median_percent: float  # of all tensors
    worst_percent: float
    worst_tensor: str
    images: int  # in both halves together


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Statistics by tensor name, and what they were made of."""

    tensors: dict[str, TensorStats]
    factors: dict[
        str, np.ndarray
    ]  # of cross-layer equalisation, per channel: the tensors are those of the equalised graph
    drift: Drift | None  # None where there was one image, or all in one half
    images: int
    model_sha256: str
    samples_hash: str
    content_hashes: tuple[str, ...]  # of the images: an evaluation set must not hold one of them
