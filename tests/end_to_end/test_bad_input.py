"""Bad targets and images that a user can hand to `build`.

The exit code, a message worth reading, and nothing left behind.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from edge_scnet.core.optional import install_hint
from edge_scnet.core.resources import bundled
from tests.helpers.images import idx_folder, published
from tests.helpers.refusals import check_refusal, hidden, pictures
from tests.helpers.tool import MODEL, Built, Run


def test_an_unknown_target_and_the_nearest_spelling(refused: Run) -> None:
    refused(
        3,
        ('unknown target "cpu-avx"', "did you mean cpu-avx2?", "targets: arm64, cpu, cpu-avx2"),
        "--target",
        "cpu-avx",
    )
    refused(
        3,
        ("no target file at jetson.toml", "targets: arm64, cpu, cpu-avx2"),
        "--target",
        "jetson.toml",
    )


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "max_dropp = 1",
            (
                "unknown key gates.max_dropp",
                "did you mean gates.max_drop_pp?",
                "allowed: gates.max_drop_pp",
            ),
        ),
        ("max_drop_pp = 101", ("gates.max_drop_pp is 101", "0 to 100")),
        ("max_drop_pp = ", ("not valid TOML",)),
    ],
)
def test_a_target_file_with_a_wrong_key_or_value(
    invoke: Run, tmp_path: Path, line: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        (bundled("targets") / "cpu.toml").read_text().partition("[gates]")[0] + f"[gates]\n{line}\n"
    )
    outcome = invoke("build", "--target", path, "--out", tmp_path / "out")
    assert outcome.code == 3 and outcome.stderr.startswith(f"error: {path}: ")
    for word in words:
        assert word in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_a_runtime_that_is_not_installed(refused: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "openvino" else find(name, *rest),
    )
    outcome = refused(5, ("the package 'openvino' is not installed",))
    assert outcome.hint == install_hint("cpu")


def test_torch_that_is_not_installed(
    invoke: Run, tmp_path: Path, calib_120: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it raises ModuleNotFoundError
    outcome = invoke("build", "--calib", calib_120, "--out", tmp_path)
    check_refusal(outcome, 5, "the package 'torch' is not installed")
    assert outcome.hint == install_hint("export") and not hidden(tmp_path)


def test_a_target_for_more_than_the_machine_has(
    refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "server.toml"
    path.write_text(
        (bundled("targets") / "cpu.toml").read_text().replace('"native"', '"avx512_vnni"')
    )
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    refused(3, ("target server needs avx512_vnni", "this machine provides avx2"), "--target", path)


def test_a_folder_that_is_missing_empty_or_without_images(refused: Run, tmp_path: Path) -> None:
    missing, empty, texts = tmp_path / "missing", tmp_path / "empty", tmp_path / "texts"
    empty.mkdir()
    texts.mkdir()
    (texts / "notes.txt").write_text("no image")
    for option in ("--calib", "--eval"):
        refused(4, (str(missing), "does not exist"), option, missing)
        refused(4, (str(empty), "it is empty", ".png"), option, empty)
        refused(4, (str(texts), "no images in", "1 files (.txt)", ".png"), option, texts)
        refused(
            4, (str(texts / "notes.txt"), "is a file, not a folder"), option, texts / "notes.txt"
        )


def test_too_few_calibration_images(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "few", 99)
    refused(4, (str(folder), "99 calibration images", "at least 100"), "--calib", folder)


def test_under_300_calibration_images_are_warned_of(invoke: Run, copied: Built) -> None:
    outcome = invoke("quantize", "--calib", copied.calib, "--out", copied.folder.parents[1])
    assert outcome.code == 0
    assert outcome.stderr.startswith(
        "warning: 120 calibration images: 300 and more give steadier thresholds\n"
    )


def test_a_truncated_image_is_named_and_with_skip_bad_counted(
    invoke: Run, copied: Built, tmp_path: Path
) -> None:
    folder = pictures(tmp_path / "images", 101)
    bad = folder / "050.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    out = copied.folder.parents[1]
    outcome = invoke("calibrate", "--calib", folder, "--out", out)
    check_refusal(outcome, 4, f"cannot read image {bad}: ", "truncated")
    assert "--skip-bad" in outcome.hint and not hidden(out)
    outcome = invoke("calibrate", "--calib", folder, "--out", out, "--skip-bad", "--json")
    assert outcome.code == 0, outcome.stderr
    assert (
        "warning: 1 of 101 calibration images are unreadable and were skipped\n" in outcome.stderr
    )
    (entry,) = json.loads(outcome.stdout)["artifacts"]
    assert (entry["facts"]["images"], entry["facts"]["skipped"]) == (100, 1)


def test_skipping_bad_images_may_leave_too_few(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "images", 100)
    (folder / "000.png").write_bytes(b"no image")
    refused(
        4, ("99 calibration images (1 unreadable ones left out)",), "--calib", folder, "--skip-bad"
    )


def test_a_truncated_idx_file(refused: Run, tmp_path: Path) -> None:
    images, labels = published("eval")
    folder = idx_folder(tmp_path / "idx", images[:20], labels[:20])
    path = folder / "t10k-images-idx3-ubyte"
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-1])
    refused(4, (str(path), "cut short", "20 x 28 x 28", "15679"), "--eval", folder, hint=False)
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed[:-100])
    refused(4, (f"{path}.gz", "cut short"), "--eval", folder, hint=False)


def test_calibration_images_among_the_evaluation_images(
    refused: Run, tmp_path: Path, calib_120: Path
) -> None:
    images, labels = published("calib")
    folder = idx_folder(tmp_path / "both", images[100:140], labels[100:140])
    words = (
        "20 of 40 evaluation images are calibration images too",
        f"{calib_120 / '100'} = {folder / '0'}",
    )
    refused(4, words, "--calib", calib_120, "--eval", folder)


def test_another_number_of_classes_than_the_model_has(refused: Run, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "xyz", 6, classes=("x", "y", "z"))
    words = (str(folder), "3 class folders", f"{MODEL} has 10 classes", "'x'", "T-shirt/top")
    outcome = refused(4, words, "--eval", folder)
    assert "--ignore-labels" in outcome.hint


def test_labels_beyond_the_models_classes(refused: Run, tmp_path: Path) -> None:
    images, labels = published("eval")
    folder = idx_folder(tmp_path / "idx", images[:20], labels[:20] + 1)
    refused(4, ("labels up to 10", "10 classes", "t10k-labels"), "--eval", folder)
