"""What MODEL arguments and options mean; every refusal is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.models import defaults, zoo
from edge_scnet.models.load import load_torch
from edge_scnet.models.zoo import resolve
from tests.helpers.checkpoints import State, checkpoint, needs_bundled, refused, saved


@needs_bundled
def test_unknown_models_get_the_nearest_spelling():
    error = refused(resolve, "scnet20-fashion-mnits", ModelOptions())
    assert (
        error.message
        == "unknown model 'scnet20-fashion-mnits'; did you mean 'scnet20-fashion-mnist'?"
    )
    assert "scnet20-fashion-mnist" in str(error.hint) and "package.module:factory" in str(
        error.hint
    )


def test_a_model_like_nothing():
    assert refused(resolve, "resnet", ModelOptions()).message == "unknown model 'resnet'"


def test_unknown_and_missing_architectures(tmp_path: Path, state: State):
    path = saved(tmp_path / "a.pth", state)
    error = refused(checkpoint, path, "scnet-20")
    assert error.message == "unknown architecture 'scnet-20'; did you mean 'scnet20'?"
    assert (
        error.hint
        == "--arch is one of: scnet50, scnet50_v1d, scnet101, scnet101_v1d, scnet20, scnet29"
    )
    error = refused(resolve, str(path), ModelOptions())
    assert error.message == f"{path}: which architecture is it? A checkpoint holds weights only"
    assert str(error.hint).startswith("pass --arch, one of: scnet50")


def test_missing_files():
    for suffix in ("pth", "safetensors", "onnx"):
        assert (
            refused(resolve, f"no/such.{suffix}", ModelOptions()).message
            == f"no such file: no/such.{suffix}"
        )


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "a..b", ".hidden", "", "a b", "/etc", "x\n"])
def test_names_that_could_leave_the_output_folder(tmp_path: Path, state: State, name: str):
    path = saved(tmp_path / "a.pth", state)
    with pytest.raises(ArtifactError) as caught:
        checkpoint(path, name=name)
    assert caught.value.message.startswith(f"the model name {name!r} cannot be a folder name")


@pytest.mark.parametrize(
    "model", ["../x", "../../etc/passwd", "..", "/etc/passwd", "../x:y", "a/b:c"]
)
def test_a_model_argument_that_climbs(model: str):
    assert refused(resolve, model, ModelOptions()).message.startswith(f"unknown model {model!r}")


def test_a_files_own_name_is_checked_too(tmp_path: Path, state: State):
    path = saved(tmp_path / "my model (1).pth", state)
    assert refused(checkpoint, path).hint == "pass --name NAME"
    assert checkpoint(path, name="mine").spec.name == "mine"


@needs_bundled
@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"arch": "scnet20"}, "--arch"),
        ({"num_classes": 10}, "--num-classes"),
        ({"mean": (0.5,)}, "--mean"),
        ({"name": "x"}, "--name"),
        ({"input_size": 28}, "--input-size"),
        ({"class_names": ("a",)}, "--class-names"),
    ],
)
def test_a_model_of_the_zoo_takes_no_options(options: dict[str, Any], option: str):
    error = refused(resolve, zoo.DEFAULT_MODEL, ModelOptions(**options))
    assert error.message.startswith(f"{option} cannot be changed: {zoo.DEFAULT_MODEL!r}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5,)}, "the input has 3 channels, and --mean has 1 values"),
        ({"std": (0.5, 0.5)}, "the input has 3 channels, and --std has 2 values"),
        ({"channels": 1}, "the input has 1 channel, and --mean has no default for such images"),
        ({"std": (0.5, 0.0, 0.5)}, "--std must be positive and finite, got 0.5, 0.0, 0.5"),
        ({"std": (0.5, float("nan"), 0.5)}, "--std must be positive and finite, got 0.5, nan, 0.5"),
        ({"mean": (0.5, float("inf"), 0.5)}, "--mean must be finite, got 0.5, inf, 0.5"),
        (
            {"class_names": ("a", "b"), "num_classes": 3},
            "--class-names lists 2 names, --num-classes says 3",
        ),
        ({"resize": 16}, "--resize 16 is smaller than the crop, --input-size 32"),
    ],
)
def test_options_that_contradict(
    tmp_path: Path, state: State, options: dict[str, Any], message: str
):
    assert (
        refused(lambda: checkpoint(saved(tmp_path / "a.pth", state), **options)).message == message
    )


def test_defaults_follow_the_architecture(tmp_path: Path, state: State):
    path = saved(tmp_path / "a.pth", state)
    compact, large = checkpoint(path).spec, checkpoint(path, arch="scnet50").spec
    assert (compact.input_size, compact.resize, compact.num_classes) == (32, None, 10)
    assert (large.input_size, large.resize, large.num_classes) == (224, 256, 1000)
    assert (large.mean, large.std) == (defaults.IMAGENET_MEAN, defaults.IMAGENET_STD)
    grey = checkpoint(path, channels=1, mean=(0.3,), std=(0.4,), class_names=("a", "b")).spec
    assert (grey.channels, grey.num_classes, grey.classes) == (1, 2, ("a", "b"))


def test_a_factory_in_the_working_directory(in_folder: Path):
    source = resolve("user_model:net", ModelOptions(num_classes=2, input_size=64))
    assert (source.kind, source.spec.name, source.spec.num_classes, source.spec.input_size) == (
        "factory",
        "net",
        2,
        64,
    )
    module = load_torch(source)
    assert isinstance(module, nn.Sequential) and not module.training


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (
            "user_model:number",
            "user_model:number cannot be called: TypeError: 'int' object is not callable",
        ),
        ("user_model:text", "user_model:text returned str, a torch.nn.Module is needed"),
        ("user_model:broken", "user_model:broken cannot be called: RuntimeError: no weights here"),
        (
            "user_model:absent",
            "cannot be called: AttributeError: module 'user_model' has no attribute 'absent'",
        ),
        (
            "no_such_module:net",
            "cannot be called: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        ("user_model:poisoned", "user_model:poisoned: 'bias' holds 1 NaN or infinite values of 2"),
    ],
)
def test_factories_that_fail(in_folder: Path, location: str, message: str):
    assert message in refused(load_torch, resolve(location, ModelOptions())).message
