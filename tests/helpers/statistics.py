"""Statistics of arrays and of small graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.quantizer import histogram, statistics
from edge_scnet.quantizer.calibrate import CalibrationImages, Equalization, calibrate
from edge_scnet.quantizer.summary import summarize


def stats_of(*chunks: np.ndarray) -> statistics.TensorStats:
    accumulator = histogram.Accumulator()
    for chunk in chunks:
        accumulator.add(summarize(chunk.astype(np.float32)))
    return accumulator.stats()


def calibrated(
    model: Path,
    *chunks: np.ndarray,
    histogram: bool = True,
    equalization: Equalization | None = None,
    expected: int | None = None,
) -> statistics.Ranges:
    """The statistics of a float graph over images in chunks of any length."""
    count = sum(map(len, chunks)) if expected is None else expected
    images = CalibrationImages(batches=chunks, count=count, samples_hash="x")
    return calibrate(model, images, histogram=histogram, equalization=equalization)


def same(a: statistics.TensorStats, b: statistics.TensorStats) -> bool:
    scalars = [(s.minimum, s.maximum, s.elements, s.exponent, s.first_bin) for s in (a, b)]
    return scalars[0] == scalars[1] and np.array_equal(a.counts, b.counts)
