"""Codes of weights, by hand and over weights that hypothesis draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_scnet.quantizer.params import SMALLEST_SCALE
from edge_scnet.quantizer.weights import LARGEST_CODE, quantize_weights
from tests.helpers.drawn import QUICK


@pytest.mark.parametrize(("bits", "largest"), [(8, 127), (7, 64)])
def test_weight_codes_stay_within_their_bits_and_close_to_the_weights(
    bits: int, largest: int
) -> None:
    weights = np.random.default_rng(0).standard_normal((16, 8, 3, 3)).astype(np.float32)
    weights[3] = 0.0
    codes, scales = quantize_weights(weights, axis=0, bits=bits)
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
    codes, scales = quantize_weights(weights, axis=1, bits=8)
    assert scales.shape == (7,) and codes.shape == (5, 7)
    assert (
        np.abs(codes * scales - weights).max() <= scales.max() * 0.51 + 0.2 * np.abs(weights).max()
    )


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
    codes, scales = quantize_weights(weights, axis=0, bits=bits)
    largest = LARGEST_CODE[bits]
    assert (
        np.abs(codes.astype(int)).max() <= largest
        and (scales > 0).all()
        and np.isfinite(scales).all()
    )
    peak = np.maximum(np.abs(weights).max(axis=1, keepdims=True) / largest, SMALLEST_SCALE).astype(
        np.float64
    )
    plain = ((weights - np.clip(np.rint(weights / peak), -largest, largest) * peak) ** 2).sum(
        axis=1
    )
    found = ((weights - codes * scales[:, None].astype(np.float64)) ** 2).sum(axis=1)
    assert (found <= plain * (1 + 1e-4) + 1e-9).all()


def test_channels_of_zeros_take_the_others_scale() -> None:
    pruned = np.random.default_rng(0).standard_normal((5, 4, 3, 3)).astype(np.float32)
    pruned[[1, 3]] = 0
    codes, scales = quantize_weights(pruned, axis=0, bits=8)
    assert not codes[[1, 3]].any()
    assert scales[1] == scales[3] == np.median(scales[[0, 2, 4]])
    codes, scales = quantize_weights(np.zeros((2, 3), np.float32), axis=0, bits=7)
    assert not codes.any() and (scales == np.float32(1 / 64)).all()


def test_the_rough_search_finds_the_scale_of_the_least_error() -> None:
    rng = np.random.default_rng(0)
    for spread in (1e-9, 1.0, 1e6):
        drawn = (spread * rng.standard_normal((16, 40)) ** 3).astype(np.float32)
        wide, peak = drawn.astype(np.float64), np.abs(drawn).max(axis=1).astype(np.float64)
        shares = np.array([1.0, *np.linspace(0.80, 0.99, 20)])[:, None]
        candidates = np.maximum(peak * shares / 127, SMALLEST_SCALE)
        codes = np.clip(np.rint(wide / candidates[:, :, None]), -127, 127)
        errors = ((wide - codes * candidates[:, :, None]) ** 2).sum(axis=2)
        wanted = candidates[errors.argmin(axis=0), np.arange(16)].astype(np.float32)
        assert np.array_equal(quantize_weights(drawn, axis=0, bits=8)[1], wanted)
