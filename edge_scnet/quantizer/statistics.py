"""The records that calibration makes and placement reads."""

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
    # How many values the bins count.
    elements: int
    exponent: int
    first_bin: int
    counts: np.ndarray

    @property
    def bin_width(self) -> float:
        """The width of a bin, in the tensor's units."""
        return float(2.0**self.exponent)

    @property
    def centers(self) -> np.ndarray:
        """The middle of every bin; of the bin that holds the zeros of a ReLU, zero itself."""
        index = self.first_bin + np.arange(self.counts.size)
        middle: np.ndarray = (index + 0.5) * self.bin_width
        return np.where(index == 0, 0.0, middle) if self.minimum == 0.0 else middle


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far thresholds move between two halves of the images, in percent of a tensor's range."""

    # Of all tensors.
    median_percent: float
    worst_percent: float
    worst_tensor: str
    # In both halves together.
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Statistics by tensor name, and what they were made of."""

    tensors: dict[str, TensorStats]
    # Of cross-layer equalisation, per channel: the tensors are those of the equalised graph.
    factors: dict[str, np.ndarray]
    # None where there was one image, or all in one half.
    drift: Drift | None
    images: int
    model_sha256: str
    samples_hash: str
    # Of the images: an evaluation set must not hold one of them.
    content_hashes: tuple[str, ...]
    # The tensors that were NaN or infinite on an image, and have no statistics.
    not_finite: tuple[str, ...] = ()

    @property
    def constant(self) -> tuple[str, ...]:
        """The tensors that held one value alone: branches that never fire."""
        return tuple(n for n, stats in self.tensors.items() if stats.minimum == stats.maximum)
