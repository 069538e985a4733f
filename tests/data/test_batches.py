"""Batches of a set: their order, subsets, and images that cannot be read."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.data import batches
from edge_scnet.data.batches import load_pixels
from edge_scnet.data.checks import check_counts
from edge_scnet.data.samples import open_samples, subset
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import FASHION_MNIST
from tests.helpers.images import (
    RGB,
    calibration,
    evaluation,
    folder,
    picture,
    truncated_jpeg,
)
from tests.helpers.images import idx_folder as idx_of


def test_a_truncated_jpeg_is_refused_by_name_or_skipped_and_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{i}.png" for i in range(3)])
    truncated_jpeg(root / "1bad.jpg")
    samples = calibration(root)
    with pytest.raises(DataError, match=r"cannot read image .*1bad\.jpg: .*truncated") as e:
        list(batches.batches(samples, RGB, batch=2))
    assert "--skip-bad" in (e.value.hint or "")
    kept = calibration(root, skip_bad=True)
    assert (kept.entries, kept.skipped) == (("0.png", "1.png", "2.png"), 1)
    assert "1 of 4 evaluation images are unreadable and were skipped" in check_counts(
        kept, role="evaluation"
    )
    assert batches.load(kept, RGB).shape == (3, 3, 4, 4)


def test_batches_keep_the_order(tmp_path: Path) -> None:
    samples = evaluation(folder(tmp_path, [f"{i}.png" for i in range(5)]))
    got = list(batches.batches(samples, RGB, batch=2))
    assert [b.shape for b in got] == [(2, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]
    np.testing.assert_array_equal(np.concatenate(got), batches.load(samples, RGB))
    np.testing.assert_array_equal(batches.load(samples, RGB, [3, 0]), np.concatenate(got)[[3, 0]])
    np.testing.assert_array_equal(load_pixels(samples, 3, RGB), np.asarray(picture(3)))


def test_a_subset_is_evenly_spaced_and_loads_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)
    samples = open_samples(
        idx_of(tmp_path / "idx", pixels, np.arange(10)), model=FASHION_MNIST, role="evaluation"
    )
    few = subset(samples, 4)
    assert (
        few.entries == ("0", "2", "5", "7")
        and few.labels == (0, 2, 5, 7)
        and few.hash != samples.hash
    )
    np.testing.assert_array_equal(
        batches.load(few, FASHION_MNIST), batches.load(samples, FASHION_MNIST, [0, 2, 5, 7])
    )
    assert len(subset(samples, 99)) == 10


def test_threads_change_nothing(tmp_path: Path) -> None:
    samples = evaluation(folder(tmp_path, [f"{i:02}.png" for i in range(23)]))
    wanted = batches.load(samples, RGB, threads=1)
    for threads in (2, 5, 40, None):
        np.testing.assert_array_equal(batches.load(samples, RGB, threads=threads), wanted)
    np.testing.assert_array_equal(
        np.concatenate(list(batches.batches(samples, RGB, batch=10, threads=3))), wanted
    )


def test_of_several_threads_the_first_bad_image_is_named(tmp_path: Path) -> None:
    samples = evaluation(folder(tmp_path, [f"{i:02}.png" for i in range(20)]))
    for name in ("03.png", "17.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:60])
    with pytest.raises(DataError, match=r"03\.png"):
        batches.load(samples, RGB, threads=4)


def test_threads_leave_the_filters_of_warnings_as_they_were(tmp_path: Path) -> None:
    samples = evaluation(folder(tmp_path, [f"{i:02}.png" for i in range(40)]))
    before = list(warnings.filters)
    for _ in range(5):
        batches.load(samples, RGB, threads=8)
    assert list(warnings.filters) == before
