"""Properties of the quantizer's arithmetic, over inputs that hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edge_scnet.quantize import histogram, rounding
from edge_scnet.quantize import thresholds as ranges
from edge_scnet.quantize.statistics import TensorStats

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.floats(-1e6, 1e6, width=32)
IMAGES = st.lists(
    arrays(np.float32, array_shapes(min_dims=1, max_dims=2, max_side=12), elements=VALUES),
    min_size=1,
    max_size=8,
)
ENDS = st.tuples(st.floats(-1e6, 0, width=32), st.floats(0, 1e6, width=32))
DTYPES = st.sampled_from(["uint8", "int8"])


def stats_of(images: list[np.ndarray]) -> TensorStats:
    accumulator = histogram.Accumulator()
    for image in images:
        accumulator.add(image)
    return accumulator.stats()


def same(a: TensorStats, b: TensorStats) -> bool:
    scalars = [(s.minimum, s.maximum, s.elements, s.exponent, s.first_bin) for s in (a, b)]
    return scalars[0] == scalars[1] and np.array_equal(a.counts, b.counts)


@QUICK
@given(images=IMAGES, data=st.data())
def test_statistics_do_not_depend_on_the_order_of_images_or_on_chunks(
    images: list[np.ndarray], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(images))
    limit, histogram.CHUNK_ELEMENTS = (
        histogram.CHUNK_ELEMENTS,
        data.draw(st.sampled_from([1, 7, 50, 1 << 17])),
    )
    try:
        assert same(stats_of(images), stats_of(list(shuffled)))
    finally:
        histogram.CHUNK_ELEMENTS = limit


@QUICK
@given(images=IMAGES)
def test_every_value_is_counted_between_the_extremes(images: list[np.ndarray]) -> None:
    stats = stats_of(images)
    assert stats.elements == stats.counts.sum() == sum(image.size for image in images)
    occupied = np.flatnonzero(stats.counts) + stats.first_bin
    assert occupied[0] == np.floor(stats.minimum / stats.bin_width)
    assert occupied[-1] == np.floor(stats.maximum / stats.bin_width)
    assert stats.counts.size <= histogram.MAX_BINS


@QUICK
@given(ends=ENDS, dtype=DTYPES, share=st.floats(0, 1))
def test_quantize_dequantize_errs_by_half_a_step_at_most(
    ends: tuple[float, float], dtype: str, share: float
) -> None:
    low, high = ends
    params = ranges.activation_params(low, high, dtype=dtype)
    value = low + share * (high - low)
    lowest, highest = (0, 255) if dtype == "uint8" else (-127, 127)
    code = np.clip(np.rint(value / params.scale) + params.zero_point, lowest, highest)
    assert abs((code - params.zero_point) * params.scale - value) <= params.scale * (0.5 + 1e-4)


@QUICK
@given(ends=ENDS, dtype=DTYPES)
def test_scales_and_zero_points_can_be_represented(ends: tuple[float, float], dtype: str) -> None:
    params = ranges.activation_params(*ends, dtype=dtype)
    assert (
        params.scale > 0
        and np.isfinite(np.float32(params.scale))
        and np.isfinite(np.float32(1) / np.float32(params.scale))
    )
    assert params.scale == float(np.float32(params.scale))
    assert params.zero_point == int(np.array(params.zero_point).astype(params.dtype))
    if dtype == "int8" or ends[0] == 0:
        assert params.zero_point == 0


@QUICK
@given(
    images=IMAGES,
    method=st.sampled_from(["minmax", "percentile", "entropy", "mse", "auto"]),
    dtype=DTYPES,
)
def test_thresholds_lie_within_what_was_seen(
    images: list[np.ndarray], method: str, dtype: str
) -> None:
    stats = stats_of(images)
    low, high = ranges.thresholds(stats, method, 99.9, dtype=dtype)
    slack = stats.bin_width
    assert min(stats.minimum, 0) - slack <= low <= high + slack
    assert high <= max(stats.maximum, 0) + slack


@QUICK
@given(
    weights=arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 20)),
        elements=st.floats(-100, 100, width=32),
    ),
    bits=st.sampled_from([7, 8]),
    outlier=st.sampled_from([0.0, 1e4, -1e6]),
)
def test_weight_codes_fit_and_are_no_worse_than_scales_by_the_peak(
    weights: np.ndarray, bits: int, outlier: float
) -> None:
    weights = weights.copy()
    if outlier:
        weights[0, 0] = outlier
    codes, scales = ranges.quantize_weights(weights, axis=0, bits=bits)
    largest = ranges.LARGEST_CODE[bits]
    assert (
        np.abs(codes.astype(int)).max() <= largest
        and (scales > 0).all()
        and np.isfinite(scales).all()
    )
    peak = np.maximum(
        np.abs(weights).max(axis=1, keepdims=True) / largest, ranges.SMALLEST_SCALE
    ).astype(np.float64)
    plain = ((weights - np.clip(np.rint(weights / peak), -largest, largest) * peak) ** 2).sum(
        axis=1
    )
    found = ((weights - codes * scales[:, None].astype(np.float64)) ** 2).sum(axis=1)
    assert (found <= plain * (1 + 1e-4) + 1e-9).all()


@QUICK
@given(
    filters=arrays(
        np.float64, st.tuples(st.integers(1, 4), st.just(6)), elements=st.floats(-10, 10)
    ),
    inputs=arrays(np.float64, (30, 6), elements=st.floats(-5, 5)),
    bits=st.sampled_from([7, 8]),
)
def test_compensated_codes_fit_whatever_the_inputs(
    filters: np.ndarray, inputs: np.ndarray, bits: int
) -> None:
    largest = ranges.LARGEST_CODE[bits]
    scales = np.maximum(np.abs(filters).max(axis=1) / largest, ranges.SMALLEST_SCALE)
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=largest)
    assert codes.dtype == np.int8 and np.abs(codes.astype(int)).max() <= largest


@pytest.mark.parametrize("images", [[np.zeros(5)], [np.full((2, 3), 7.5)], [np.full(4, -1e-30)]])
def test_constant_tensors_get_usable_parameters(images: list[np.ndarray]) -> None:
    stats = stats_of([image.astype(np.float32) for image in images])
    for method in ("minmax", "percentile", "entropy", "mse", "auto"):
        for dtype in ("uint8", "int8"):
            params = ranges.activation_params(
                *ranges.thresholds(stats, method, 99.0, dtype=dtype), dtype=dtype
            )
            assert params.scale > 0
