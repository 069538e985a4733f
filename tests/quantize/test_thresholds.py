"""Thresholds and codes, by hand and over inputs that hypothesis draws."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_scnet.quantize import statistics, thresholds
from tests.helpers.statistics import DRAWN_IMAGES, DTYPES, QUICK, stats_of


def test_percentile_cuts_the_tails_evenly_and_never_the_zeros_of_relu() -> None:
    rng = np.random.default_rng(0)
    signed = rng.standard_normal(200_000)

    def in_images(values: np.ndarray) -> statistics.TensorStats:
        return stats_of(*np.split(values, 20))

    low, high = thresholds.percentile(in_images(signed), 99.0)
    assert low == pytest.approx(np.percentile(signed, 0.5), abs=0.02)
    assert high == pytest.approx(np.percentile(signed, 99.5), abs=0.02)
    after_relu = np.maximum(signed, 0)
    low, high = thresholds.percentile(in_images(after_relu), 99.0)
    assert low == 0.0
    assert high == pytest.approx(np.percentile(after_relu, 99.5), abs=0.02)
    assert thresholds.percentile(in_images(signed), 100.0) == (
        signed.astype(np.float32).min(),
        signed.astype(np.float32).max(),
    )


def test_one_outlier_moves_minmax_but_not_the_percentile() -> None:
    values = np.append(np.random.default_rng(0).uniform(0, 1, 999_999), 100.0)
    stats = stats_of(*np.split(values, 100))
    assert thresholds.thresholds(stats, "minmax", 99.99)[1] == 100.0
    assert thresholds.thresholds(stats, "percentile", 99.99)[1] < 1.05


@pytest.mark.parametrize(
    ("low", "high", "zero_point"), [(0.0, 4.0, 0), (0.5, 4.0, 0), (-4.0, 0.0, 255), (-1.0, 3.0, 64)]
)
def test_uint8_parameters_hold_zero_exactly_and_cut_neither_end(
    low: float, high: float, zero_point: int
) -> None:
    params = thresholds.uint8_params(low, high)
    assert params.zero_point == zero_point
    assert -params.zero_point * params.scale <= min(low, 0.0) + 1e-6
    assert (255 - params.zero_point) * params.scale >= high - 1e-6


def test_a_tensor_of_zeros_gets_a_positive_scale() -> None:
    assert thresholds.uint8_params(0.0, 0.0).scale > 0


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (7, 64)])
def test_weight_codes_stay_within_their_bits_and_close_to_the_weights(
    bits: int, largest: int
) -> None:
    weights = np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(np.float32)
    weights[3] = 0.0
    codes, scales = thresholds.quantize_weights(weights, axis=0, bits=bits)
    assert codes.dtype == np.int8 and np.abs(codes.astype(int)).max() <= largest
    assert (scales > 0).all() and not codes[3].any()
    restored = codes * scales[:, None, None, None]
    plain = np.abs(weights).reshape(16, -1).max(axis=1) / largest
    plain_restored = (
        np.rint(weights / np.maximum(plain, 1e-9)[:, None, None, None]) * plain[:, None, None, None]
    )
    # scales are chosen by error: never worse than by the peak
    assert ((weights - restored) ** 2).sum() <= ((weights - plain_restored) ** 2).sum()


def test_weight_axis_one_gives_one_scale_a_column() -> None:
    weights = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    codes, scales = thresholds.quantize_weights(weights, axis=1, bits=8)
    assert scales.shape == (7,) and codes.shape == (5, 7)
    assert (
        np.abs(codes * scales - weights).max() <= scales.max() * 0.51 + 0.2 * np.abs(weights).max()
    )


def long_tail(size: int = 200_000) -> statistics.TensorStats:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.laplace(size=size), 0) * rng.choice([1, 8], size, p=[0.9999, 0.0001])
    return stats_of(*np.split(values, 20))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_expected_error_is_that_of_quantizing_the_values(dtype: Literal["uint8", "int8"]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000).astype(np.float32)
    for low, high in [(-5.0, 5.0), (-2.0, 3.0), (-1.0, 1.0)]:
        params = thresholds.activation_params(low, high, dtype=dtype)
        lowest, highest = (0, 255) if dtype == "uint8" else (-127, 127)
        codes = np.clip(np.rint(values / params.scale) + params.zero_point, lowest, highest)
        true = float(((values - (codes - params.zero_point) * params.scale) ** 2).mean())
        assert thresholds.expected_error(stats_of(values), low, high, dtype=dtype) == pytest.approx(
            true, rel=0.1
        )


def test_mse_has_the_least_expected_error_and_auto_is_no_worse_than_any() -> None:
    stats = long_tail()
    errors = {
        method: thresholds.expected_error(stats, *thresholds.thresholds(stats, method, 99.99))
        for method in ("minmax", "percentile", "entropy", "mse", "auto")
    }
    assert errors["auto"] == min(errors.values())
    assert errors["mse"] <= min(errors["minmax"], errors["percentile"], errors["entropy"])


def test_entropy_cuts_the_tail_and_not_the_body_of_a_relu() -> None:
    stats = long_tail()
    low, high = thresholds.entropy(stats)
    assert low == 0.0
    # 99.9 % of the values are below 6.2, the largest are near 60
    assert 5.0 < high < 40.0
    assert thresholds.entropy(stats_of(np.zeros(50))) == (0.0, 0.0)


@pytest.mark.parametrize(("low", "high"), [(-2.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
def test_int8_parameters_are_symmetric(low: float, high: float) -> None:
    params = thresholds.int8_params(low, high)
    assert (params.zero_point, params.dtype) == (0, "int8")
    assert params.scale > 0 and 127 * params.scale == pytest.approx(max(-low, high), abs=1e-6)


ENDS = st.tuples(st.floats(-1e6, 0, width=32), st.floats(0, 1e6, width=32))


@QUICK
@given(ends=ENDS, dtype=DTYPES, share=st.floats(0, 1))
def test_quantize_dequantize_errs_by_half_a_step_at_most(
    ends: tuple[float, float], dtype: str, share: float
) -> None:
    low, high = ends
    params = thresholds.activation_params(low, high, dtype=dtype)
    value = low + share * (high - low)
    lowest, highest = (0, 255) if dtype == "uint8" else (-127, 127)
    code = np.clip(np.rint(value / params.scale) + params.zero_point, lowest, highest)
    assert abs((code - params.zero_point) * params.scale - value) <= params.scale * (0.5 + 1e-4)


@QUICK
@given(ends=ENDS, dtype=DTYPES)
def test_scales_and_zero_points_can_be_represented(ends: tuple[float, float], dtype: str) -> None:
    params = thresholds.activation_params(*ends, dtype=dtype)
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
    images=DRAWN_IMAGES,
    method=st.sampled_from(["minmax", "percentile", "entropy", "mse", "auto"]),
    dtype=DTYPES,
)
def test_thresholds_lie_within_what_was_seen(
    images: list[np.ndarray], method: str, dtype: str
) -> None:
    stats = stats_of(*images)
    low, high = thresholds.thresholds(stats, method, 99.9, dtype=dtype)
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
    codes, scales = thresholds.quantize_weights(weights, axis=0, bits=bits)
    largest = thresholds.LARGEST_CODE[bits]
    assert (
        np.abs(codes.astype(int)).max() <= largest
        and (scales > 0).all()
        and np.isfinite(scales).all()
    )
    peak = np.maximum(
        np.abs(weights).max(axis=1, keepdims=True) / largest, thresholds.SMALLEST_SCALE
    ).astype(np.float64)
    plain = ((weights - np.clip(np.rint(weights / peak), -largest, largest) * peak) ** 2).sum(
        axis=1
    )
    found = ((weights - codes * scales[:, None].astype(np.float64)) ** 2).sum(axis=1)
    assert (found <= plain * (1 + 1e-4) + 1e-9).all()


@pytest.mark.parametrize("images", [[np.zeros(5)], [np.full((2, 3), 7.5)], [np.full(4, -1e-30)]])
def test_constant_tensors_get_usable_parameters(images: list[np.ndarray]) -> None:
    stats = stats_of(*images)
    for method in ("minmax", "percentile", "entropy", "mse", "auto"):
        for dtype in ("uint8", "int8"):
            params = thresholds.activation_params(
                *thresholds.thresholds(stats, method, 99.0, dtype=dtype), dtype=dtype
            )
            assert params.scale > 0
