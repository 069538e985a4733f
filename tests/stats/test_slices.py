"""Slices of an output, each by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge_scnet.stats.slices import rows_of, slices_of


def _slices(own: np.ndarray, reference: np.ndarray, axis: int = 1, **more: object) -> dict:
    kept = rows_of(own[:2], reference[:2], axis) + rows_of(own[2:], reference[2:], axis)
    return {part.part: part for part in slices_of("out", kept, **more)}


def test_a_slice_is_measured_by_what_varies_about_its_rows_means() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal((100, -5), (2, 0.1), (500, 2))
    own = reference + rng.normal(0, 0.1, reference.shape)
    found = _slices(own, reference, row="column")
    assert found["column 0"].sqnr_db == pytest.approx(20 * math.log10(20), abs=1.0)
    assert found["column 1"].sqnr_db == pytest.approx(0.0, abs=1.0)
    assert found["column 0"].cosine == pytest.approx(1.0)


def test_what_never_varies_is_held_to_its_size_and_equal_parts_have_no_noise() -> None:
    reference = np.full((5, 2), 10.0)
    found = _slices(reference + np.array([0, 0.1]), reference)
    assert found["row 0"].sqnr_db is None
    assert found["row 1"].sqnr_db == pytest.approx(40.0)
    zero = np.zeros((5, 1))
    assert _slices(zero + 1, zero)["row 0"].sqnr_db == -200.0


def test_parts_of_a_head_are_judged_apart_though_one_is_of_pixels() -> None:
    rng = np.random.default_rng(1)
    boxes, scores = rng.uniform(0, 600, (20, 4, 30)), rng.random((20, 12, 30))
    reference = np.concatenate([boxes, scores], axis=1)
    own = reference + rng.normal(0, 0.01, reference.shape)
    own[:, 4:] = scores.mean()
    for parts in ((4, 12), ()):  # told by the graph; by their sizes alone
        found = _slices(own, reference, parts=parts)
        assert found["row 0"].sqnr_db > 60
        assert found["rows 4 to 15"].sqnr_db == pytest.approx(0.0, abs=0.3)
        assert found["rows 4 to 15"].highest == pytest.approx(1.0, abs=0.01)
        assert found["row 0"].highest is None


def test_one_column_of_many_is_not_hidden_and_one_that_never_varies_is_no_alarm() -> None:
    rng = np.random.default_rng(2)
    reference = rng.normal(50, 5, (100, 136))
    reference[:, 7] = 50 + rng.normal(0, 1e-4, 100)
    own = reference + rng.normal(0, 0.05, reference.shape)
    assert min(part.sqnr_db for part in _slices(own, reference).values()) > 15
    own[:, 40] += 10
    found = _slices(own, reference, names=[f"point {i}" for i in range(136)])
    assert found["point 40"].sqnr_db == pytest.approx(-6.0, abs=2)
    assert found[""].sqnr_db > 10


def test_channels_may_be_any_axis() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal(size=(6, 4, 5, 3))
    own = reference + 0.1 * rng.normal(size=reference.shape)
    last, first = (
        _slices(own, reference, 3),
        _slices(np.moveaxis(own, 3, 1), np.moveaxis(reference, 3, 1), 1),
    )
    for name, part in last.items():
        assert part.sqnr_db == pytest.approx(first[name].sqnr_db)


def test_what_varies_by_less_than_a_hundredth_of_its_size_is_not_measured_by_that() -> None:
    rng = np.random.default_rng(3)
    reference = rng.normal((1, 0), (1e-4, 1), (500, 2))
    own = reference + rng.normal(0, 1e-3, reference.shape)
    assert _slices(own, reference, row="column")["column 0"].sqnr_db == pytest.approx(20, abs=1)
    # an engine that gives the mean of what varies by little is still told
    warm = rng.normal(293, 2, (500, 1))
    assert _slices(np.full_like(warm, 293), warm)["row 0"].sqnr_db < 10
