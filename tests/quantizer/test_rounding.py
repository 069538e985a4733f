"""Compensated rounding: less error in the output than nearest, and codes that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edge_scnet.errors import DataError
from edge_scnet.quantizer import params, rounding, weights
from tests.helpers.drawn import QUICK


def test_compensated_rounding_has_less_error_in_the_output_than_nearest() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((40, 40))
    inputs = rng.standard_normal((5000, 40)) @ mixing
    filters = rng.standard_normal((8, 40))
    scales = np.abs(filters).max(axis=1) / 7
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=7)
    nearest = np.clip(np.rint(filters / scales[:, None]), -7, 7)

    def error(found: np.ndarray) -> float:
        return float(np.var(inputs @ (filters - found * scales[:, None]).T, axis=0).sum())

    assert np.abs(codes.astype(int)).max() <= 7
    assert error(codes) < 0.6 * error(nearest)


def test_compensated_rounding_of_inputs_that_never_fire_is_nearest() -> None:
    filters = np.random.default_rng(0).standard_normal((3, 5))
    codes = rounding.round_weights(filters, np.full(3, 0.05), np.zeros((5, 5)), largest=127)
    assert np.array_equal(codes, np.clip(np.rint(filters / 0.05), -127, 127))


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
    largest = weights.LARGEST_CODE[bits]
    scales = np.maximum(np.abs(filters).max(axis=1) / largest, params.SMALLEST_SCALE)
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=largest)
    assert codes.dtype == np.int8 and np.abs(codes.astype(int)).max() <= largest


def test_a_covariance_that_rounding_left_indefinite_gives_codes() -> None:
    """Inputs that hardly vary around a large mean."""
    rng = np.random.default_rng(0)
    filters, scales = rng.standard_normal((3, 5)), np.full(3, 0.05)
    vectors = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    indefinite = vectors @ np.diag([1.0, 0.5, 0.1, -0.2, -3.0]) @ vectors.T
    codes = rounding.round_weights(filters, scales, indefinite, largest=127)
    nearest = np.rint(filters / scales[:, None])
    assert np.abs(codes - nearest).max() <= 20
    # constant inputs, seen exactly: the variance is what float32 left of it
    seen = rounding.Moments(4, 1, products=True)
    for _ in range(8):
        seen.add((1e4 + 1e-3 * rng.standard_normal((1, 100, 4))).astype(np.float32))
    found = rounding.round_weights(filters[:, :4], scales, seen.covariance()[0], largest=127)
    assert np.abs(found - nearest[:, :4]).max() <= 20


def test_products_that_are_not_finite_are_refused_and_do_not_loop() -> None:
    covariance = np.full((2, 2), np.inf)
    with pytest.raises(DataError, match="too large to be multiplied"):
        rounding.round_weights(np.ones((3, 2)), np.ones(3), covariance, largest=63)
