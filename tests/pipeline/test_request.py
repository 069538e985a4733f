"""What is decided before the first stage: the model, its samples, and the command for hints."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import edge_scnet
from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Silent
from edge_scnet.core.spec import TaskSpec
from edge_scnet.errors import ArtifactError, DataError, StorageError
from edge_scnet.models.zoo import FASHION_MNIST, ModelSource
from edge_scnet.pipeline.build import held_sets, named_set
from edge_scnet.pipeline.decide import held_sets_of, make_job
from edge_scnet.pipeline.judging import check_early
from edge_scnet.pipeline.request import Request, rebuild_command
from edge_scnet.pipeline.samples import SampleRequest, open_sample_sets


def request(model: str = "net.onnx", **settings: Any) -> Request:
    given: dict[str, Any] = {
        "target": "cpu",
        "calib": None,
        "evaluation": None,
        "out": Path("build"),
        "options": ModelOptions(),
        "batch": None,
        "skip_bad": False,
        "ignore_labels": False,
        "until": "compile",
        "command": "a test",
    }
    return Request(model=model, **{**given, **settings})


def test_the_command_that_builds_again_spells_every_option():
    options = ModelOptions(
        mean=(0.5, 0.25),
        input_shape=(3, 8, 8),
        fix=("a=1", "b c=2"),
        input=("state=16", "mask=8:int64"),
        factory_args={"width": 0.5, "name": "x y"},
        weights="w.pth",
        antialias=False,
        exif=True,
        pad_value=(1, 2, 3),
    )
    words = shlex.split(rebuild_command(request("pkg:net?a=1", options=options, calib=Path("c"))))
    assert words == [
        *("edge-scnet", "build", "pkg:net?a=1", "--target", "cpu", "--input-shape", "3,8,8"),
        *("--fix", "a=1", "--fix", "b c=2", "--input", "state=16", "--input", "mask=8:int64"),
        *("--mean", "0.5,0.25", "--no-antialias", "--pad-value", "1,2,3", "--exif"),
        *("--factory-args", '{"width": 0.5, "name": "x y"}'),
        *("--weights", "w.pth", "--calib", "c"),
    ]


def test_what_the_caller_holds_is_built_again_by_a_call():
    assert rebuild_command(request("Net", module=nn.Identity())) == (
        "edge_scnet.build(Net, target='cpu', calib=..., ...)"
    )


def test_folders_are_told_from_samples():
    samples = [1, 2]
    assert (named_set("a"), named_set(Path("a")), named_set(samples), named_set(None)) == (
        "a",
        "a",
        None,
        None,
    )
    assert named_set("") is None
    assert held_sets("a", samples) == {"evaluation": samples}
    assert held_sets(None, Path("b")) == {}


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_a_job_of_a_module_and_of_samples_in_memory(tmp_path: Path):
    samples = torch.rand(320, 3, 8, 8)
    asked = request("Sequential", module=module(), held={"calibration": samples}, out=tmp_path)
    in_use = pytest.raises(StorageError, match="Sequential/cpu is in use by a test")
    with make_job(asked, Silent()) as job, in_use:
        make_job(asked, Silent()).__enter__()
    assert not list(job.folder.path.iterdir())
    assert job.source.kind == "module" and job.source.spec.input_shape == (3, 8, 8)
    assert job.calibration is not None and len(job.calibration) == 320
    assert job.folder.path == tmp_path / "Sequential" / "cpu"
    assert job.folder.manifest.evaluation is None


@pytest.mark.parametrize(
    ("count", "message", "hint"),
    [
        (99, "samples has 99 calibration images; at least 100 are needed", "pass more samples"),
        (0, "inputs of different or no length", "first axis"),
    ],
)
def test_too_few_samples(tmp_path: Path, count: int, message: str, hint: str):
    with pytest.raises(DataError, match=message) as caught:
        edge_scnet.quantize(module(), torch.rand(count, 3, 8, 8), out=tmp_path)
    assert hint in str(caught.value.hint)


def test_samples_that_are_missing_are_asked_for_in_python_s_words(tmp_path: Path):
    with pytest.raises(DataError, match="no bundled images: calib and evaluation needed") as error:
        edge_scnet.build(module(), out=tmp_path, model_options=ModelOptions(input_size=8))
    assert "pass calib=SAMPLES, evaluation=SAMPLES, or a folder" in str(error.value.hint)
    with pytest.raises(DataError, match="no bundled images: evaluation needed"):
        edge_scnet.build(module(), calib=torch.rand(300, 3, 8, 8), out=tmp_path)


@pytest.mark.parametrize("model", ["scnet20-fashion-mnist", "net.onnx"])
def test_inputs_of_modules_only(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").touch()
    message = "cannot be changed" if model.startswith("scnet") else "--input is for PyTorch modules"
    with pytest.raises(ArtifactError, match=message):
        make_job(request(model, options=ModelOptions(input=("a=1",))), Silent()).__enter__()


def test_functions_that_make_samples_are_held_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_samples.py").write_text(
        "import numpy as np\n"
        "def samples(n=4):\n"
        "    return [{'x': np.full((3, 8, 8), i % 3, 'f4'), 'label': i % 2} for i in range(n)]\n"
    )
    asked = request(
        "Net",
        calib="own_samples:samples?n=9",
        evaluation="own_samples:samples?duplicates=drop",
        until="profile",
    )
    assert "--calib 'own_samples:samples?n=9'" in rebuild_command(asked)
    held = held_sets_of(asked)
    spec = replace(FASHION_MNIST, input_shape=(3, 8, 8), classes=(), num_classes=2)
    held.look_at_spec(spec)
    sets = held.read(spec, limit=5)
    assert {role: (len(s), s.name) for role, s in sets.items()} == {
        "calibration": (5, "own_samples:samples"),
        "evaluation": (4, "own_samples:samples"),
    }
    asked_for = SampleRequest(
        calib=None,
        evaluation=asked.evaluation,
        calibrates=False,
        evaluates=True,
        skip_bad=False,
        ignore_labels=True,
        command="",
        held={"evaluation": sets["evaluation"]},
    )
    plain = replace(spec, dataset=None)
    with pytest.warns(UserWarning, match="1 evaluation samples are copies of others"):
        _, evaluation = open_sample_sets(asked_for, plain, load_target("cpu"), Silent())
    assert evaluation is not None
    assert (len(evaluation), evaluation.copies, evaluation.labels) == (3, 1, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"task": "detecton"}, "there is no task 'detecton'"),
        ({"task": "detection", "task_args": {"treshold": 0.5}}, "no argument 'treshold'"),
        ({"decode": "yolo9"}, "there is no decoder 'yolo9'"),
        ({"task": "binary", "task_args": {"threshold": "high"}}, "threshold is 'high'"),
    ],
)
def test_a_task_that_cannot_be_judged_is_refused_before_the_first_stage(
    tmp_path: Path, options: dict[str, Any], words: str
):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 1))
    samples = torch.rand(330, 3, 8, 8).numpy()
    with pytest.raises(DataError, match=words):
        edge_scnet.build(
            net,
            calib=samples[:300],
            evaluation=samples[300:],
            out=tmp_path / "out",
            model_options=ModelOptions(**options),
        )
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_named_is_not_refused_before_outputs_are_known():
    for kind in ("binary", "segmentation", "regression", "keypoints", "embedding", "multilabel"):
        spec = replace(FASHION_MNIST, task=TaskSpec(kind=kind, arguments={"output": "second"}))
        check_early(ModelSource(spec=spec, kind="factory", location="a:b"), None)
