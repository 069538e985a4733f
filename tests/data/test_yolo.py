"""YOLO's labels: found beside the images, turned into pixels, and refused where they are none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.checks import check_counts
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
    assert samples.targets.rule == (
        f"YOLO's labels in {tmp_path.name}/labels; 1 of 3 images have no label file"
    )
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


POSE = "0 0.5 0.5 0.4 0.4 0.4 0.4 2 0.6 0.6 0\n"


def test_poses_give_their_boxes_and_lines_that_may_be_either_are_refused(tmp_path: Path):
    samples = evaluation(labelled(tmp_path / "a", POSE, POSE), TWO)
    assert samples.targets is not None
    np.testing.assert_allclose(samples.targets.at(1).corners, [[6, 3, 14, 7]], atol=1e-5)
    flat = "0 0.5 0.5 0.4 0.4 0.4 0.4 0.6 0.6\n"
    root = labelled(tmp_path / "b", flat, flat)
    with pytest.raises(DataError, match="an outline or a box and 2 points of 2 numbers") as e:
        evaluation(root, TWO)
    assert f"--eval '{root}?lines=outline', lines=2x2, lines=box (" in (e.value.hint or "")
    for lines, corners in (("outline", [8, 4, 12, 6]), ("2x2", [6, 3, 14, 7])):
        said = evaluation(f"{root}?lines={lines}", TWO).targets
        assert said is not None
        np.testing.assert_allclose(said.at(0).corners, [corners], atol=1e-5)
    varied = labelled(tmp_path / "c", flat, "0 0.2 0.2 0.4 0.2 0.3 0.4\n")
    outlines = evaluation(varied, TWO).targets
    assert outlines is not None
    np.testing.assert_allclose(outlines.at(0).corners, [[8, 4, 12, 6]], atol=1e-5)


def test_most_images_without_a_label_file_are_told(tmp_path: Path):
    samples = evaluation(labelled(tmp_path, "0 0.5 0.5 1 1\n", *[None] * 4), TWO)
    assert samples.targets is not None and "4 of 5 images have no label" in samples.targets.rule
    assert "4 of 5 images have no label file" in check_counts(samples, role="evaluation")[0]


def test_parts_are_no_one_set(tmp_path: Path):
    labelled(tmp_path, "0 0.5 0.5 1 1\n", part="val")
    labelled(tmp_path, "0 0.5 0.5 1 1\n", part="train")
    with pytest.raises(DataError, match="holds the parts of a data set, train and val") as e:
        evaluation(tmp_path, TWO)
    assert e.value.hint == f"name the part: --eval {tmp_path}/images/val"


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
        ("0 0.5 0.5 0.4 0.4 0.9\n", "5 numbers behind the class, such as 0.txt, line 1"),
        ("0 0.1 0.2 0.5 0.1 0.3 9\n", "0.txt, line 1 has a point at 9; shares of the image"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, text: str, message: str):
    with pytest.raises(DataError) as e:
        evaluation(labelled(tmp_path, text), TWO)
    assert message in e.value.message and e.value.hint


# a box and three points, of which the second is not labelled
POINTS = "0 0.5 0.5 0.4 0.4 0.1 0.2 2 0 0 0 0.9 0.8 1\n"
KEYPOINTS = replace(TWO, task=TaskSpec(kind="keypoints"))


def test_poses_give_keypoints_to_their_task(tmp_path: Path):
    root = labelled(tmp_path, POINTS, POINTS)
    points = evaluation(root, KEYPOINTS).targets
    assert points is not None and points.kind == "keypoints"
    assert points.rule.startswith("keypoints of one object in each image, YOLO's labels in ")
    expected = [[2, 2, 1], [0, 0, 0], [18, 8, 1]]
    np.testing.assert_allclose(points.at(1), expected, atol=1e-5)
    boxes = evaluation(f"{root}?as=boxes", KEYPOINTS).targets
    assert boxes is not None and boxes.kind == "boxes"
    by_setting = evaluation(f"{root}?as=keypoints", TWO).targets
    assert by_setting is not None and by_setting.hash == points.hash


def test_points_of_two_numbers_are_not_labelled_below_0(tmp_path: Path):
    root = labelled(tmp_path, "0 0.5 0.5 0.4 0.4 0.1 0.2 -1 -1\n")
    points = evaluation(f"{root}?lines=2x2", KEYPOINTS).targets
    assert points is not None
    np.testing.assert_allclose(points.at(0), [[2, 2, 1], [0, 0, 0]], atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "text", "message", "hint"),
    [
        ("?lines=17x4", POINTS, "lines is '17x4'; box, outline, or the points of", "lines=17x3"),
        (
            "?lines=2x3",
            POINTS,
            "13 numbers behind the class; a box and 2 points of 3 numbers are 10",
            "lines=3x3",
        ),
        ("?lines=outline", POINTS, "13 numbers behind the class; an outline has x and y", "=3x3"),
        ("", POINTS * 2, "1 of 1 images do not have keypoints of one object each", "cut each"),
        ("", "0 0.5 0.5 0.4 0.4\n", "lines hold a box and no points", "lines=17x3"),
        ("?lines=2x3", "0 .5 .5 .4 .4\n", "all lines are boxes, class cx cy w h, and 2x3", "leave"),
        ("?lines=1x3", "0 .5 .5 .4 .4 9 .1 2\n", "line 1 has a point at 9; shares", "sed -n 1p"),
    ],
)
def test_poses_that_cannot_be_used(
    tmp_path: Path, setting: str, text: str, message: str, hint: str
):
    root = labelled(tmp_path, text)
    with pytest.raises(DataError) as e:
        evaluation(f"{root}{setting}", KEYPOINTS)
    assert message in e.value.message and hint in (e.value.hint or "")


def test_outlines_give_masks_to_segmentation(tmp_path: Path):
    # the left half of 20 x 10 pixels
    root = labelled(tmp_path, "1 0 0 0.5 0 0.5 1 0 1\n0 0 0 0.1 0 0.1 0.2\n", "")
    model = replace(TWO, num_classes=3, task=TaskSpec(kind="segmentation"))
    with pytest.raises(DataError, match="is the network's first class what is in no outline") as e:
        evaluation(root, model)
    assert "classes=order" in (e.value.hint or "") and "data.yaml" in (e.value.hint or "")
    masks = evaluation(f"{root}?classes=order", model).targets
    assert masks is not None and masks.kind == "mask"
    mask = masks.at(0)
    assert mask.shape == (10, 20) and (mask[5] == [2] * 10 + [0] * 10).all() and mask[0, 1] == 1
    assert (masks.at(1) == 0).all()
    as_they_are = evaluation(f"{root}?classes=ids", model).targets
    assert as_they_are is not None and as_they_are.at(0)[5].tolist() == [1] * 10 + [255] * 10


def test_masks_of_boxes_are_refused(tmp_path: Path):
    root = labelled(tmp_path, "1 0.5 0.5 1 1\n")
    model = replace(TWO, num_classes=3, task=TaskSpec(kind="segmentation"))
    with pytest.raises(DataError, match=r"0\.txt, line 1 is a box, no outline") as e:
        evaluation(f"{root}?classes=order", model)
    assert "as=boxes" in (e.value.hint or "")
