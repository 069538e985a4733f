"""Counts of sample sets, and images that two sets share."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.data import checks
from edge_scnet.data.checks import check_counts, check_overlap, shared_with
from edge_scnet.data.samples import MIN_CALIBRATION, open_samples, subset
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import FASHION_MNIST
from tests.helpers.images import GREY, calibration, evaluation, folder, idx_files, prepared
from tests.helpers.images import idx_folder as idx_of


@pytest.mark.parametrize(("count", "warnings"), [(100, 1), (299, 1), (300, 0)])
def test_calibration_counts(tmp_path: Path, count: int, warnings: int) -> None:
    samples = calibration(idx_files(tmp_path, count), GREY)
    found = check_counts(samples, role="calibration")
    assert len(found) == warnings and all(f"{count} calibration images" in line for line in found)


def test_too_few_calibration_images(tmp_path: Path) -> None:
    samples = calibration(idx_files(tmp_path, 99), GREY)
    with pytest.raises(DataError, match=r"has 99 calibration images; at least 100") as e:
        check_counts(samples, role="calibration")
    assert "edge-scnet build --calib" in (e.value.hint or "")
    assert check_counts(samples, role="evaluation") == []
    with pytest.raises(DataError, match=r"\(7 unreadable ones left out\)"):
        check_counts(replace(samples, skipped=7), role="calibration")


def test_uncovered_classes_are_named(tmp_path: Path) -> None:
    found = check_counts(evaluation(idx_files(tmp_path, 3), GREY), role="evaluation")
    assert found == [
        "7 of 10 classes have no evaluation image: Dress, Coat, Sandal, Shirt, Sneaker, ..."
    ]


def test_overlap_is_found_by_content(tmp_path: Path) -> None:
    calib = calibration(folder(tmp_path / "calib", ["a.png", "b.png"]))
    other = evaluation(folder(tmp_path / "other", ["a.png", "b.png"], seed=10))
    check_overlap(calib, other)
    both = evaluation(folder(tmp_path / "eval", ["cat/new.png", "dog/x.png"], seed=1))
    message = (
        r"1 of 2 evaluation images are calibration images too:\n  .*calib/b\.png = .*cat/new\.png"
    )
    with pytest.raises(DataError, match=message) as e:
        check_overlap(calib, both)
    assert "--calib" in (e.value.hint or "")


def test_images_that_two_sets_share_are_found_by_their_hashes(tmp_path: Path) -> None:
    samples = calibration(folder(tmp_path / "calib", ["a.png", "b.png", "c.png"]))
    assert shared_with(samples, samples.content_hashes[1:]) == [1, 2]
    assert shared_with(samples, ["another"]) == []


def test_copies_in_the_calibration_set_are_a_warning(tmp_path: Path) -> None:
    root = folder(tmp_path / "calib", ["a.png", "b.png"])
    (root / "c.png").write_bytes((root / "a.png").read_bytes())
    for i in range(MIN_CALIBRATION):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(root / f"{i}.png")
    found = check_counts(calibration(root), role="calibration")
    assert (
        "1 calibration images are copies of others, such as a.png = c.png: they count twice;"
        " --drop-duplicates leaves them out" in found
    )


def test_copies_in_the_evaluation_set_are_said_too(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat/a.png", "dog/b.png"])
    (root / "dog" / "c.png").write_bytes((root / "cat" / "a.png").read_bytes())
    assert check_counts(evaluation(root), role="evaluation")[:2] == [
        "1 evaluation images are copies of others, such as cat/a.png = dog/c.png: they count twice;"
        " --drop-duplicates leaves them out",
        "1 of these have copies of another label, such as cat/a.png and dog/c.png",
    ]
    dropped = evaluation(Path(f"{root}?duplicates=drop"))
    assert check_counts(dropped, role="evaluation")[0] == (
        "1 evaluation images are copies of others and were left out"
    )


def test_images_of_another_size_than_the_models_input_are_said(tmp_path: Path) -> None:
    idx_set = open_samples(
        idx_of(tmp_path / "idx", np.zeros((3, 20, 24), np.uint8), np.arange(3)),
        model=FASHION_MNIST,
        role="evaluation",
    )
    assert checks.check_size(idx_set, FASHION_MNIST, role="evaluation") == [
        "the evaluation images are 24 x 20 and the model's input is 28 x 28: they are resized"
    ]
    assert (
        checks.check_size(idx_set, prepared(FASHION_MNIST, short_side=32), role="evaluation") == []
    )
    for number, size in enumerate([(28, 40), (20, 40), (60, 27)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    shutil.rmtree(tmp_path / "idx")
    folder = open_samples(tmp_path, model=FASHION_MNIST, role="calibration")
    assert checks.check_size(folder, FASHION_MNIST, role="calibration") == [
        "2 of 3 calibration images are smaller than the model's input of 28 x 28 (the smallest is"
        " 20 pixels wide or high): they are enlarged"
    ]
    assert checks.check_size(subset(folder, 1), FASHION_MNIST, role="calibration") == []
