"""Ranges to keep, by hand and over statistics that hypothesis draws."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_scnet.quantizer import statistics, thresholds
from edge_scnet.quantizer.params import activation_params
from tests.helpers.drawn import DRAWN_IMAGES, DTYPES, QUICK
from tests.helpers.statistics import stats_of


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


def long_tail(size: int = 200_000) -> statistics.TensorStats:
    rng = np.random.default_rng(0)
    values = np.maximum(rng.laplace(size=size), 0) * rng.choice([1, 8], size, p=[0.9999, 0.0001])
    return stats_of(*np.split(values, 20))


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_expected_error_is_that_of_quantizing_the_values(dtype: Literal["uint8", "int8"]) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal(100_000).astype(np.float32)
    for low, high in [(-5.0, 5.0), (-2.0, 3.0), (-1.0, 1.0)]:
        params = activation_params(low, high, dtype=dtype)
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


@pytest.mark.slow
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


@pytest.mark.parametrize("images", [[np.zeros(5)], [np.full((2, 3), 7.5)], [np.full(4, -1e-30)]])
def test_constant_tensors_get_usable_parameters(images: list[np.ndarray]) -> None:
    stats = stats_of(*images)
    for method in ("minmax", "percentile", "entropy", "mse", "auto"):
        for dtype in ("uint8", "int8"):
            params = activation_params(
                *thresholds.thresholds(stats, method, 99.0, dtype=dtype), dtype=dtype
            )
            assert params.scale > 0
