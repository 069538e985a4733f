"""The drawn scenes: the same for ever, with boxes that hold their shapes, and as files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.examples import data
from edge_scnet.examples.shapes import CLASSES, Shape, scenes


def test_a_scene_depends_on_its_seed_and_number_alone():
    first = list(scenes(4, seed=3))
    (later,) = scenes(1, seed=3, first=2)
    assert np.array_equal(first[2].image, later.image)
    assert not np.array_equal(first[2].image, next(scenes(1, seed=4, first=2)).image)
    assert {scene.image.shape for scene in first} == {(96, 96, 3)}


def test_boxes_hold_their_shapes_and_nothing_else():
    for scene in scenes(40, seed=5):
        assert 1 <= len(scene.classes) <= 4
        assert scene.corners.min() >= 0 and scene.corners.max() <= 96
        inside = np.zeros((96, 96), bool)
        for (x1, y1, x2, y2), kind in zip(scene.corners, scene.classes, strict=True):
            rows, columns = slice(int(y1), int(np.ceil(y2))), slice(int(x1), int(np.ceil(x2)))
            own = scene.mask[rows, columns] == kind + 1
            # each edge is touched, to a pixel where corners are sharp
            assert own[:, :3].any() and own[:, -3:].any() and own[:3].any() and own[-3:].any()
            inside[rows, columns] = True
        assert not scene.mask[~inside].any()


@pytest.mark.parametrize("kind", range(len(CLASSES)))
def test_the_area_of_a_shape_is_its_formula(kind: int):
    shape = Shape(kind=kind, x=40.3, y=37.8, radius=21.0, angle=0.4)
    _, covered = shape.coverage(96)
    corners = (0, 4, 3)[kind]
    area = np.pi * 21**2 if not corners else corners / 2 * 21**2 * np.sin(2 * np.pi / corners)
    assert covered.sum() == pytest.approx(area, rel=0.01)


def test_files_of_the_detection_example(tmp_path: Path):
    command = data.write(tmp_path, data.Task.DETECTION, calib=3, evaluation=5)
    assert f"--eval {tmp_path}/eval.json" in command and "--decode yolox" in command
    assert len(list((tmp_path / "calib").iterdir())) == 3
    coco = json.loads((tmp_path / "eval.json").read_text())
    assert [item["name"] for item in coco["categories"]] == list(CLASSES)
    assert (tmp_path / "classes.txt").read_text().split() == list(CLASSES)
    (scene,) = scenes(1, seed=1_000_001, first=4)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "eval" / "0004.png")), scene.image)
    own = [item for item in coco["annotations"] if item["image_id"] == 4]
    assert len(own) == len(scene.classes)
    x, y, width, height = own[0]["bbox"]
    assert np.allclose([x, y, x + width, y + height], scene.corners[0], atol=2e-3)
    assert own[0]["category_id"] == scene.classes[0] + 1
