"""YOLO's labels: found beside the images, turned into pixels, and refused where they are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.errors import DataError
from tests.helpers.images import RGB, calibration, evaluation, picture

TWO = replace(RGB, classes=(), num_classes=2)


def labelled(root: Path, *texts: str | None, part: str = "") -> Path:
    images, labels = root / "images" / part, root / "labels" / part
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for i, text in enumerate(texts):
        picture(i, 20, 10).save(images / f"{i}.png")
        if text is not None:
            (labels / f"{i}.txt").write_text(text)
    return root


def test_boxes_in_pixels(tmp_path: Path):
    samples = evaluation(labelled(tmp_path, "1 0.5 0.5 0.5 0.4\n0 .1 .1 .2 .2\n", None, ""), TWO)
    assert samples.targets is not None and samples.targets.kind == "boxes"
    assert samples.targets.rule == f"YOLO's labels in {tmp_path.name}/labels"
    boxes = samples.targets.at(0)
    np.testing.assert_allclose(boxes.corners, [[5, 3, 15, 7], [0, 0, 4, 2]], atol=1e-5)
    assert boxes.classes.tolist() == [1, 0]
    assert [len(samples.targets.at(i).classes) for i in (1, 2)] == [0, 0]
    assert samples.root == tmp_path / "images"


def test_the_folder_of_images_that_ultralytics_has(tmp_path: Path):
    root = labelled(tmp_path, "0 0.5 0.5 1 1\n", part="val")
    samples = evaluation(root / "images" / "val", TWO)
    assert samples.targets is not None
    assert samples.targets.at(0).corners.tolist() == [[0, 0, 20, 10]]
    assert calibration(root / "images" / "val", TWO).targets is None


def test_outlines_give_their_boxes(tmp_path: Path):
    samples = evaluation(labelled(tmp_path, "0 0.1 0.2 0.5 0.1 0.3 0.9\n"), TWO)
    assert samples.targets is not None
    np.testing.assert_allclose(samples.targets.at(0).corners, [[2, 1, 10, 9]], atol=1e-5)


def test_images_whose_labels_are_elsewhere_have_none(tmp_path: Path):
    root = labelled(tmp_path, None, None)
    (root / "labels").rmdir()
    assert evaluation(root / "images", TWO).targets is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 0.5 0.5 1 1\n", "0.txt has class 2; the model has 2 classes, from 0"),
        ("0 0.5 0.5 1\n", "0.txt, line 1 is '0 0.5 0.5 1'; class cx cy w h are needed"),
        ("\n0 5 5 10 10\n", "0.txt, line 2 is '0 5 5 10 10'; class cx cy w h are needed"),
        ("0.5 0.5 0.5 1 1\n", "line 1 is '0.5 0.5 0.5 1 1'"),
        ("1e999 0.5 0.5 1 1\n", "line 1 is '1e999 0.5 0.5 1 1'"),
        ("0 nan 0.5 1 1\n", "line 1 is '0 nan 0.5 1 1'"),
        ("cat 0.5 0.5 1 1\n", "line 1 is 'cat 0.5 0.5 1 1'"),
        ("\n", "has no object in any image"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError) as e:
        evaluation(labelled(tmp_path, text), TWO)
    assert message in e.value.message and e.value.hint
