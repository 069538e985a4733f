"""What MODEL arguments and options mean; every refusal is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.models import zoo
from edge_scnet.models.architectures import architectures
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


def test_the_names_of_architectures_are_the_networks() -> None:
    from edge_scnet.scnet import ARCHITECTURES

    assert architectures() == list(ARCHITECTURES)
