"""Statistics of arrays, and inputs that hypothesis draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge_scnet.quantize import histogram, statistics
from edge_scnet.quantize.calibrate import CalibrationImages, Equalization, calibrate
from edge_scnet.quantize.summary import summarize


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


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.floats(-1e6, 1e6, width=32)
DRAWN_IMAGES = st.lists(
    arrays(np.float32, array_shapes(min_dims=1, max_dims=2, max_side=12), elements=VALUES),
    min_size=1,
    max_size=8,
)
DTYPES = st.sampled_from(["uint8", "int8"])
