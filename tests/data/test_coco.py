"""COCO files: boxes, masks, keypoints, and categories as the network's classes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.coco_masks import Rle, bounds, drawn
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from tests.helpers.images import RGB, calibration, evaluation, picture

UNKNOWN = replace(RGB, classes=())
CATEGORIES = [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}, {"id": 9, "name": "car"}]


def box(image: int, category: int, *bbox: float, **more: Any) -> dict[str, Any]:
    found = {"id": image, "image_id": image, "category_id": category, "bbox": list(bbox)}
    return {**found, **more}


def content(*annotations: Mapping[str, Any], count: int = 3) -> dict[str, Any]:
    return {
        "info": {"year": 2026},
        "images": [
            {"id": i, "file_name": f"{i}.png", "width": 8, "height": 6} for i in range(count)
        ],
        "annotations": list(annotations),
        "categories": CATEGORIES,
    }


def bare(segmentation: Any) -> dict[str, Any]:
    return {"image_id": 0, "category_id": 3, "segmentation": segmentation}


TWO = (box(0, 7, 1, 2, 3, 2), box(0, 3, 0, 0, 8, 6, area=40.5, iscrowd=1), box(2, 3, 4, 1, 2, 5))


def coco(root: Path, what: Any, name: str = "annotations.json", images: str = ".") -> Path:
    (root / images).mkdir(parents=True, exist_ok=True)
    for i in range(3):
        picture(i, 8, 6).save(root / images / f"{i}.png")
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(what if isinstance(what, str) else json.dumps(what))
    return root / name


def at(samples: SampleSet, i: int) -> Any:
    assert samples.targets is not None
    return pickle.loads(pickle.dumps(samples.targets)).at(i)


def test_boxes_in_pixels_and_classes_by_name(tmp_path: Path):
    samples = evaluation(coco(tmp_path, content(*TWO)))
    assert samples.entries == ("0.png", "1.png", "2.png") and samples.labels is None
    assert samples.image_sizes == ((8, 6),) * 3
    assert samples.targets is not None
    assert (samples.targets.kind, samples.targets.count) == ("boxes", 3)
    assert samples.targets.rule == "boxes, categories are classes by name"
    assert samples.targets.names == RGB.classes
    found = at(samples, 0)
    np.testing.assert_array_equal(found.corners, np.float32([[1, 2, 4, 4], [0, 0, 8, 6]]))
    assert found.classes.tolist() == [0, 1] and found.classes.dtype == np.int64
    assert (found.crowd.tolist(), found.areas.tolist()) == ([False, True], [6, 40.5])
    assert at(samples, 1).corners.shape == (0, 4)


def test_the_hash_tells_boxes(tmp_path: Path):
    path = coco(tmp_path, content(*TWO))
    first = evaluation(path)
    path.write_text(json.dumps(content(*TWO[:2], box(2, 3, 4, 1, 2, 4))))
    assert evaluation(path).hash != first.hash
    assert evaluation(path, ignore_labels=True).targets is None


@pytest.mark.parametrize(
    ("count", "setting", "classes", "rule"),
    [
        (None, "", [1, 0], "categories in the order of their ids are the classes"),
        (3, "", [1, 0], "categories in the order of their ids are the classes"),
        (10, "", [7, 3], "category ids are class indices"),
        (10, "?classes=order", [1, 0], "categories in the order of their ids are the classes"),
        (None, "?classes=ids", [7, 3], "category ids are class indices"),
    ],
)
def test_categories_without_class_names(
    tmp_path: Path, count: int | None, setting: str, classes: list[int], rule: str
):
    path = coco(tmp_path, content(*TWO))
    samples = evaluation(Path(f"{path}{setting}"), replace(UNKNOWN, num_classes=count))
    assert at(samples, 0).classes.tolist() == classes
    assert samples.targets is not None and samples.targets.rule == f"boxes, {rule}"


@pytest.mark.parametrize(
    ("images", "name"),
    [
        ("images", "annotations.json"),
        ("val2017", "annotations/instances_val2017.json"),
        ("images/val", "annotations/instances_val.json"),
    ],
)
def test_images_where_exports_have_them(tmp_path: Path, images: str, name: str):
    samples = evaluation(coco(tmp_path, content(*TWO), name, images))
    assert samples.root.resolve() == (tmp_path / images).resolve()


def test_images_in_a_folder_that_is_named(tmp_path: Path):
    path = coco(tmp_path, content(*TWO), images="elsewhere/deep")
    with pytest.raises(DataError, match=r"its first image, 0\.png, is in none of") as e:
        evaluation(path)
    assert "--eval '" in (e.value.hint or "") and "images=DIR" in (e.value.hint or "")
    assert len(evaluation(Path(f"{path}?images=elsewhere/deep"))) == 3


def test_calibration_reads_the_images_alone(tmp_path: Path):
    wrong = {**content(*TWO), "annotations": "none", "categories": 3}
    samples = calibration(coco(tmp_path, wrong), limit=2)
    assert (samples.entries, samples.targets) == (("0.png", "1.png"), None)


def test_an_image_that_is_left_out_takes_its_boxes_along(tmp_path: Path):
    path = coco(tmp_path, content(*TWO))
    (tmp_path / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"cannot read image .*1\.png"):
        evaluation(path)
    samples = evaluation(path, skip_bad=True)
    assert samples.skipped == 1 and at(samples, 1).corners.tolist() == [[4, 1, 6, 6]]


SQUARE = [[1, 1, 4, 1, 4, 5, 1, 5]]


def test_masks_are_drawn_in_the_classes_values(tmp_path: Path):
    model = replace(UNKNOWN, num_classes=4, task=TaskSpec(kind="segmentation"))
    large = {"size": [6, 8], "counts": [0, 48]}
    annotations = (
        box(0, 7, 1, 1, 3, 4, segmentation=SQUARE),
        box(0, 3, 0, 0, 8, 6, segmentation=large),
        box(1, 9, 1, 1, 3, 4, segmentation=SQUARE),
        box(2, 9, 1, 1, 3, 4, segmentation=SQUARE, iscrowd=1),
    )
    samples = evaluation(coco(tmp_path, content(*annotations)), model)
    assert samples.targets is not None
    assert samples.targets.rule == (
        "segmentations, categories in the order of their ids are the classes, behind the"
        " background; what is in none is class 0"
    )
    assert samples.targets.names == ("background", "dog", "cat", "car")
    expected = np.full((6, 8), 1)
    expected[1:5, 1:4] = 2
    np.testing.assert_array_equal(at(samples, 0), expected)
    np.testing.assert_array_equal(np.unique(at(samples, 1)), [0, 3])
    np.testing.assert_array_equal(np.unique(at(samples, 2)), [0, 255])


def test_pixels_of_no_object_are_not_judged_where_no_class_is_left_for_them(tmp_path: Path):
    path = coco(tmp_path, content(box(0, 3, 1, 1, 3, 4, segmentation=SQUARE)))
    samples = evaluation(Path(f"{path}?as=mask"), replace(UNKNOWN, num_classes=3))
    assert np.unique(at(samples, 0)).tolist() == [0, 255]


def test_boxes_of_segmentations(tmp_path: Path):
    annotation = box(0, 3, segmentation=SQUARE)
    del annotation["bbox"]
    samples = evaluation(coco(tmp_path, content(annotation)))
    assert at(samples, 0).corners.tolist() == [[1, 1, 4, 5]]
    rle = Rle(size=(6, 8), counts=[7, 4, 2, 4, 31])
    assert bounds(rle, Path("a.json")) == (1.0, 1.0, 2.0, 4.0)


def test_categories_in_each_image(tmp_path: Path):
    model = replace(RGB, task=TaskSpec(kind="multilabel"))
    samples = evaluation(coco(tmp_path, content(*TWO)), model)
    assert [at(samples, i).tolist() for i in range(3)] == [[1, 1, 0], [0, 0, 0], [0, 1, 0]]


def test_keypoints_of_the_one_object(tmp_path: Path):
    points = [1, 2, 2, 0, 0, 0, 5, 4, 1]
    annotations = [box(i, 3, 0, 0, 1, 1, keypoints=points) for i in range(3)]
    path = coco(tmp_path, content(*annotations))
    samples = evaluation(Path(f"{path}?as=keypoints"))
    np.testing.assert_array_equal(at(samples, 0), [[1, 2, 1], [0, 0, 0], [5, 4, 1]])
    path.write_text(json.dumps(content(*annotations, annotations[0])))
    with pytest.raises(DataError, match=r"1 of 3 images do not have keyp.*\n  0.png: 2"):
        evaluation(Path(f"{path}?as=keypoints"))


@pytest.mark.parametrize("seed", range(20))
def test_polygons_and_packed_run_lengths_are_those_of_pycocotools(seed: int):
    coder = pytest.importorskip("pycocotools.mask", reason="pycocotools is in the dev extra")
    rng = np.random.default_rng(seed)
    mask = rng.random((13, 17)) < rng.random()
    packed = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
    own = drawn(Rle(size=(13, 17), counts=packed["counts"].decode()), (17, 13))
    np.testing.assert_array_equal(own, mask)
    angles = np.sort(rng.random(9)) * 2 * np.pi
    radii = 20 + 25 * rng.random(9)
    polygon = np.stack([60 + radii * np.cos(angles), 50 + radii * np.sin(angles)], axis=1)
    theirs = coder.decode(coder.frPyObjects([polygon.ravel().tolist()], 100, 120))[..., 0] > 0
    ours = drawn([polygon.ravel().tolist()], (120, 100))
    # pycocotools rounds the outline to pixels' corners
    assert (ours & theirs).sum() / (ours | theirs).sum() > 0.96


def test_a_pixel_is_in_a_polygon_where_its_centre_is():
    inside = drawn([[0.4, 0.6, 2.6, 0.6, 2.6, 2.4, 0.4, 2.4]], (4, 3))
    np.testing.assert_array_equal(inside, [[0, 0, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
    beyond = drawn([[-5, -5, 50, -5, 50, 50, -5, 50]], (4, 3))
    assert beyond.all()


@pytest.mark.parametrize(
    ("what", "message", "hint"),
    [
        ("{", "is not JSON", "head -c 200"),
        (
            "[]",
            "is no COCO file: it is []; it must be a table, and results of a detector",
            "images",
        ),
        ({"cat": 3}, "is no COCO file: images is missing", '"annotations"'),
        ({"images": [], "annotations": [], "categories": []}, "has no images", "empty"),
        (content(), "has no annotations: nothing can be right or wrong", "--ignore-labels"),
        (content(box(8, 3, 0, 0, 1, 1)), "1 of 1 annotations are of images that it", "leave them"),
        (content(box(0, 4, 0, 0, 1, 1)), "annotations have category_id 4, which is", "add them"),
        (
            content(box(0, 9, 0, 0, 1, 1)),
            "has 3 categories and rgb has 3 classes; 'car' is none",
            "s",
        ),
        (content(box(0, 3, 0, 0, -1, 1)), "the bbox (0.0, 0.0, -1.0, 1.0); x, y, width", "corner"),
        (content({**TWO[0], "bbox": [1, 2]}), "annotations[0].bbox", '"images"'),
        (content({**TWO[0], "bbox": [1, 2, 3]}), "it must be an array of 4", '"images"'),
        (content(bare([])), "has the bbox None; x, y, width", "corner"),
        (content(bare([[1, 2, 3, 4, 5, 6, 7]])), "a polygon has 7 numbers", "leave"),
        (content(bare({"size": [6, 8], "counts": "P"})), "it ends within a number", "size"),
        (content(bare({"size": [6, 8], "counts": [1, 2]})), "it has 3 pixels", "size"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, what: Any, message: str, hint: str):
    with pytest.raises(DataError) as e:
        evaluation(coco(tmp_path, what))
    assert message in e.value.message and hint in (e.value.hint or "")


def test_images_of_another_size_than_the_file_says(tmp_path: Path):
    what = content(*TWO)
    what["images"][1]["width"] = 80
    with pytest.raises(DataError, match=r"1 of 3 images have another.*\n  1.png 8 x 6, in the"):
        evaluation(coco(tmp_path, what))


@pytest.mark.parametrize(
    ("segmentation", "message"),
    [
        ([[1, 1, 2, 2]], "a polygon has 4 numbers"),
        ({"size": [6, 8], "counts": [0, 40]}, "do not fit an image of 8 x 6: it has 40 pixels"),
        ({"size": [8, 6], "counts": [0, 48]}, "do not fit an image of 8 x 6: it is 6 x 8"),
        ({"size": [6, 8], "counts": "\u20ac"}, "do not fit an image of 8 x 6: the letter"),
        ({"size": [6, 8], "counts": [-1, 49]}, "do not fit an image of 8 x 6"),
    ],
)
def test_segmentations_that_cannot_be_used(tmp_path: Path, segmentation: Any, message: str):
    path = coco(tmp_path, content(box(0, 3, 0, 0, 1, 1, segmentation=segmentation)))
    with pytest.raises(DataError) as e:
        evaluation(Path(f"{path}?as=mask"), UNKNOWN)
    assert message in e.value.message and e.value.hint


def test_masks_of_annotations_that_have_none(tmp_path: Path):
    path = coco(tmp_path, content(*TWO))
    with pytest.raises(DataError, match="no annotation has a segmentation"):
        evaluation(Path(f"{path}?as=mask"), UNKNOWN)


def test_boxes_outside_of_their_image(tmp_path: Path):
    with pytest.raises(DataError, match=r"image 0\.png: the box 50, 2, 53, 4 .* is outside"):
        evaluation(coco(tmp_path, content(box(0, 7, 50, 2, 3, 2))))


def test_hints_name_what_can_help(tmp_path: Path):
    what = content(*TWO)
    what["images"][1].update(width=6, height=8)
    with pytest.raises(DataError, match=r"1\.png 8 x 6, in the file 6 x 8") as e:
        evaluation(coco(tmp_path, what))
    assert "--no-exif" in (e.value.hint or "")
    with pytest.raises(DataError, match="3 categories and rgb has 2 classes") as e:
        evaluation(coco(tmp_path, content(*TWO)), replace(UNKNOWN, num_classes=2))
    assert "classes=" not in (e.value.hint or "")
