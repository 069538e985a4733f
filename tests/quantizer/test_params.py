"""Scales and zero points of activations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_scnet.quantizer.params import activation_params, int8_params, uint8_params
from tests.helpers.drawn import DTYPES, QUICK


@pytest.mark.parametrize(
    ("low", "high", "zero_point"), [(0.0, 4.0, 0), (0.5, 4.0, 0), (-4.0, 0.0, 255), (-1.0, 3.0, 64)]
)
def test_uint8_parameters_hold_zero_exactly_and_cut_neither_end(
    low: float, high: float, zero_point: int
) -> None:
    params = uint8_params(low, high)
    assert params.zero_point == zero_point
    assert -params.zero_point * params.scale <= min(low, 0.0) + 1e-6
    assert (255 - params.zero_point) * params.scale >= high - 1e-6


def test_a_tensor_of_zeros_gets_a_positive_scale() -> None:
    assert uint8_params(0.0, 0.0).scale > 0


@pytest.mark.parametrize(("low", "high"), [(-2.0, 1.0), (0.0, 3.0), (0.0, 0.0)])
def test_int8_parameters_are_symmetric(low: float, high: float) -> None:
    params = int8_params(low, high)
    assert (params.zero_point, params.dtype) == (0, "int8")
    assert params.scale > 0 and 127 * params.scale == pytest.approx(max(-low, high), abs=1e-6)


ENDS = st.tuples(st.floats(-1e6, 0, width=32), st.floats(0, 1e6, width=32))


@QUICK
@given(ends=ENDS, dtype=DTYPES, share=st.floats(0, 1))
def test_quantize_dequantize_errs_by_half_a_step_at_most(
    ends: tuple[float, float], dtype: str, share: float
) -> None:
    low, high = ends
    params = activation_params(low, high, dtype=dtype)
    value = low + share * (high - low)
    lowest, highest = (0, 255) if dtype == "uint8" else (-127, 127)
    code = np.clip(np.rint(value / params.scale) + params.zero_point, lowest, highest)
    assert abs((code - params.zero_point) * params.scale - value) <= params.scale * (0.5 + 1e-4)


@QUICK
@given(ends=ENDS, dtype=DTYPES)
def test_scales_and_zero_points_can_be_represented(ends: tuple[float, float], dtype: str) -> None:
    params = activation_params(*ends, dtype=dtype)
    assert (
        params.scale > 0
        and np.isfinite(np.float32(params.scale))
        and np.isfinite(np.float32(1) / np.float32(params.scale))
    )
    assert params.scale == float(np.float32(params.scale))
    assert params.zero_point == int(np.array(params.zero_point).astype(params.dtype))
    if dtype == "int8" or ends[0] == 0:
        assert params.zero_point == 0
