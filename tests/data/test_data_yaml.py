"""data.yaml: its parts, paths, names and points; and what it may not hold."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.optional import install_hint
from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.data_yaml import class_names
from edge_scnet.errors import DataError, MissingRuntimeError
from tests.helpers.images import RGB, calibration, evaluation, picture

pytest.importorskip("yaml", reason="PyYAML is in the extra detection")

TWO = replace(RGB, classes=(), num_classes=2)
BOX = "1 0.5 0.5 0.5 0.4\n"
GOOD = "train: images/train\nval: images/val\nnames: [cat, dog]\n"


def write(root: Path, text: str = GOOD, *, label: str = BOX) -> Path:
    """A set of two images in each part; the seeds of its pictures differ."""
    for i, part in enumerate(("train", "val", "test")):
        for kind in ("images", "labels"):
            (root / kind / part).mkdir(parents=True, exist_ok=True)
        for j in range(2):
            picture(2 * i + j, 20, 10).save(root / "images" / part / f"{part}{j}.png")
            (root / "labels" / part / f"{part}{j}.txt").write_text(label)
    file = root / "data.yaml"
    file.write_text(text)
    return file


def test_the_role_says_the_part(tmp_path: Path):
    file = write(tmp_path)
    samples = evaluation(file, TWO)
    assert samples.entries == ("val0.png", "val1.png")
    assert samples.name == f"{tmp_path.name}/data.yaml (val)"
    assert samples.targets is not None and samples.targets.names == ("cat", "dog")
    assert samples.targets.rule == (
        "YOLO's labels of val in data.yaml, categories in the order of their ids are the classes"
    )
    np.testing.assert_allclose(samples.targets.at(0).corners, [[5, 3, 15, 7]], atol=1e-5)
    calibrated = calibration(file, TWO)
    assert calibrated.entries == ("train0.png", "train1.png") and calibrated.targets is None


def test_a_setting_says_another_part(tmp_path: Path):
    file = write(tmp_path, GOOD + "test: images/test\n")
    assert evaluation(f"{file}?split=test", TWO).entries == ("test0.png", "test1.png")
    assert evaluation(f"{file}?split=train", TWO).entries == ("train0.png", "train1.png")


def test_names_by_index_and_class_names_of_the_model(tmp_path: Path):
    names = "names:\n  1: Dog\n  0: cat\n"
    file = write(tmp_path, "val: images/val\n" + names)
    samples = evaluation(file, replace(RGB, classes=("dog", "mouse", "cat"), num_classes=3))
    assert samples.targets is not None and samples.targets.at(0).classes.tolist() == [0]
    assert samples.targets.names == ("dog", "mouse", "cat")
    assert class_names(file) == ("cat", "Dog")
    with pytest.raises(DataError, match="'cat' is none of them") as e:
        evaluation(write(tmp_path, GOOD, label="0 .5 .5 .1 .1\n"), replace(RGB, classes=("a", "b")))
    assert "classes=order" in (e.value.hint or "")


def test_names_are_what_is_written(tmp_path: Path):
    file = write(tmp_path, "val: images/val\nnames: [no, 010, null]\n")
    assert class_names(file) == ("no", "010", "null")


@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("sets/data.yaml", "path: .."),
        ("data.yaml", "path: ."),
        ("sets/data.yaml", "path: pets"),  # above, as an archive beside its file
        ("pets/data.yaml", "path: pets"),  # the file is in the folder that it names
        ("pets/data.yaml", "path: datasets/pets"),
    ],
)
def test_where_paths_are_from(tmp_path: Path, at: str, path: str):
    root = tmp_path / "pets" if "pets" in at + path else tmp_path
    text = write(root, f"{path}\n{GOOD}").read_text()
    file = tmp_path / at
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert evaluation(file, TWO).root == root / "images" / "val"


def test_the_working_folder_and_a_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write(tmp_path / "datasets" / "pets")
    file = tmp_path / "own" / "deep" / "data.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"path: datasets/pets\n{GOOD}")
    with pytest.raises(DataError, match="val is images/val, which does not exist; tried:") as e:
        evaluation(file, TWO)
    assert f"\n  {file.parent}/datasets/pets/images/val" in e.value.message
    assert e.value.hint == f"say what its paths are from: --eval '{file}?images=DIR'"
    named = evaluation(f"{file}?images={tmp_path / 'datasets' / 'pets'}", TWO)
    assert named.entries == ("val0.png", "val1.png")
    monkeypatch.chdir(tmp_path)
    assert evaluation(file, TWO).entries == ("val0.png", "val1.png")


def test_folders_as_roboflow_writes_them(tmp_path: Path):
    for kind, name in (("images", "a.png"), ("labels", "a.txt")):
        (tmp_path / "valid" / kind).mkdir(parents=True)
        file = tmp_path / "valid" / kind / name
        _ = picture(1, 20, 10).save(file) if kind == "images" else file.write_text(BOX)
    (tmp_path / "data.yaml").write_text("val: ../valid/images\nnc: 2\nnames: ['cat', 'dog']\n")
    targets = evaluation(tmp_path / "data.yaml", TWO).targets
    assert targets is not None and targets.at(0).classes.tolist() == [1]


def test_several_folders_and_lists(tmp_path: Path):
    file = write(tmp_path, "val: [images/val, test.txt]\nnames: [cat, dog]\n")
    (tmp_path / "test.txt").write_text("./images/test/test1.png\n")
    samples = evaluation(file, TWO)
    assert samples.root == tmp_path / "images"
    assert samples.entries == ("val/val0.png", "val/val1.png", "test/test1.png")
    assert samples.targets is not None and len(samples.targets.at(2).classes) == 1
    (tmp_path / "test.txt").write_text("images/val/val0.png\nimages/no.png\n")
    with pytest.raises(DataError, match="1 of 2 files do not exist below"):
        evaluation(file, TWO)
    (tmp_path / "test.txt").write_text("images/val/val0.png\n")
    with pytest.raises(DataError, match="1 of 3 images of val are in it twice"):
        evaluation(file, TWO)


def test_points_as_it_says(tmp_path: Path):
    text = GOOD + "kpt_shape: [2, 2]\n"
    file = write(tmp_path, text, label="1 0.5 0.5 0.5 0.4 0.1 0.2 0.9 0.8\n")
    points = evaluation(file, replace(TWO, task=TaskSpec(kind="keypoints"))).targets
    assert points is not None and points.kind == "keypoints"
    np.testing.assert_allclose(points.at(1), [[2, 2, 1], [18, 8, 1]], atol=1e-5)
    boxes = evaluation(file, TWO).targets
    assert boxes is not None
    np.testing.assert_allclose(boxes.at(0).corners, [[5, 3, 15, 7]], atol=1e-5)
    file.write_text(text.replace("2]", "3]"))
    with pytest.raises(DataError, match="8 numbers behind the class; a box and 2 points of 3") as e:
        evaluation(file, TWO)
    assert "lines=2x2" in (e.value.hint or "") and "kpt_shape" in (e.value.hint or "")


def test_long_lines_are_outlines_where_no_points_are_told(tmp_path: Path):
    file = write(tmp_path, label="1 0.5 0.5 0.5 0.5 0.5 1 0.5 1\n0 0 0 .5 0 .5 1 0 1\n")
    boxes = evaluation(file, TWO).targets
    assert boxes is not None
    np.testing.assert_allclose(boxes.at(0).corners, [[10, 5, 10, 10], [0, 0, 10, 10]], atol=1e-5)
    model = replace(TWO, num_classes=3, task=TaskSpec(kind="segmentation"))
    masks = evaluation(file, model).targets
    assert masks is not None and masks.names == ("background", "cat", "dog")
    assert (masks.at(0)[5] == [1] * 10 + [0] * 10).all()


def test_links_are_kept(tmp_path: Path):
    """Labels are where the link is, not where it leads."""
    write(tmp_path / "set", "val: images/val\nnames: [cat, dog]\n")
    (tmp_path / "set" / "images").rename(tmp_path / "photos")
    (tmp_path / "set" / "images").symlink_to(tmp_path / "photos")
    targets = evaluation(tmp_path / "set" / "data.yaml", TWO).targets
    assert targets is not None and "no label" not in targets.rule


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("train: images/train\nnames: [a, b]\n", "has no val; it has train", "?split=train'"),
        ("names: [a, b]\n", "has none of train, val, test; it has names", "train, val"),
        ("val: images/val\n", "has neither names nor nc", "names"),
        ("val: images/val\nnames: [a, b]\nnc: 3\n", "nc is 3, and names has 2", "nc: 2"),
        ("val: images/val\nnames: {0: a, 2: b}\n", "names has 2 classes and no 1", "1: NAME"),
        ("val: images/val\nnames: {a: 0}\n", "an index of names is 'a'", "sed -n 2p"),
        ("val: images/val\nnames: cat\n", "names is 'cat'; a list, or 0: NAME", "sed -n 2p"),
        ("val: images/val\nnames: []\n", "names is empty", "names"),
        ("val: {a: b}\nnames: [a, b]\n", "line 1: val is a mapping of 1 keys", "sed -n 1p"),
        ("val: images/val\nval: x\nnames: [a]\n", "line 2: val is there twice", "leave one"),
        ("val: images/val\nnames: [a, b]\nkpt_shape: 17\n", "kpt_shape is '17'", "sed -n 3p"),
        ("val: images/val\nnames: [a, b\n", "is not YAML", "sed -n"),
        ("just a text\n", "has no keys", "train, val"),
        ("", "has no keys", "train, val"),
        ("- a\n", "has no keys", "train, val"),
        ("[" * 5000, "is not YAML", "train, val"),
        ("val: https://x.org/a.zip\nnames: [a, b]\n", "nothing is downloaded; tried", "images=DIR"),
        ("val: images/no\nnames: [a, b]\n", "val is images/no, which does not exist", "images="),
        ("val: data.yaml\nnames: [a, b]\n", "data.yaml is a file; a folder, or a list", "ls -l"),
        ("val: images/val\nnames: [a, b]\nkpt_shape: [5, 3]\n", "all lines are boxes", "kpt_shape"),
        ("val: images/val\nnames: [a]\n", "val0.txt has class 1; ", "add its name"),
        ("val: images/val\nnames: [a, b, c]\n", "names 3 classes, and rgb has 2", "classes=ids"),
    ],
)
def test_what_it_may_not_hold(tmp_path: Path, text: str, message: str, hint: str):
    with pytest.raises(DataError) as e:
        evaluation(write(tmp_path, text), TWO)
    assert message in e.value.message and hint in (e.value.hint or "")


def test_a_part_without_labels_is_told_with_the_files_that_were_looked_for(tmp_path: Path):
    file = write(tmp_path)
    (tmp_path / "labels").rename(tmp_path / "annotations")
    with pytest.raises(DataError, match=r"labels/val/val0\.txt and so on") as e:
        evaluation(file, TWO)
    assert "--ignore-labels" in (e.value.hint or "")
    assert evaluation(file, TWO, ignore_labels=True).targets is None


def test_without_pyyaml_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingRuntimeError) as e:
        evaluation(write(tmp_path), TWO)
    assert e.value.hint == install_hint("detection")


@pytest.mark.parametrize("setting", ["split=training", "foreground=1", "label=x"])
def test_settings_that_it_has_no_use_for(tmp_path: Path, setting: str):
    with pytest.raises(DataError, match=setting.partition("=")[0]):
        evaluation(f"{write(tmp_path)}?{setting}", TWO)
