"""data check: counts, unreadable files, copies, shared samples, and what the network gets."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError, DataError, ExitCode
from edge_scnet.pipeline.data_check import check_data
from tests.helpers.images import picture, truncated_jpeg
from tests.helpers.onnx_files import user_model, written
from tests.helpers.tool import MODEL, Run

NAMES = ("T-shirt_top", "Trouser")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """120 calibration and 6 evaluation pictures of two classes."""
    for part, count in (("calib", 120), ("eval", 6)):
        for i in range(count):
            folder = tmp_path / part / NAMES[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            picture(1000 * (part == "eval") + i, 20 + i, 30).save(folder / f"{i:03}.png")
    return tmp_path


def checked(root: Path, **options: Any) -> Any:
    sets = {"calib": str(root / "calib"), "evaluation": str(root / "eval")}
    return check_data(MODEL, **{**sets, **options})


def test_sets_that_are_well(pictures: Path):
    found = checked(pictures)
    calib, evaluation = found.sets
    assert (calib.count, calib.classes, calib.rarest, calib.most) == (120, 2, 60, 60)
    assert (evaluation.count, evaluation.truth) == (6, "folder names are class names")
    assert calib.sizes is not None and calib.sizes.smaller_than_input == 8
    assert calib.sizes.smallest == (20, 30) and calib.sizes.largest == (139, 30)
    assert (found.shared, found.problems, found.exit_code) == (0, (), ExitCode.OK)
    assert len(found.channels) == 1 and found.channels[0].lowest < found.channels[0].highest
    assert [line for line in found.warnings if "120 calibration images: 300" in line]
    assert found.norm.name == "bn1"


@pytest.mark.slow
def test_unreadable_copies_and_shared_samples(pictures: Path):
    calib, evaluation = pictures / "calib" / NAMES[0], pictures / "eval" / NAMES[0]
    truncated_jpeg(calib / "cut.jpg")
    (calib / "copy.png").write_bytes((calib / "000.png").read_bytes())
    (evaluation / "seen.png").write_bytes((calib / "002.png").read_bytes())
    (evaluation / "moving.gif").write_bytes(b"GIF89a")
    found = checked(pictures)
    facts, of_evaluation = found.sets
    assert facts.unreadable == 1 and "cut.jpg" in facts.why[0]
    assert (facts.copies, facts.example) == (1, ("T-shirt_top/000.png", "T-shirt_top/copy.png"))
    assert of_evaluation.ignored == {".gif": 1}
    assert (found.shared, found.shared_example) == (
        1,
        ("T-shirt_top/002.png", "T-shirt_top/seen.png"),
    )
    assert len(found.problems) == 2 and found.exit_code == ExitCode.DATA
    dropped = checked(pictures, calib=f"{pictures / 'calib'}?duplicates=drop")
    assert (dropped.sets[0].copies, dropped.sets[0].copies_left_out) == (0, 1)


def test_too_few_and_none(pictures: Path):
    few = check_data(MODEL, calib=str(pictures / "eval"), evaluation=None)
    assert few.problems == (
        "6 calibration samples: at least 100 are needed, 300 and more are better",
    )
    assert few.shared is None


def test_inputs_that_are_all_alike(tmp_path: Path):
    np.savez(tmp_path / "x.npz", np.zeros((120, 1, 28, 28), np.float32))
    found = check_data(MODEL, calib=str(tmp_path / "x.npz"), evaluation=None)
    assert "channel 0 of the input is 0 everywhere: it tells nothing" in found.warnings
    assert found.input == "1 x 28 x 28, arrays as they are"


def test_a_model_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text(
        "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3))\n"
    )
    with pytest.raises(DataError, match="has no bundled images: which are to be checked"):
        check_data(
            "plain:net", calib=None, evaluation=None, model_options=ModelOptions(input_size=16)
        )


@pytest.mark.slow
def test_the_command(pictures: Path, invoke: Run):
    arguments = ("data", "check", MODEL, "--calib", pictures / "calib", "--eval", pictures / "eval")
    outcome = invoke(*arguments)
    assert outcome.code == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert lines[0].startswith(f"model         {MODEL}, grey")
    assert "120 images of" in lines[1] and "2 classes (60 each), folder names are" in lines[1]
    assert any(line.startswith("BatchNorm     bn1, distance from training") for line in lines)
    (pictures / "calib" / NAMES[0] / "x.png").write_bytes(b"")
    outcome = invoke(*arguments, "--json")
    assert outcome.code == ExitCode.DATA
    content = json.loads(outcome.stdout)
    assert content["exit_code"] == 4 and content["sets"][0]["unreadable"] == 1
    assert content["norm"]["name"] == "bn1"


def test_pictures_of_the_inputs_size_are_looked_at_as_a_build_takes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    user = user_model()
    written(tmp_path, user)
    for i in range(2):
        image = np.zeros((8, 8, 3), np.uint8)
        image[0, 0] = 255
        (tmp_path / "calib").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "calib" / f"{i}.png")
    found = check_data(
        "net.onnx",
        calib="calib",
        evaluation=None,
        model_options=ModelOptions(preprocess="imagenet", mean=(0.0,) * 3, std=(1.0,) * 3),
    )
    assert "8 x 8 as the pictures are" in found.input
    # resized, the corner would be blurred and cut off
    assert found.channels[0].highest == 1.0 and found.channels[0].mean == pytest.approx(1 / 64)


@pytest.mark.slow
def test_it_warns_as_a_build_does(pictures: Path, invoke: Run):
    calib, evaluation = pictures / "calib", pictures / "eval"
    truncated_jpeg(calib / NAMES[0] / "cut.jpg")
    copy = (evaluation / NAMES[0] / "000.png").read_bytes()
    (evaluation / NAMES[1] / "copy.png").write_bytes(copy)
    found = checked(pictures, skip_bad=True)
    assert (found.problems, found.exit_code) == ((), ExitCode.OK)
    text = " | ".join(found.warnings)
    assert "1 of 121 calibration images are unreadable and were skipped" in text
    assert "1 of these have copies of another label" in text
    assert "8 of 10 classes have no evaluation image" in text
    arguments = ("data", "check", MODEL, "--calib", calib, "--eval", evaluation)
    assert invoke(*arguments, "--skip-bad").code == 0
    assert invoke(*arguments).code == ExitCode.DATA


def test_orders_and_units_that_are_guesses_are_said(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(pictures)
    written(pictures, user_model())
    for i in range(4):
        (pictures / "sorted" / "abcd"[i]).mkdir(parents=True)
        picture(i, 9, 9).save(pictures / "sorted" / "abcd"[i] / "x.png")
    options = ModelOptions(mean=(123.0,) * 3, std=(58.0,) * 3)
    found = check_data("net.onnx", calib=None, evaluation="sorted", model_options=options)
    text = " | ".join(found.warnings)
    assert "as in torchvision's ImageFolder" in text and "--pixel-max 255" in text


def test_a_list_whose_files_are_all_missing_names_20(pictures: Path):
    names = "\n".join(f"{i:02}.png" for i in range(30))
    (pictures / "list.csv").write_text(f"path\n{names}\n")
    with pytest.raises(DataError, match="30 of 30 files do not exist") as caught:
        check_data(MODEL, calib=str(pictures / "list.csv"), evaluation=None)
    assert "19.png" in caught.value.message and "and 10 more" in caught.value.message
    assert "--images DIR" in (caught.value.hint or "")
    assert "--skip-bad" not in (caught.value.hint or "")


def test_mean_and_std_in_wrong_units_are_said_once(pictures: Path):
    written(pictures, user_model())
    options = ModelOptions(mean=(123.0,) * 3, std=(58.0,) * 3)
    found = check_data(
        str(pictures / "net.onnx"),
        calib=str(pictures / "calib"),
        evaluation=None,
        model_options=options,
    )
    doubts = [line for line in found.warnings if "mean" in line and "BatchNorm" not in line]
    assert len(doubts) == 1 and "--pixel-max 255" in doubts[0]


def grey_network(path: Path, columns: int = 1) -> str:
    """A file with an input of 1 x 6 x 6 and an output of some columns."""
    text = (
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N, 1, 6, 6] x) => '
        f"(float[N, {columns}] y) <float[36, {columns}] w> {{\n"
        "a = Relu(x)\nb = Flatten(a)\ny = MatMul(b, w)\n}"
    )
    model = onnx.parser.parse_model(text)
    weights = np.ones((36, columns), np.float32)
    del model.graph.initializer[:]
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "w"))
    onnx.save(model, path)
    return str(path)


def test_arrays_of_one_channel_need_no_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    name = grey_network(tmp_path / "grey.onnx", 3)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((9, 1, 6, 6), np.float32))
    found = check_data(name, calib=None, evaluation=str(tmp_path / "x.npy"))
    assert (found.input, found.problems) == ("1 x 6 x 6, arrays as they are", ())
    (tmp_path / "arrays").mkdir()
    (tmp_path / "x.npy").rename(tmp_path / "arrays" / "x.npy")
    assert not check_data(name, calib=None, evaluation=str(tmp_path / "arrays")).problems
    (tmp_path / "reads_1x6x6.py").write_text(
        "import numpy as np\ndef read(path): return np.load(path)[0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    read = f"{tmp_path / 'arrays'}?read=reads_1x6x6:read"
    assert not check_data(name, calib=None, evaluation=read).problems
    # pictures have no default still
    picture(0, 6, 6).save(tmp_path / "a.png")
    (tmp_path / "arrays" / "x.npy").unlink()
    (tmp_path / "a.png").rename(tmp_path / "arrays" / "a.png")
    with pytest.raises(ArtifactError, match="--mean has no default for such images"):
        check_data(name, calib=None, evaluation=str(tmp_path / "arrays"))


@pytest.mark.parametrize(
    ("task", "columns", "truth", "words"),
    [
        ("regression", 2, "values", "3"),
        ("regression", 3, "values", ""),
        ("keypoints", 4, "keypoints", r"0\.png has 3 keypoints, the output 2"),
        ("keypoints", 6, "keypoints", ""),
    ],
)
def test_targets_of_another_number_than_the_output_has_are_refused_as_by_a_build(
    tmp_path: Path, task: str, columns: int, truth: str, words: str
):
    name = grey_network(tmp_path / "grey.onnx", columns)
    values = [1, 2, 3] if truth == "values" else [[1, 2], [3, 4], [5, 6]]
    lines = []
    for i in range(3):
        picture(i, 6, 6).save(tmp_path / f"{i}.png")
        lines.append(json.dumps({"path": f"{i}.png", truth: values}))
    (tmp_path / "list.jsonl").write_text("\n".join(lines))
    options = ModelOptions(task=task, preprocess="pixels")
    expected = pytest.raises(DataError, match=words) if words else contextlib.nullcontext()
    with expected:
        check_data(name, calib=None, evaluation=str(tmp_path / "list.jsonl"), model_options=options)


def test_a_task_that_cannot_be_judged_is_refused(pictures: Path):
    written(pictures, user_model())
    options = ModelOptions(task="regression", task_args={"threshold": 0.4})
    with pytest.raises(DataError, match="regression takes no argument 'threshold'"):
        check_data(
            str(pictures / "net.onnx"),
            calib=str(pictures / "calib"),
            evaluation=None,
            model_options=options,
        )
