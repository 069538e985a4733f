"""`predict`: what is printed for each task, and what is drawn."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.manifest import load_manifest, save_manifest
from edge_scnet.core.spec import TaskSpec
from tests.helpers.folders import SPEC, constant, float_build, identity
from tests.helpers.tool import Built, Run


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """An image of 200 x 100 pixels, red on the left and green on the right."""
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:, :100, 0], pixels[:, 100:, 1] = 255, 255
    Image.fromarray(pixels).save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


@pytest.mark.parametrize(
    "file", ["", "model.xml", "model-fp32.xml", "model.onnx", "model.qdq.onnx"]
)
def test_predict_names_the_class(built: Built, bag: Path, invoke: Run, file: str) -> None:
    outcome = invoke("predict", built.folder / file, bag, bag, "--top", "3")
    assert (outcome.code, outcome.stderr) == (0, "")
    first, second = outcome.stdout.splitlines()
    assert first == second
    assert re.fullmatch(rf"{re.escape(str(bag))}: Bag \d+\.\d %(, [\w /-]+ \d+\.\d %){{2}}", first)


def test_predict_json(built: Built, bag: Path, invoke: Run) -> None:
    (row,) = json.loads(invoke("predict", built.folder, bag, "--json", "--top", "99").stdout)[
        "predictions"
    ]
    assert row["image"] == str(bag) and row["top"][0]["class"] == "Bag"
    assert row.keys() == {"form", "image", "task", "drawn", "top"} and row["form"] == "classes"
    shares = [entry["probability"] for entry in row["top"]]
    assert (
        len(shares) == 10
        and shares == sorted(shares, reverse=True)
        and sum(shares) == pytest.approx(1, abs=1e-4)
    )


def test_predict_refuses_an_unreadable_image_by_name(
    built: Built, bag: Path, tmp_path: Path, invoke: Run
) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(bag.read_bytes()[:-40])
    for path, words in ((cut, "cannot read image"), (tmp_path / "absent.png", "no such file")):
        outcome = invoke("predict", built.folder, bag, path)
        assert outcome.code == 4 and outcome.stdout == ""
        assert (
            outcome.stderr.startswith(f"error: cannot read image {path}: ")
            and words in outcome.stderr
            and outcome.hint
        )


@pytest.fixture
def folder_of_images(tmp_path: Path, halves: Path) -> Path:
    """Two images, one of them in a folder of its own, and one that is cut off between them."""
    folder = tmp_path / "photos"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.png").write_bytes(halves.read_bytes())
    (folder / "b.png").write_bytes(halves.read_bytes()[:-40])
    (folder / "inner" / "c.PNG").write_bytes(halves.read_bytes())
    (folder / "notes.txt").write_text("no image")
    return folder


def test_a_folder_stands_for_all_images_below_it(
    tmp_path: Path, folder_of_images: Path, invoke: Run
) -> None:
    build = float_build(tmp_path / "b", identity(), classes=("red", "green", "blue"))
    refused = invoke("predict", build, folder_of_images)
    assert (refused.code, refused.stdout) == (4, "")
    assert refused.stderr.startswith(f"error: cannot read image {folder_of_images / 'b.png'}: ")
    assert "--skip-bad" in refused.hint
    outcome = invoke("predict", build, folder_of_images, "--skip-bad")
    assert outcome.code == 0
    names = [line.partition(": ")[0] for line in outcome.stdout.splitlines()]
    assert names == [str(folder_of_images / "a.png"), str(folder_of_images / "inner" / "c.PNG")]
    skipped, counted = outcome.stderr.splitlines()
    assert skipped.startswith(f"skipped: cannot read image {folder_of_images / 'b.png'}: ")
    assert counted == "1 of 3 files could not be read and were left out"
    shown = json.loads(invoke("predict", build, folder_of_images, "--skip-bad", "--json").stdout)
    assert [row["image"] for row in shown["predictions"]] == names
    assert [row["image"] for row in shown["skipped"]] == [str(folder_of_images / "b.png")]
    drawn = tmp_path / "drawn"
    drawing = invoke("predict", build, folder_of_images, "--skip-bad", "--draw", drawn)
    assert drawing.code == 0, drawing.stderr
    assert sorted(file.name for file in drawn.iterdir()) == ["a.png", "c.PNG"]


def test_a_folder_of_nothing_that_can_be_read_is_one_error(
    tmp_path: Path, folder_of_images: Path, invoke: Run
) -> None:
    build = float_build(tmp_path / "b", identity(), classes=("red", "green", "blue"))
    none = invoke("predict", build, folder_of_images / "b.png", "--skip-bad")
    assert none.code == 4 and "none of the 1 files can be read" in none.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = invoke("predict", build, empty)
    assert outcome.code == 4 and f"the folder {empty} holds no images" in outcome.stderr


def test_a_map_is_printed_by_shares_and_drawn(tmp_path: Path, halves: Path, invoke: Run) -> None:
    build = float_build(tmp_path / "b", identity(), classes=("red", "green", "blue"))
    outcome = invoke("predict", build, halves, "--draw", tmp_path / "drawn")
    assert outcome.code == 0, outcome.stderr
    drawn = tmp_path / "drawn" / "halves.png"
    assert outcome.stdout == f"{halves}: red 50.0 %, green 50.0 %\n  drawn: {drawn}\n"
    with Image.open(drawn) as picture:
        assert picture.size == (200, 100)
    # an earlier drawing is renewed, in another format too
    assert invoke("predict", build, halves, "--draw", tmp_path / "drawn").code == 0
    (row,) = json.loads(invoke("predict", build, halves, "--json").stdout)["predictions"]
    assert row == {
        "form": "shares",
        "image": str(halves),
        "task": "segmentation",
        "drawn": None,
        "shares": [{"class": "red", "percent": 50.0}, {"class": "green", "percent": 50.0}],
    }


def test_a_network_of_no_known_use_is_read_as_features(
    tmp_path: Path, halves: Path, invoke: Run
) -> None:
    model = constant({"a": np.full((1, 7), 0.25), "b": np.arange(6.0).reshape(1, 2, 3)})
    outcome = invoke("predict", float_build(tmp_path / "b", model), halves)
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.splitlines() == [
        f"{halves}: 2 outputs",
        "  a  7 float32, 0.25 to 0.25, mean 0.25",
        "  b  2 x 3 float32, 0 to 5, mean 2.5",
    ]
    assert outcome.stderr.startswith("note: read as features, told from") and (
        "--task" in outcome.stderr
    )


def test_the_task_is_what_the_caller_says(tmp_path: Path, halves: Path, invoke: Run) -> None:
    model = constant({"out": np.array([[0.5, 0.25, 0.75, 0.5]])})
    build = float_build(tmp_path / "b", model)
    points = invoke("predict", build, halves, "--task", "keypoints").stdout.splitlines()
    assert points == [
        f"{halves}: 2 points",
        "  point 0  100.0, 25.0",
        "  point 1  150.0, 50.0",
    ]
    values = invoke("predict", build, halves, "--task", "regression").stdout
    assert values == f"{halves}: value 0 0.5, value 1 0.25, value 2 0.75, value 3 0.5\n"
    vector = json.loads(invoke("predict", build, halves, "--task", "embedding", "--json").stdout)
    assert vector["predictions"][0]["vector"] == [0.5, 0.25, 0.75, 0.5]
    labels = ("--task", "multilabel", "--task-args", '{"threshold": 0.6}')
    assert invoke("predict", build, halves, *labels).stdout == f"{halves}: label 2 75.0 %\n"
    wrong = invoke("predict", build, halves, "--task", "keypoint")
    assert wrong.code == 4 and "did you mean --task keypoints?" in wrong.hint


def test_boxes_are_printed_and_drawn(tmp_path: Path, halves: Path, invoke: Run) -> None:
    rows = np.float32([[[1, 1, 4, 7, 0.9, 1], [4, 2, 8, 8, 0.4, 0]]])
    build = float_build(
        tmp_path / "b",
        constant({"out": rows}),
        task=TaskSpec(kind="detection", arguments={"threshold": 0.5, "decode": "end2end"}),
        classes=("cat", "dog"),
    )
    shown = [
        f"{halves}: 1 object that scores 50 % or more",
        "  dog 90.0 %  25.0, 12.5, 100.0, 87.5",
    ]
    assert invoke("predict", build, halves).stdout.splitlines() == shown
    # what is said now is added to what the build says
    lower = ("--task-args", '{"threshold": 0.3}')
    both = invoke("predict", build, halves, *lower, "--json", "--draw", tmp_path / "d.png")
    (row,) = json.loads(both.stdout)["predictions"]
    assert [each["class"] for each in row["objects"]] == ["dog", "cat"]
    assert row["objects"][1]["score"] == pytest.approx(0.4)
    with Image.open(row["drawn"]) as picture:
        near = np.asarray(picture)[40:60, 22:30].reshape(-1, 3)
    assert (64, 180, 255) in set(map(tuple, near.tolist()))
    assert invoke("predict", build, halves, "--decode", "end2end").stdout.splitlines() == shown
    other = invoke("predict", build, halves, "--decode", "ssd", *lower)
    assert other.code == 4 and "decode ssd" in other.stderr and other.stdout == ""


def test_the_task_of_the_build_holds(tmp_path: Path, halves: Path, invoke: Run) -> None:
    model = constant({"out": np.array([[2.0]])})
    build = float_build(
        tmp_path / "b", model, task=TaskSpec(kind="binary", arguments={}), classes=("cat",)
    )
    outcome = invoke("predict", build, halves)
    assert (outcome.stdout, outcome.stderr) == (f"{halves}: cat 88.1 %, not cat 11.9 %\n", "")


def test_arrays_are_predicted_row_by_row(tmp_path: Path, halves: Path, invoke: Run) -> None:
    build = float_build(tmp_path / "b", constant({"out": np.array([[3.5]])}))
    np.save(tmp_path / "x.npy", np.zeros((2, *SPEC.input_shape), np.float32))
    outcome = invoke("predict", build, tmp_path / "x.npy")
    assert outcome.stdout == "".join(f"{tmp_path}/x.npy[{i}]: 3.5\n" for i in (0, 1))
    # beside images too, each placed by its own size
    mixed = invoke("predict", build, halves, tmp_path / "x.npy", halves, "--task", "features")
    names = [line.partition(": ")[0] for line in mixed.stdout.splitlines() if ": 1 output" in line]
    assert names == [str(halves), *(f"{tmp_path}/x.npy[{i}]" for i in (0, 1)), str(halves)]
    drawn = invoke("predict", build, tmp_path / "x.npy", "--draw", tmp_path / "out")
    assert drawn.code == 4 and "holds arrays" in drawn.stderr and not (tmp_path / "out").exists()


def test_a_picture_cannot_fill_an_input_that_is_none(
    tmp_path: Path, halves: Path, invoke: Run
) -> None:
    build = float_build(tmp_path / "b", identity(), input_shape=(3, 64))
    outcome = invoke("predict", build, halves)
    assert outcome.code == 4 and "takes 3 x 64, which a picture cannot fill" in outcome.stderr


def test_an_output_that_is_no_classifier_s_is_refused(
    tmp_path: Path, halves: Path, invoke: Run
) -> None:
    build = float_build(tmp_path / "b", identity())
    outcome = invoke("predict", build, halves, "--task", "classification")
    assert outcome.code == 6 and "is not a classifier" in outcome.stderr


def test_nothing_is_overwritten_but_drawings(tmp_path: Path, halves: Path, invoke: Run) -> None:
    build = float_build(tmp_path / "b", identity(), classes=("red", "green", "blue"))
    before = halves.read_bytes()
    for out in (halves, tmp_path):
        outcome = invoke("predict", build, halves, "--draw", out)
        assert outcome.code == 4 and "would overwrite the image" in outcome.stderr
    assert halves.read_bytes() == before
    other = tmp_path / "other.jpg"
    Image.new("RGB", (4, 4)).save(other)
    outcome = invoke("predict", build, halves, "--draw", other)
    assert outcome.code == 4 and "is no drawing of edge-scnet's" in outcome.stderr
    assert outcome.stdout == ""


def test_a_build_of_arrays_takes_no_pictures(halves: Path, tmp_path: Path, invoke: Run) -> None:
    def built(name: str, fed: str | None, mean_from: str) -> Path:
        rule = replace(SPEC.preprocessing, origins={"mean": mean_from, "std": mean_from})
        folder = float_build(tmp_path / name, identity(), preprocessing=rule)
        save_manifest(folder, replace(load_manifest(folder), fed_with=fed))
        return folder

    task = ("--task", "features")
    outcome = invoke("predict", built("a", "arrays", "default"), halves, *task)
    assert outcome.code == 4 and "was built with arrays" in outcome.stderr
    assert ".npy or .npz" in outcome.hint
    # an earlier manifest; pictures; somebody said how
    for name, fed, origin in (
        ("b", None, "default"),
        ("c", "pictures", "default"),
        ("d", "arrays", "--mean"),
    ):
        assert invoke("predict", built(name, fed, origin), halves, *task).code == 0


def test_codes_of_pixels_are_refused_where_an_engine_takes_prepared_numbers(
    tmp_path: Path, invoke: Run
) -> None:
    """Whatever their type and file are: fed, they would only give wrong answers."""
    folder = float_build(tmp_path / "b", identity())
    save_manifest(folder, replace(load_manifest(folder), fed_with="pictures"))
    codes = np.random.default_rng(0).integers(0, 256, (2, *SPEC.input_shape), np.uint8)
    np.save(tmp_path / "u8.npy", codes)
    np.save(tmp_path / "i64.npy", codes.astype(np.int64))
    np.save(tmp_path / "f32.npy", codes.astype(np.float32))
    np.savez(tmp_path / "u8.npz", codes)
    np.save(tmp_path / "last.npy", codes.transpose(0, 2, 3, 1))
    for name in ("u8.npy", "i64.npy", "f32.npy", "u8.npz", "last.npy"):
        outcome = invoke("predict", folder, tmp_path / name, "--task", "features")
        assert outcome.code == 4 and outcome.stdout == "", name
        assert f"{name} holds whole numbers from 0 to 255, as pixels are" in outcome.stderr
        assert "--input uint8" in outcome.hint
    prepared = (codes / np.float32(255) - 0.5) / np.float32(0.25)
    np.save(tmp_path / "prepared.npy", prepared.astype(np.float32))
    outcome = invoke("predict", folder, tmp_path / "prepared.npy", "--task", "features")
    assert (outcome.code, outcome.stderr) == (0, "")


def test_a_network_of_pixels_as_they_are_is_fed_with_them(tmp_path: Path, invoke: Run) -> None:
    pixels = replace(SPEC.preprocessing, pixel_max=255.0, mean=(), std=())
    folder = float_build(tmp_path / "b", identity(), preprocessing=pixels)
    save_manifest(folder, replace(load_manifest(folder), fed_with="pictures"))
    np.save(tmp_path / "u8.npy", np.full((1, *SPEC.input_shape), 200, np.uint8))
    outcome = invoke("predict", folder, tmp_path / "u8.npy", "--task", "features")
    assert (outcome.code, outcome.stderr) == (0, "")
