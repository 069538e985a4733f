"""Masks beside images: found by name, read as classes, and held to their images."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from tests.helpers.images import RGB, calibration, evaluation, picture

TWO = replace(RGB, classes=("road", "rest"))
MASK = np.uint8([[0, 0, 1], [1, 255, 0]])


def masked(root: Path, *masks: np.ndarray | Image.Image, suffix: str = ".png") -> Path:
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for i, mask in enumerate(masks):
        picture(i, 3, 2).save(root / "images" / f"{i}.jpg")
        shown = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        shown.save(root / "masks" / f"{i}{suffix}")
    return root


def at(samples: SampleSet, i: int) -> Any:
    assert samples.targets is not None
    return pickle.loads(pickle.dumps(samples.targets)).at(i)


def test_masks_of_the_images_names(tmp_path: Path):
    samples = evaluation(masked(tmp_path, MASK, 1 - MASK % 2), TWO)
    assert samples.entries == ("0.jpg", "1.jpg") and samples.root == tmp_path / "images"
    assert samples.targets is not None and samples.targets.kind == "mask"
    assert samples.targets.rule == "masks of masks, by name; 255 is not judged"
    assert samples.name == f"{tmp_path.parent.name}/{tmp_path.name}"
    np.testing.assert_array_equal(at(samples, 0), MASK)
    np.testing.assert_array_equal(at(samples, 1), [[1, 1, 0], [0, 0, 1]])


def test_a_palettes_indices_are_the_classes(tmp_path: Path):
    mask = Image.fromarray(MASK).convert("P")
    mask.putdata(MASK.ravel().tolist())
    mask.putpalette([200, 0, 0, 0, 200, 0] * 128)
    np.testing.assert_array_equal(at(evaluation(masked(tmp_path, mask), TWO), 0), MASK)


def test_the_hash_tells_masks_and_calibration_needs_none(tmp_path: Path):
    first = evaluation(masked(tmp_path / "a", MASK), TWO)
    other = evaluation(masked(tmp_path / "b", MASK[::-1].copy()), TWO)
    assert first.content_hashes == other.content_hashes and first.hash != other.hash
    for mask in (tmp_path / "a" / "masks").iterdir():
        mask.unlink()
    assert calibration(tmp_path / "a", TWO).targets is None
    assert evaluation(tmp_path / "a", TWO, ignore_labels=True).targets is None


def test_foreground_of_any_value(tmp_path: Path):
    root = masked(tmp_path, np.uint8([[0, 255, 0], [0, 0, 0]]))
    with pytest.raises(DataError, match="all masks hold 0 and 255 alone") as e:
        evaluation(root, TWO)
    assert "?foreground=255'" in (e.value.hint or "")
    samples = evaluation(Path(f"{root}?foreground=255"), TWO)
    assert at(samples, 0).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert samples.targets is not None and samples.targets.rule.endswith("; 255 is 1")


def test_masks_in_another_folder(tmp_path: Path):
    root = masked(tmp_path, MASK)
    (root / "masks").rename(root / "labels")
    samples = evaluation(Path(f"{root / 'images'}?masks=../labels"), TWO)
    np.testing.assert_array_equal(at(samples, 0), MASK)


def test_masks_of_a_part_and_parts_are_no_one_set(tmp_path: Path):
    for part in ("train", "val"):
        root = masked(tmp_path / part, MASK)
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (root / kind).rename(tmp_path / kind / part)
        root.rmdir()
    np.testing.assert_array_equal(at(evaluation(tmp_path / "images" / "val", TWO), 0), MASK)
    with pytest.raises(DataError, match="holds the parts of a data set, train and val") as e:
        evaluation(tmp_path, TWO)
    assert e.value.hint == f"name the part: --eval {tmp_path}/images/val"


def test_masks_of_a_list(tmp_path: Path):
    masked(tmp_path, MASK)
    (tmp_path / "l.csv").write_text("image,mask\nimages/0.jpg,masks/0.png\n")
    np.testing.assert_array_equal(at(evaluation(tmp_path / "l.csv", TWO), 0), MASK)
    (tmp_path / "m.csv").write_text("image,mask\nimages/0.jpg,gone/0.png\n")
    with pytest.raises(DataError, match="1 of 1 files do not exist") as e:
        evaluation(tmp_path / "m.csv", TWO)
    assert e.value.hint is not None and "m.csv?masks=DIR'" in e.value.hint
    assert "--ignore-labels" in e.value.hint and "skip-bad" not in e.value.hint


@pytest.mark.parametrize(
    ("mask", "message", "hint"),
    [
        (
            np.uint8([[0, 1], [1, 0]]),
            "1 of 1 masks have another.*\n  0.jpg 3 x 2, mask 2 x 2",
            "",
        ),
        (np.uint8([[0, 7, 1]] * 2), "has the value 7; the model has 2 classes", "num-classes 8"),
        (np.uint8([[0, 128, 0]] * 2), "has the value 128; the model has", "?foreground=128'"),
        (np.full((2, 3), 255, np.uint8), "no mask has a pixel that is judged", "--ignore-labels"),
        (np.zeros((2, 3, 3), np.uint8), r"has colours \(RGB\)", "save the indices"),
    ],
)
def test_masks_that_cannot_be_used(tmp_path: Path, mask: np.ndarray, message: str, hint: str):
    with pytest.raises(DataError, match=message) as e:
        evaluation(masked(tmp_path, mask), TWO)
    assert hint in (e.value.hint or "")


def test_images_without_masks_are_named(tmp_path: Path):
    root = masked(tmp_path, MASK, MASK, MASK)
    (root / "masks" / "1.png").rename(root / "masks" / "one.png")
    with pytest.raises(DataError, match=r"1 of 3 images have no mask of their name.*\n  1.jpg"):
        evaluation(root, TWO)


def test_a_damaged_mask(tmp_path: Path):
    root = masked(tmp_path, MASK)
    (root / "masks" / "0.png").write_bytes(b"x")
    with pytest.raises(DataError, match=r"cannot read image .*masks/0\.png"):
        evaluation(root, TWO)
    bad = Path(f"{root}?foreground=x")
    with pytest.raises(DataError, match="foreground is 'x'; a pixel's value is needed"):
        evaluation(bad, TWO)


def test_a_foreground_is_of_networks_of_two_classes(tmp_path: Path):
    three = replace(TWO, classes=(), num_classes=3)
    with pytest.raises(DataError, match="has the value 7; the model has 3 classes") as e:
        evaluation(masked(tmp_path, np.full((2, 3), 7, np.uint8)), three)
    assert (e.value.hint or "").startswith("is it --num-classes 8?")
