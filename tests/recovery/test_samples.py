"""Which samples are learned from and which are held out, and how pictures are varied."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.recovery.samples import divide, samples_of

HASHES = [f"{(i * 7919) % 1000:08x}" for i in range(100)]


def test_a_quarter_is_held_out_by_content_half_of_it_to_judge_by() -> None:
    learned, watched, judged = divide(HASHES)
    assert (len(learned), len(watched), len(judged)) == (75, 13, 12)
    assert len({*learned, *watched, *judged}) == 100
    backwards = divide(HASHES[::-1])
    for ours, theirs in zip((learned, watched, judged), backwards, strict=True):
        assert {HASHES[i] for i in ours} == {HASHES[::-1][i] for i in theirs}


def test_at_most_64_are_judged_by() -> None:
    parts = divide([f"{i:08x}" for i in range(1000)])
    assert [len(part) for part in parts] == [872, 64, 64]


def test_a_graph_of_a_larger_batch_needs_two_runs_to_judge_by() -> None:
    with pytest.raises(DataError, match="100 are too few, 128 are needed"):
        divide(HASHES, 8)
    assert len(divide([f"{i:08x}" for i in range(128)], 8)[2]) == 16
    assert [len(part) for part in divide([f"{i:08x}" for i in range(2000)], 100)[1:]] == [200, 200]


def test_too_few_are_refused_with_the_number() -> None:
    with pytest.raises(DataError, match="63 are too few, 64 are needed") as caught:
        divide(HASHES[:63])
    assert caught.value.hint and "--calib" in caught.value.hint


def test_pictures_are_mirrored_and_arrays_are_not() -> None:
    array = np.random.default_rng(0).random((100, 3, 8, 8)).astype(np.float32)
    rng = np.random.default_rng(1)
    for are_pictures in (True, False):
        samples = samples_of({"x": array}, HASHES, are_pictures=are_pictures)
        found = samples.varied([0, 1, 2, 3], rng)["x"].numpy()
        mirrored = [np.array_equal(found[i], array[i][..., ::-1]) for i in range(4)]
        kept = [np.array_equal(found[i], array[i]) for i in range(4)]
        assert all(a != b for a, b in zip(mirrored, kept, strict=True))
        assert any(mirrored) == are_pictures


def test_the_same_seed_mirrors_the_same_ones() -> None:
    array = np.random.default_rng(0).random((100, 3, 8, 8)).astype(np.float32)
    samples = samples_of({"x": array}, HASHES, are_pictures=True)
    first, second = (samples.varied([4, 5], np.random.default_rng(9))["x"] for _ in range(2))
    assert first.equal(second)
