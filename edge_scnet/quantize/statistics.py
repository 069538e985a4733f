"""The records that calibration makes and placement reads: statistics of activations, and what they were made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStats:
    """What one tensor held over all images.

    Bin i counts the values from (first_bin + i) * width up to the next bin's, width = 2**exponent.
    """

    minimum: float
    maximum: float
    elements: int
    exponent: int
    first_bin: int
    counts: np.ndarray

    @property
    def bin_width(self) -> float:
        return float(2.0**self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Statistics by tensor name, and what they were made of."""

    tensors: dict[str, TensorStats]
    images: int
    model_sha256: str
    samples_hash: str
    content_hashes: tuple[str, ...]  # of the images: an evaluation set must not hold one of them
