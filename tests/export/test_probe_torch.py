"""Modules tried before the first stage: their inputs and their classes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import TensorSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.export.probe_torch import parse_inputs, probe_torch, spell_input
from edge_scnet.models.load import state_hash
from edge_scnet.models.zoo import ModelSource, resolve_module

GREY = {"mean": (0.5,), "std": (0.25,)}


class Policy(nn.Module):
    """A picture and a state go in."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, image: Tensor, state: Tensor, count: Tensor | None = None) -> dict[str, Any]:
        return {"action": self.conv(image).mean((2, 3)) + state, "state": state}


class Flat(nn.Module):
    """Takes a picture of any size, in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).mean((2, 3))


def probed(module: nn.Module, **options: Any) -> ModelSource:
    return probe_torch(resolve_module(module, ModelOptions(**options)))


def test_the_classes_are_those_of_the_output():
    spec = probed(Flat(), channels=1, input_size=12, **GREY).spec
    assert (spec.name, spec.input_shape, spec.num_classes) == ("Flat", (1, 12, 12), 4)
    assert probed(Flat(), channels=1, num_classes=4, **GREY).spec.num_classes == 4
    names = probed(Flat(), channels=1, class_names=("a", "b", "c", "d"), **GREY).spec.classes
    assert names == ("a", "b", "c", "d")


@pytest.mark.parametrize("options", [{"num_classes": 12}, {"class_names": ("a", "b")}])
def test_classes_that_the_output_has_not(options: dict[str, Any]):
    with pytest.raises(ArtifactError, match="Flat: the output has 4 classes, --"):
        probed(Flat(), channels=1, input_size=12, **GREY, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"input": ("state=4",), "input_shape": (1, 12, 16)},
        {"input": ("image=1x12x16", "state=4")},
        {"input": ("state=4:float32", "image=1x12x16:float32")},
    ],
)
def test_several_inputs(options: dict[str, Any]):
    spec = probed(Policy(), **GREY, **options).spec
    assert (spec.input_name, spec.input_shape) == ("image", (1, 12, 16))
    assert spec.more_inputs == (TensorSpec(name="state", shape=(4,)),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Policy takes 2 inputs, forward.*, and state is not fed"),
        ({"input": ("stat=4",)}, "Policy has no input 'stat'"),
        (
            {"input": ("image=1x9x9", "state=4"), "input_shape": (1, 9, 9)},
            "all inputs are given so",
        ),
        ({"input": ("image=1x9x9:int64", "state=4:int64")}, "one input must be float32"),
        ({"input": ("state=4", "state=5")}, "--input state is given twice"),
        ({"input": ("state",)}, "--input state: wanted is NAME=SIZES or NAME=SIZES:TYPE"),
        ({"input": ("state=0x4",)}, "wanted is NAME=SIZES"),
        ({"input": ("state=4:complex64",)}, "complex64 is no type of an input"),
        ({"input": ("state=5",)}, "Policy does not run on a 1 x 1 x 12 x 12, 1 x 5 input"),
    ],
)
def test_inputs_that_do_not_fit(options: dict[str, Any], message: str):
    given = {"input_shape": (1, 12, 12)} if "image" not in str(options) else {}
    with pytest.raises(ArtifactError, match=message) as caught:
        probed(Policy(), **GREY, **{**given, **options})
    assert caught.value.hint


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Sequential(nn.Conv1d(2, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten()), (2, 64)),
        (nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)), (16,)),
        (nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten()), (3, 8, 16, 16)),
    ],
)
def test_inputs_of_other_ranks(module: nn.Module, shape: tuple[int, ...]):
    spec = probed(module, input_shape=shape).spec
    assert spec.input_shape == shape and spec.num_classes == (3 if shape == (16,) else 4)


def test_inputs_are_spelled_as_they_are_read():
    for text in ("state=16", "mask=1x8x8:int64", "step=:int64"):
        assert [spell_input(item) for item in parse_inputs([text])] == [text]


def test_the_caller_s_module_is_left_as_it_is():
    module = Flat().half().train()
    source = probed(module, channels=1, input_size=12, **GREY)
    assert module.training and module.conv.weight.dtype == torch.float16
    assert not source.module.training and source.module.conv.weight.dtype == torch.float32
    assert source.notes == ("weights are float16, here float32",)


@pytest.mark.slow
def test_wrappers_are_taken_off():
    module = Flat()
    for wrapped in (torch.compile(module), nn.DataParallel(module)):
        found = probed(wrapped, channels=1, input_size=12, **GREY)
        assert type(found.module) is Flat and found.spec.name == "Flat"


def test_torchscript_is_refused():
    with pytest.raises(
        ArtifactError, match=r"is TorchScript .*, which cannot be exported"
    ) as error:
        probed(torch.jit.script(nn.Conv2d(1, 2, 3)), channels=1, **GREY)
    assert "torch.nn.Module that it was made from" in str(error.value.hint)
    with pytest.raises(ArtifactError, match="needed, found an object of type int"):
        probed(3)


class WithState(Flat):
    """Keeps something in its state that is no tensor."""

    def get_extra_state(self) -> dict[str, int]:
        return {"epoch": 3}

    def set_extra_state(self, state: dict[str, int]) -> None: ...


def grey(module: nn.Module) -> nn.Module:
    return nn.Sequential(module, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_modules_that_keep_what_they_compute_are_copied():
    normed = grey(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = grey(nn.utils.weight_norm(nn.Conv2d(1, 4, 3)))
    for module in (normed, old, WithState()):
        found = probed(module, channels=1, input_size=12, **GREY)
        assert found.spec.num_classes == 4
        assert len(state_hash(found.module)) == 64


def test_modules_without_plain_weights():
    with pytest.raises(ArtifactError, match=r"'0.weight' is without values \(lazy"):
        probed(grey(nn.LazyConv2d(4, 3)), channels=1, input_size=12, **GREY)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(144, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(linear)
    with pytest.raises(ArtifactError, match="is quantized already: it has Linear"):
        probed(quantized, channels=1, input_size=12, **GREY)
