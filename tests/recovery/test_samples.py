"""Which samples are learned from and which are held out, and how pictures are varied."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.recovery.samples import divide, samples_of

HASHES = [f"{(i * 7919) % 1000:08x}" for i in range(100)]


def test_a_quarter_is_held_out_by_content() -> None:
    learned, held_out = divide(HASHES)
    assert (len(learned), len(held_out)) == (75, 25) and not set(learned) & set(held_out)
    backwards = divide(HASHES[::-1])
    assert {HASHES[i] for i in held_out} == {HASHES[::-1][i] for i in backwards[1]}


def test_at_most_64_are_held_out() -> None:
    assert len(divide([f"{i:08x}" for i in range(1000)])[1]) == 64


def test_too_few_are_refused_with_the_number() -> None:
    with pytest.raises(DataError, match="63 are too few, 64 are needed") as caught:
        divide(HASHES[:63])
    assert caught.value.hint and "--calib" in caught.value.hint


def test_pictures_are_varied_and_arrays_are_not() -> None:
    array = np.random.default_rng(0).random((100, 3, 8, 8)).astype(np.float32)
    rng = np.random.default_rng(1)
    for are_pictures in (True, False):
        samples = samples_of({"x": array}, HASHES, are_pictures=are_pictures)
        found = samples.varied([0, 1, 2, 3], rng)["x"].numpy()
        assert found.shape == (4, 3, 8, 8) and array.min() <= found.min() <= found.max() <= 1
        assert np.array_equal(found, array[:4]) != are_pictures


def test_the_same_seed_gives_the_same_parts() -> None:
    array = np.random.default_rng(0).random((100, 3, 8, 8)).astype(np.float32)
    samples = samples_of({"x": array}, HASHES, are_pictures=True)
    first, second = (samples.varied([4, 5], np.random.default_rng(9))["x"] for _ in range(2))
    assert first.equal(second)
