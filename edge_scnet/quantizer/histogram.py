"""The statistics of one tensor, fed image by image, in bins that merge exactly.

Bins lie on a grid of power-of-two width anchored at zero that doubles as the range grows, so that
two bins merge without error and the result depends on the set of images only, not on their order or
on how they were cut into chunks.
"""

from __future__ import annotations

import math

import numpy as np

from edge_scnet.quantizer.statistics import TensorStats
from edge_scnet.quantizer.summary import Summary

MAX_BINS = 4096
# Values of several images are binned together up to this many, so that NumPy's cost per call does
# not dominate on small networks; more would leave the cache.
CHUNK_ELEMENTS = 1 << 15
_SMALLEST_EXPONENT = -126


class Accumulator:
    """The statistics of one tensor so far."""

    def __init__(self, *, histogram: bool = True) -> None:
        """Starts with nothing.

        Args:
            histogram: False keeps minimum and maximum only.
        """
        self.histogram, self.finite = histogram, True
        self.minimum, self.maximum = np.inf, -np.inf
        self.exponent = _SMALLEST_EXPONENT
        self.first_bin = 0
        self.counts = np.zeros(0, np.int64)
        self._pending: list[np.ndarray] = []
        self._pending_elements = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added yet."""
        return self.minimum > self.maximum

    def add(self, summary: Summary) -> None:
        """Adds the values of one image.

        Values that are not finite end the statistics: `finite` is False from then on.
        """
        low, high = float(summary.low.min()), float(summary.high.max())
        self.finite = self.finite and summary.finite and math.isfinite(low) and math.isfinite(high)
        if not self.finite:
            return
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        if not self.histogram:
            return
        self._pending.append(summary.sample)
        self._pending_elements += self._pending[-1].size
        if self._pending_elements >= CHUNK_ELEMENTS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        flat = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        self._pending, self._pending_elements = [], 0
        exponent = _exponent(self.minimum, self.maximum)
        if exponent > self.exponent:
            self._coarsen(exponent)
        first = math.floor(float(flat.min()) * 2.0**-self.exponent)
        # scaling by a power of two is exact in float32, so an edge value lands in the same bin on
        # every machine
        scaled = flat * np.float32(2.0**-self.exponent)
        if first >= 0:
            # what follows the point is cut off
            self._merge(first, np.bincount(scaled.astype(np.intp))[first:])
            return
        # a negative value too small for float32 when scaled lies below zero nevertheless
        scaled[(scaled == 0.0) & (flat < 0.0)] = -1.0
        np.floor(scaled, out=scaled)
        # the counts of a chunk: bins are at most MAX_BINS apart, so the difference is exact in
        # float32 too
        self._merge(first, np.bincount((scaled - np.float32(first)).astype(np.intp)))

    def settle(self) -> None:
        """Bins what waits to be: from then on the attributes hold all that was added."""
        self._flush()

    def stats(self) -> TensorStats:
        """Returns the statistics so far.

        Raises:
            ValueError: nothing was added.
        """
        self._flush()
        if self.is_empty:
            raise ValueError("no values were added")
        # the range may have grown after the last values were binned
        self._coarsen(max(self.exponent, _exponent(self.minimum, self.maximum)))
        return TensorStats(
            minimum=self.minimum,
            maximum=self.maximum,
            elements=int(self.counts.sum()),
            exponent=self.exponent,
            first_bin=self.first_bin,
            counts=self.counts,
        )

    def merge(self, other: Accumulator) -> None:
        """Adds what another one holds: the result is as if its images had been added here."""
        self.finite = self.finite and other.finite
        self._flush()
        other._flush()
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        if not self.is_empty:
            exponent = _exponent(self.minimum, self.maximum)
            self._coarsen(max(self.exponent, exponent))
            other._coarsen(self.exponent)
        if other.counts.size:
            self._merge(other.first_bin, other.counts)

    def _coarsen(self, exponent: int) -> None:
        step = exponent - self.exponent
        if self.counts.size and step:
            bins = (np.arange(self.counts.size, dtype=np.int64) + self.first_bin) >> step
            self.first_bin = int(bins[0])
            merged = np.zeros(int(bins[-1]) - self.first_bin + 1, np.int64)
            np.add.at(merged, bins - self.first_bin, self.counts)
            self.counts = merged
        self.exponent = exponent

    def _merge(self, first: int, counts: np.ndarray) -> None:
        if not self.counts.size:
            self.first_bin, self.counts = first, counts.astype(np.int64)
            return
        low = min(first, self.first_bin)
        high = max(first + counts.size, self.first_bin + self.counts.size)
        if low != self.first_bin or high != self.first_bin + self.counts.size:
            grown = np.zeros(high - low, np.int64)
            grown[self.first_bin - low : self.first_bin - low + self.counts.size] = self.counts
            self.first_bin, self.counts = low, grown
        self.counts[first - low : first - low + counts.size] += counts


def _exponent(low: float, high: float) -> int:
    """The smallest exponent at which [low, high] needs at most MAX_BINS bins.

    It follows from the range alone.
    """
    span = max(high - low, abs(high), abs(low))
    if span == 0.0:
        return _SMALLEST_EXPONENT
    exponent = max(int(np.ceil(np.log2(span / MAX_BINS))) - 1, _SMALLEST_EXPONENT)
    while np.floor(high * 2.0**-exponent) - np.floor(low * 2.0**-exponent) + 1 > MAX_BINS:
        exponent += 1
    return exponent
