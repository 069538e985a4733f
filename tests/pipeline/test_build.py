"""The order of the stages and what is reused: sequences of builds that a user would run."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.core.manifest import NODE_DATA, load_manifest
from edge_scnet.pipeline import build
from tests.helpers.images import idx_folder, published
from tests.helpers.tool import Built, Run

GREY = ("--mean", "0.286", "--std", "0.353")


def test_a_model_onnx_of_the_user_s_own_in_the_working_directory(
    built: Built, invoke: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the name of the build's own file: the two must not be taken for one another."""
    shutil.copy(built.folder / "model.onnx", tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    first = invoke("compile", "model.onnx", *GREY, "--calib", built.calib)
    assert first.code == 0, first.stderr
    assert "46 of 46 convolutions" in first.stderr and "reused" not in first.stderr
    second = invoke("compile", "model.onnx", *GREY, "--calib", built.calib)
    assert second.stderr.count("unchanged, reused") == 4
    assert (tmp_path / "build" / "model" / "cpu" / "model.xml").is_file()


def test_a_dynamic_batch_of_an_onnx_file_is_refused(
    built: Built, invoke: Run, tmp_path: Path
) -> None:
    outcome = invoke(
        "export", built.folder / "model.onnx", *GREY, "--batch", "dynamic", "--out", tmp_path
    )
    assert (
        outcome.code == 6
        and "a dynamic batch is exported from PyTorch only" in outcome.stderr
        and outcome.hint
    )


def test_calibration_images_are_no_evaluation_set(built: Built, invoke: Run) -> None:
    outcome = invoke("profile", built.folder, "--eval", built.calib)
    assert (
        outcome.code == 4
        and "120 of 120 evaluation images were used for calibration" in outcome.stderr
        and outcome.hint
    )


def test_a_report_does_not_outlive_its_engines(copied: Built, invoke: Run, tmp_path: Path) -> None:
    out = copied.folder.parents[1]
    # other calibration images: the graph is the same, the engines are not
    images, labels = published("calib")
    others = idx_folder(tmp_path / "others", images[200:300], labels[200:300])
    outcome = invoke("calibrate", "--calib", others, "--out", out)
    assert outcome.code == 0 and outcome.stderr.count("unchanged, reused") == 1, outcome.stderr
    assert not (copied.folder / "report.json").exists()
    left = load_manifest(copied.folder).artifacts
    assert set(left) == {"model.onnx", "ranges.npz", "model-fp32.xml", "model-fp32.bin"}


def test_a_report_does_not_outlive_engines_that_took_another_input(
    copied: Built, invoke: Run
) -> None:
    """They leave the manifest before any stage has run, and this build ends before it compiles."""
    report = copied.folder / "report.json"
    assert report.exists() and load_manifest(copied.folder).input.is_bytes
    data = ("--calib", copied.calib, "--eval", copied.evaluation, "--out", copied.folder.parents[1])
    outcome = invoke("build", *data, "--input", "float", "--expect-top1", 20)
    assert outcome.code == 4, outcome.stderr
    left = {file.name for file in copied.folder.iterdir() if file.is_file()}
    assert "manifest.json" in left and not left & {"report.json", "report.html", *NODE_DATA}
    assert not [file for file in load_manifest(copied.folder).artifacts if file.endswith(".xml")]


def test_a_network_that_is_not_what_was_measured_is_not_calibrated(
    copied: Built, invoke: Run
) -> None:
    data = ("--calib", copied.calib, "--eval", copied.evaluation)
    before = {file.name: file.read_bytes() for file in copied.folder.iterdir()}
    outcome = invoke("build", *data, "--out", copied.folder.parents[1], "--expect-top1", 20)
    assert outcome.code == 4, outcome.stderr
    assert "FP32's own top-1 is" in outcome.stderr and outcome.hint
    assert "calibrate" not in outcome.stderr and "profile" not in outcome.stderr
    names = {"report.json", "model.qdq.onnx", "ranges.npz"} & before.keys()
    assert all((copied.folder / name).read_bytes() == before[name] for name in names)


def test_a_limit_given_once_does_not_stay_in_the_manifest(built: Built) -> None:
    # the session's build was judged with --max-drop 5
    assert load_manifest(built.folder).target["gates"]["max_drop_pp"] == 0.5


def test_every_file_of_an_engine_names_the_runtime_that_made_it(built: Built) -> None:
    made = [e for e in load_manifest(built.folder).artifacts.values() if e.stage == "compile"]
    assert {entry.kind for entry in made} == {"openvino-ir", "companion"}
    assert all(entry.versions.keys() == {"openvino"} for entry in made)


@pytest.mark.slow
def test_a_factory_is_exported_every_time(
    tmp_path: Path, invoke: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code decides the graph, and no hash of weights tells that a functional call in it has
    changed.
    """
    code = (
        "from torch import nn, relu\nclass Net(nn.Module):\n    def __init__(self):\n       "
        " super().__init__()\n"
    )
    code += (
        "        self.c = nn.Conv2d(1, 2, 3)\n    def forward(self, x):\n        return"
        " relu(self.c(x)).mean((2, 3))\n"
    )
    (tmp_path / "usersnet.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for _ in range(2):
        outcome = invoke(
            "export",
            "usersnet:Net",
            "--channels",
            "1",
            "--input-size",
            "8",
            *GREY,
            "--out",
            tmp_path,
        )
        assert outcome.code == 0 and "reused" not in outcome.stderr, outcome.stderr


@pytest.mark.parametrize(
    ("codes", "misses"),
    [
        ({"accuracy": 10, "speed": 0}, True),
        ({"accuracy": 13, "speed": 13}, True),
        ({"accuracy": 10, "speed": 11}, True),
        ({"accuracy": 13, "speed": 11}, False),  # another engine is faster in everything
        ({"accuracy": 0, "speed": 13}, False),  # no search makes it faster
        ({"accuracy": 0, "speed": 0}, False),
    ],
)
def test_a_search_is_for_accuracy_alone(codes: dict[str, int], misses: bool) -> None:
    findings = tuple(SimpleNamespace(kind=kind, exit_code=code) for kind, code in codes.items())
    code = min((code for code in codes.values() if code), default=0)
    result: Any = SimpleNamespace(report=SimpleNamespace(findings=findings), exit_code=code)
    assert build._misses_accuracy(result) == misses
