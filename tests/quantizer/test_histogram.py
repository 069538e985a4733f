"""Statistics of a tensor: the same for every order and cut of the images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_scnet.quantizer import histogram
from edge_scnet.quantizer.summary import summarize
from tests.helpers.drawn import DRAWN_IMAGES, QUICK
from tests.helpers.statistics import same, stats_of


@pytest.mark.parametrize("seed", range(12))
def test_statistics_do_not_depend_on_order_or_chunking(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-6, 6)
    values = (rng.standard_normal(4000) * spread * rng.choice([1, 1, 1, 30], 4000)).astype(
        np.float32
    )
    whole = stats_of(values)
    assert whole.counts.sum() == whole.elements == 4000
    for limit in (1, 64, 1 << 17):
        monkeypatch.setattr(histogram, "CHUNK_ELEMENTS", limit)
        shuffled = rng.permutation(values)
        cuts = np.sort(rng.integers(1, 4000, size=7))
        assert same(whole, stats_of(*np.split(shuffled, cuts)))


def test_bins_hold_the_values_that_lie_in_them() -> None:
    values = np.array([-1.0, -0.25, 0.0, 0.1, 0.5, 1.0, 3.999], np.float32)
    stats = stats_of(values)
    assert stats.counts.size <= histogram.MAX_BINS
    for value in values:
        index = int(np.floor(value / stats.bin_width)) - stats.first_bin
        expected = np.count_nonzero(
            np.floor(values / stats.bin_width) == np.floor(value / stats.bin_width)
        )
        assert stats.counts[index] == expected


def test_a_constant_tensor_and_a_zero_tensor_have_statistics() -> None:
    assert stats_of(np.zeros(10)).maximum == 0.0
    assert stats_of(np.full(10, 7.5)).counts.sum() == 10


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_end_the_statistics(bad: float) -> None:
    found = histogram.Accumulator()
    for values in ([0.0, 1.0], [0.0, bad, 1.0], [2.0, 3.0]):
        found.add(summarize(np.array(values, np.float32)))
    assert not found.finite
    other = histogram.Accumulator()
    other.add(summarize(np.zeros(3, np.float32)))
    assert other.finite
    other.merge(found)
    assert not other.finite


@QUICK
@given(images=DRAWN_IMAGES, data=st.data())
def test_statistics_do_not_depend_on_the_order_of_images_or_on_chunks(
    images: list[np.ndarray], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(images))
    limit, histogram.CHUNK_ELEMENTS = (
        histogram.CHUNK_ELEMENTS,
        data.draw(st.sampled_from([1, 7, 50, 1 << 17])),
    )
    try:
        assert same(stats_of(*images), stats_of(*shuffled))
    finally:
        histogram.CHUNK_ELEMENTS = limit


@QUICK
@given(images=DRAWN_IMAGES)
def test_every_value_is_counted_between_the_extremes(images: list[np.ndarray]) -> None:
    stats = stats_of(*images)
    assert stats.elements == stats.counts.sum() == sum(image.size for image in images)
    occupied = np.flatnonzero(stats.counts) + stats.first_bin
    assert occupied[0] == np.floor(stats.minimum / stats.bin_width)
    assert occupied[-1] == np.floor(stats.maximum / stats.bin_width)
    assert stats.counts.size <= histogram.MAX_BINS


def test_a_negative_value_too_small_to_be_scaled_is_below_zero() -> None:
    values = np.array([-1.4e-44, 65520.0], np.float32)
    together, apart = stats_of(values), stats_of(values[:1], values[1:])
    assert same(together, apart) and together.first_bin == -1
    assert (together.counts[0], together.counts[-1]) == (1, 1)
