"""Sample lists: their order, labels and hashes, and folders that are refused.

No network, no accelerator.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.resources import bundled
from edge_scnet.core.spec import TaskSpec
from edge_scnet.data import batches
from edge_scnet.data.checks import check_counts, check_overlap
from edge_scnet.data.samples import bundled_sets, open_samples
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import FASHION_MNIST
from tests.helpers.images import RGB, calibration, evaluation, folder, idx_files, picture

BINARY = replace(RGB, classes=(), num_classes=1)

# lists, labels and hashes


def test_image_folder_is_sorted_labelled_and_hashed(tmp_path: Path) -> None:
    hidden = ["dog/notes.txt", "dog/._a.jpeg", ".git/x.png"]
    folder(tmp_path, ["dog/b.PNG", "dog/a.jpeg", "cat/deep/er/z.WebP", "cat/y.tif", *hidden])
    samples = evaluation(tmp_path)
    assert samples.entries == ("cat/y.tif", "cat/deep/er/z.WebP", "dog/a.jpeg", "dog/b.PNG")
    assert samples.labels == (0, 0, 1, 1)
    assert (samples.class_names, samples.label_rule, samples.skipped) == (
        RGB.classes,
        "folder names are class names",
        0,
    )
    assert samples.content_hashes == tuple(
        hashlib.sha256((tmp_path / e).read_bytes()).hexdigest() for e in samples.entries
    )
    assert (samples.kind, len(samples), samples.name) == (
        "folder",
        4,
        f"{tmp_path.parent.name}/{tmp_path.name}",
    )
    with pytest.raises(FrozenInstanceError):
        samples.skipped = 1


def test_the_hash_tells_content_order_and_labels_but_not_the_place(tmp_path: Path) -> None:
    first = evaluation(folder(tmp_path / "a", ["cat/1.png", "dog/2.png"]))
    moved = evaluation(folder(tmp_path / "b", ["cat/other.png", "dog/name.png"]))
    assert first.hash == moved.hash and len(first.hash) == 64
    assert evaluation(folder(tmp_path / "c", ["cat/1.png", "dog/2.png"], seed=1)).hash != first.hash
    assert evaluation(folder(tmp_path / "d", ["dog/1.png", "cat/2.png"])).hash != first.hash
    assert evaluation(tmp_path / "a", ignore_labels=True).hash != first.hash


@pytest.mark.parametrize(
    ("folders", "classes", "labels", "rule"),
    [
        (["dog", "cat"], ("dog", "bird", "cat"), (2, 0), "folder names are class names"),
        (
            ["ANKLE-boot", "t_shirt_top"],
            ("T-shirt/top", "Ankle boot"),
            (1, 0),
            "folder names are class names",
        ),
        (["0", "02"], ("a", "b", "c"), (0, 2), "folder names are class indices"),
        (["x", "y"], ("a", "b"), (0, 1), "folders in sorted order are the classes"),
        (["1", "2"], ("a", "b"), (0, 1), "folders in sorted order are the classes"),
        (["5", "7"], (), (5, 7), "folder names are class indices"),
        (["x", "y"], (), (0, 1), "folders in sorted order are the classes"),
        (["a b", "a_b"], ("a b", "a_b"), (0, 1), "folders in sorted order are the classes"),
    ],
)
def test_labels_of_class_folders(
    tmp_path: Path, folders: list[str], classes: tuple[str, ...], labels: Any, rule: str
) -> None:
    samples = evaluation(
        folder(tmp_path, [f"{name}/1.png" for name in folders]), replace(RGB, classes=classes)
    )
    assert (samples.labels, samples.label_rule) == (labels, rule)


def test_class_folders_that_do_not_fit_the_model(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat/1.png", "cow/2.png"])
    with pytest.raises(
        DataError,
        match=r"2 class folders and rgb has 3 classes; the folder 'cow' is not one of them: c",
    ) as e:
        evaluation(root)
    assert "--ignore-labels" in (e.value.hint or "") and "0 to 2" in (e.value.hint or "")
    assert evaluation(root, ignore_labels=True).labels is None
    samples = calibration(root)
    assert (samples.labels, samples.class_names) == ((0, 1), ("cat", "cow"))
    with pytest.raises(DataError, match="2 class folders and rgb has 3"):
        evaluation(folder(tmp_path / "n", ["0/1.png", "3/2.png"]))


def test_a_model_without_class_names_still_counts_them(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", ["cat/1.png", "cow/2.png"])
    two, three = (replace(RGB, classes=(), num_classes=n) for n in (2, 3))
    assert (evaluation(root, two).labels, evaluation(root, two).class_names) == (
        (0, 1),
        ("cat", "cow"),
    )
    with pytest.raises(
        DataError,
        match=r"2 class folders and rgb has 3 classes; the folder 'cat' is not one of them: 0 to 2",
    ):
        evaluation(root, three)
    assert evaluation(folder(tmp_path / "b", ["0/1.png", "2/2.png"]), three).labels == (0, 2)
    with pytest.raises(DataError, match=r"labels up to 4; the model has 3 classes"):
        evaluation(idx_files(tmp_path / "c"), three)


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    root = folder(tmp_path, ["b.png", "a.jpg"])
    (tmp_path / "empty").mkdir()
    for samples in (evaluation(root), calibration(root), evaluation(root, None)):
        assert (samples.entries, samples.labels, samples.class_names) == (
            ("a.jpg", "b.png"),
            None,
            None,
        )


def test_an_empty_class_folder_keeps_its_place(tmp_path: Path) -> None:
    folder(tmp_path, ["a/1.png", "c/2.png"])
    (tmp_path / "b").mkdir()
    samples = evaluation(tmp_path)
    assert samples.labels == (0, 2)
    order, missing = check_counts(samples, role="evaluation")
    assert missing == "1 of 3 classes have no evaluation image: dog"
    assert order.startswith("folders in sorted order are the classes") and "--class-names" in order


def test_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)])
    assert evaluation(root, limit=4).entries == ("cat/0.png", "cat/2.png", "dog/0.png", "dog/2.png")
    assert len(evaluation(root, limit=99)) == 8
    with pytest.raises(DataError, match="at least 1"):
        evaluation(root, limit=0)


def test_linked_folders_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", ["cat/1.png"])
    (root / "dog").symlink_to(folder(tmp_path / "elsewhere", ["2.png"], seed=7))
    (root / "cat" / "up").symlink_to(root / "cat")
    assert evaluation(root).entries == ("cat/1.png", "dog/2.png")


# refused folders


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    for role, option in (("calibration", "--calib DATA"), ("evaluation", "--eval DATA")):
        with pytest.raises(DataError, match=rf"the {role} folder .*nowhere does not exist") as e:
            open_samples(tmp_path / "nowhere", model=RGB, role=role)
        assert option in (e.value.hint or "")
    with pytest.raises(
        DataError, match=r"no images in the calibration folder .*: it is empty; allowed are \.jpg"
    ) as e:
        calibration(tmp_path)
    assert e.value.hint
    (tmp_path / "a.heic").touch()
    (tmp_path / "README").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match=r"no images .*: 2 files \(\.heic, README\), 1 folders"):
        calibration(tmp_path)
    with pytest.raises(DataError, match=r"README is a file, not a folder"):
        calibration(tmp_path / "README")


def test_images_beside_class_folders(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"1 images \(such as stray\.png\) beside class folders \(such as cat\)"
    ) as e:
        calibration(folder(tmp_path, ["stray.png", "cat/1.png"]))
    assert "mv " in (e.value.hint or "")


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")  # a real one needs a user who is not root

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(DataError, match=r"cannot read folder .*: Permission denied") as e:
        calibration(tmp_path)
    assert "ls -ld" in (e.value.hint or "")


def test_a_file_that_is_no_image_is_refused_when_the_folder_is_opened(tmp_path: Path) -> None:
    root = folder(tmp_path, ["a.png"])
    (root / "b.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    with pytest.raises(
        DataError, match=r"b\.jpg: whatever its name says, it is not one of JPEG, PNG"
    ) as e:
        calibration(root)
    assert "--skip-bad" in (e.value.hint or "")
    (root / "b.jpg").unlink()
    (root / "c.png").symlink_to(root / "gone")
    with pytest.raises(DataError, match=r"c\.png: no such file"):
        calibration(root)
    (root / "a.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"none of the 2 images in .* can be read; the first: .*a\.png"
    ):
        calibration(root, skip_bad=True)


# what ships, and what is published


def test_bundled_files_are_those_of_the_list() -> None:
    root = bundled("calib_data") / "fashion-mnist"
    listed = dict(reversed(line.split()) for line in (root / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {
        f.relative_to(root).as_posix() for f in [*root.glob("*/*.gz"), root / "calib-indices.txt"]
    }
    for name, digest in listed.items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest, name
    assert "2017 Zalando SE" in (root / "LICENSE").read_text()


def test_bundled_sets_are_whole_even_disjoint_and_fast_to_open() -> None:
    calib_dir, eval_dir = bundled_sets("fashion-mnist")
    started = time.perf_counter()
    calib, test = calibration(calib_dir, FASHION_MNIST), evaluation(eval_dir, FASHION_MNIST)
    assert time.perf_counter() - started < 2  # 0.1 s on a quiet machine
    assert (len(calib), len(test), calib.name) == (1024, 10_000, "fashion-mnist/calib")
    assert np.bincount(calib.labels or ()).tolist() == [103] * 4 + [102] * 6
    assert np.bincount(test.labels or ()).tolist() == [1000] * 10
    assert check_counts(calib, role="calibration") == check_counts(test, role="evaluation") == []
    check_overlap(calib, test)
    indices = [int(line) for line in (calib_dir.parent / "calib-indices.txt").read_text().split()]
    assert len(set(indices)) == 1024 and max(indices) < 60_000
    assert batches.load(calib, FASHION_MNIST, range(3)).shape == (3, 1, 28, 28)
    with pytest.raises(
        DataError, match=r"no data set '\.\./x' ships with edge-scnet; there is fashion-mnist"
    ) as e:
        bundled_sets("../x")
    assert "--calib DIR" in (e.value.hint or "")


# what a folder is not, and what lies in it besides


def test_parts_of_a_data_set_are_no_classes(tmp_path: Path) -> None:
    root = folder(tmp_path, ["train/cat/a.png", "val/cat/b.png", "test/cat/c.png"])
    with pytest.raises(DataError, match=r"holds the parts of a data set, test and train and") as e:
        evaluation(root)
    assert e.value.hint == f"name the part: --eval {root / 'test'}"
    with pytest.raises(DataError) as e:
        calibration(root)
    assert e.value.hint == f"name the part: --calib {root / 'train'}"
    assert len(evaluation(root, replace(RGB, classes=("test", "train", "val")))) == 3
    (root / "annotations").mkdir()
    with pytest.raises(DataError, match="holds the parts of a data set"):
        evaluation(root)


def test_images_beside_their_annotations_are_no_class(tmp_path: Path) -> None:
    root = folder(tmp_path, ["images/a.png", "images/b.png"])
    with pytest.raises(DataError, match="has images in images, which is no class") as e:
        evaluation(root)
    assert (e.value.hint or "").endswith(f"--eval {root / 'images'}")
    (root / "annotations").mkdir()
    (root / "annotations" / "val.json").write_text("{}")
    with pytest.raises(DataError) as e:
        evaluation(root)
    assert (e.value.hint or "").endswith(f"--eval {root / 'annotations' / 'val.json'}")


def test_files_of_other_types_are_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat/a.png", "dog/b.png"])
    for name in ("cat/c.GIF", "dog/d.gif", "dog/e.heic", "dog/Thumbs.db", ".DS_Store"):
        (root / name).write_bytes(b"x")
    assert evaluation(root).ignored == ((".gif", 2), (".heic", 1))
    assert "3 files of other types in the evaluation set are not read: 2 .gif, 1 .heic" in (
        check_counts(evaluation(root), role="evaluation")
    )
    (root / "cat" / "f.avif").write_bytes(b"x")
    assert evaluation(root / "cat").ignored == ((".avif", 1), (".gif", 1))


def test_settings_that_a_source_has_no_use_for(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat/a.png", "dog/b.png"])
    with pytest.raises(DataError, match="has no use for label") as e:
        evaluation(Path(f"{root}?label=x"))
    assert "there is duplicates: leave label out" in (e.value.hint or "")


def test_sizes_are_those_of_upright_images(tmp_path: Path) -> None:
    for name, options in (("a.jpg", {}), ("b.png", {}), ("c.png", {"plain": True})):
        image = picture(1, 6, 4)
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(tmp_path / name, **({} if options else {"exif": exif.tobytes()}))
    assert evaluation(tmp_path).image_sizes == ((4, 6), (4, 6), (6, 4))
    assert evaluation(tmp_path).short_sides == (4, 4, 4)


@pytest.mark.parametrize(
    ("kind", "columns", "folders"),
    [("binary", 1, 2), (None, 1, 2), ("embedding", 128, 3), ("classification", 3, 3)],
)
def test_classes_of_a_task_that_are_no_columns(
    tmp_path: Path, kind: str | None, columns: int, folders: int
) -> None:
    root = folder(tmp_path, [f"{name}/a.png" for name in "abc"[:folders]])
    task = None if kind is None else TaskSpec(kind=kind)
    model = replace(RGB, classes=(), num_classes=columns, task=task)
    assert evaluation(root, model).labels == tuple(range(folders))
    with pytest.raises(DataError, match="has 3 class folders and rgb has 2 classes"):
        evaluation(folder(tmp_path / "more", ["a/a.png", "b/a.png", "c/a.png"]), BINARY)
