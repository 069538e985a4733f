"""Modules of checkpoints and of users' factories."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.models import zoo
from edge_scnet.models.load import load_torch, state_hash
from edge_scnet.models.zoo import resolve
from tests.helpers.checkpoints import State, checkpoint, needs_bundled, refused, saved


@needs_bundled
@pytest.mark.parametrize("name", zoo.MODELS)
def test_models_of_the_zoo_load_and_fit_their_spec(name: str):
    spec = zoo.MODELS[name]
    source = resolve(name, ModelOptions())
    assert (source.spec, source.kind) == (spec, "checkpoint")
    with torch.inference_mode():
        logits = load_torch(source)(torch.zeros(1, *spec.input_shape))
    assert logits.shape == (1, len(spec.classes)) == (1, spec.num_classes)
    assert len(spec.preprocessing.mean) == len(spec.preprocessing.std) == spec.channels


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(tmp_path: Path, state: State, value: float):
    bad = {**state, "layer2.0.k1.0.weight": state["layer2.0.k1.0.weight"].clone()}
    bad["layer2.0.k1.0.weight"].view(-1)[:3] = value
    error = refused(load_torch, checkpoint(saved(tmp_path / "a.pth", bad)))
    assert "'layer2.0.k1.0.weight' holds 3 NaN or infinite values of 2304" in error.message
    assert "use an earlier one" in str(error.hint)


def test_the_hash_of_a_module_follows_weights_and_structure(in_folder: Path):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    first = state_hash(module)
    assert state_hash(module) == first
    assert state_hash(nn.Sequential(module[0], nn.Sigmoid())) != first
    module[0].bias.data[0] += 1e-6
    assert state_hash(module) != first
    assert (
        len(state_hash(load_torch(resolve("user_model:half", ModelOptions())))) == 64
    )  # NumPy has no bfloat16


def test_a_factory_in_the_working_directory(in_folder: Path):
    source = resolve("user_model:net", ModelOptions(num_classes=2, input_size=64))
    assert (source.kind, source.spec.name, source.spec.num_classes, source.spec.input_shape) == (
        "factory",
        "net",
        2,
        (3, 64, 64),
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
