"""Samples that the caller holds: what an item is, the shape that follows, and the sets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError, EdgeError
from edge_scnet.export.from_onnx import probe_onnx
from edge_scnet.export.probe_torch import probe_torch
from edge_scnet.models.zoo import FASHION_MNIST, resolve, resolve_module
from edge_scnet.pipeline.held_samples import HeldSets
from tests.helpers.onnx_files import user_model, written

RNG = np.random.default_rng(0)
GREY = RNG.standard_normal((5, 1, 12, 12)).astype(np.float32)
RGB = RNG.standard_normal((5, 3, 12, 12)).astype(np.float32)


def classifier(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


class Denoiser(nn.Module):
    """Takes pictures and single ones, and gives as many channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Policy(nn.Module):
    def forward(self, step: Tensor, image: Tensor, state: Tensor) -> Tensor:
        return image.mean((2, 3)) + state + step[:, None]


def read(
    module: nn.Module, samples: Any, *, limit: int = 1000, **options: Any
) -> tuple[ModelSpec, SampleSet]:
    held = HeldSets({"calibration": samples}, folders=False)
    source = probe_torch(resolve_module(module, ModelOptions(**options)), held.options_for_module)
    return source.spec, held.read(source.spec, limit=limit)["calibration"]


MLP = nn.Sequential(nn.Linear(16, 5))
FEATURES = RNG.standard_normal((5, 16)).astype(np.float32)
SEQUENCES = RNG.standard_normal((5, 2, 16)).astype(np.float32)
CONV1D = nn.Sequential(nn.Conv1d(2, 4, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten())
CONV3D = nn.Sequential(nn.Conv3d(3, 4, 3), nn.AdaptiveAvgPool3d(1), nn.Flatten())
VIDEOS = RNG.standard_normal((5, 3, 4, 6, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("module", "samples", "whole"),
    [
        (classifier(3), list(RGB), RGB),
        (classifier(3), [RGB[:2], RGB[2:]], RGB),
        (classifier(3), RGB, RGB),
        (classifier(3), torch.from_numpy(RGB), RGB),
        (classifier(3), DataLoader(TensorDataset(torch.from_numpy(RGB), torch.ones(5)), 2), RGB),
        (classifier(1), list(GREY), GREY),
        (classifier(1), [GREY], GREY),
        (Denoiser(), list(RGB), RGB),
        (Denoiser(), [RGB[:3], RGB[3:]], RGB),
        (MLP, list(FEATURES), FEATURES),
        (MLP, [FEATURES], FEATURES),
        (CONV1D, list(SEQUENCES), SEQUENCES),
        (CONV1D, [SEQUENCES], SEQUENCES),
        (CONV3D, list(VIDEOS), VIDEOS),
        (CONV3D, [VIDEOS], VIDEOS),
        (classifier(3), [RGB.astype(np.float64)], RGB),
    ],
)
def test_what_an_item_is_follows_from_the_module(module: nn.Module, samples: Any, whole: Any):
    spec, held = read(module, samples)
    assert spec.input_shape == whole.shape[1:] and len(held) == 5
    np.testing.assert_array_equal(held.arrays, whole)
    assert (held.name, held.kind, held.entries[4]) == ("samples", "arrays", "samples[4]")


def test_the_option_settles_what_an_item_is():
    linear = nn.Linear(12, 4)
    spec, held = read(linear, [RGB[0]])
    assert spec.input_shape == (3, 12, 12) and len(held) == 1
    spec, held = read(linear, [RGB[0]], input_shape=(12, 12))
    assert spec.input_shape == (12, 12) and len(held) == 3


def test_nothing_is_normalised_where_samples_are_what_the_network_takes():
    spec, _ = read(classifier(1), GREY)
    assert (spec.preprocessing.mean, spec.preprocessing.std) == ((0.0,), (1.0,))
    spec, _ = read(classifier(1), GREY, mean=(0.5,), std=(0.5,))
    assert (spec.preprocessing.mean, spec.preprocessing.std) == ((0.5,), (0.5,))


@pytest.mark.parametrize("batched", [False, True])
def test_items_of_several_inputs(batched: bool):
    parts = {
        "state": np.ones((4, 3), np.float64),
        "image": RGB[:4],
        "step": np.arange(4, dtype=np.int64),
    }
    items: list[Mapping[str, Any]] = [parts]
    if not batched:
        items = [{name: array[i] for name, array in parts.items()} for i in range(4)]
    spec, held = read(Policy(), items)
    # the first of real numbers in front, the others in the order of forward
    assert (spec.input_name, spec.input_shape) == ("image", (3, 12, 12))
    assert spec.more_inputs == (
        TensorSpec(name="step", shape=(), dtype="int64"),
        TensorSpec(name="state", shape=(3,)),
    )
    assert held.arrays is not None and len(held) == 4
    np.testing.assert_array_equal(held.arrays["image"], RGB[:4])
    np.testing.assert_array_equal(held.arrays["step"], np.arange(4))
    tuples = [(parts["step"], parts["image"], parts["state"])]
    of_tuples, held_of_tuples = read(Policy(), tuples)
    assert (of_tuples, held_of_tuples.hash) == (spec, held.hash)
    assert spec.preprocessing.mean == (0.0, 0.0, 0.0)


def test_whole_arrays_are_thinned_evenly_and_iterables_cut_off():
    _, held = read(classifier(3), RGB, limit=2)
    np.testing.assert_array_equal(held.arrays, RGB[[0, 2]])
    _, held = read(classifier(3), iter(RGB), limit=2)
    np.testing.assert_array_equal(held.arrays, RGB[:2])


def test_labels_of_evaluation_samples():
    held = HeldSets({"evaluation": list(zip(RGB, [0, 1, 2, 3, 0], strict=True))}, folders=False)
    source = probe_torch(resolve_module(classifier(3), ModelOptions()), held.options_for_module)
    evaluation = held.read(source.spec, limit=2)["evaluation"]
    assert evaluation.labels == (0, 1, 2, 3, 0) and evaluation.name == "evaluation samples"
    bad = HeldSets({"evaluation": (RGB, np.full(5, 4))}, folders=False)
    bad.options_for_module(source.module, ModelOptions())
    with pytest.raises(DataError, match="labels from 4 to 4; the model has 4 classes, from 0"):
        bad.read(source.spec, limit=2)


def of_file(path: Path, samples: Any) -> SampleSet:
    held = HeldSets({"calibration": samples}, folders=False)
    options = held.options_for_file(path, ModelOptions())
    source = probe_onnx(resolve(str(path), options), options)
    return held.read(source.spec, limit=100)["calibration"]


@pytest.mark.parametrize("samples", [RGB, list(RGB), [RGB[:2], RGB[2:]]])
def test_samples_of_an_onnx_file(tmp_path: Path, samples: Any):
    path = written(tmp_path, user_model())
    side = of_side(path)
    pictures = RNG.standard_normal((5, 3, side, side)).astype(np.float32)
    given = pictures if samples is RGB else list(pictures)
    np.testing.assert_array_equal(of_file(path, given).arrays, pictures)
    with pytest.raises(DataError, match=r"item 0 is 3 x 5 x 5, the input of .*net.onnx 3 x"):
        of_file(path, pictures[:, :, :5, :5])
    with pytest.raises(DataError, match="the model takes samples of 3 axes, or batches of 4"):
        of_file(path, [pictures[0, 0]])


def of_side(path: Path) -> int:
    spec = probe_onnx(resolve(str(path), ModelOptions()), ModelOptions()).spec
    return spec.height


def test_samples_of_a_model_of_the_zoo():
    held = HeldSets({"calibration": [RGB[0, :1], RGB[1, :1]]}, folders=False)
    held.look_at_spec(FASHION_MNIST)
    with pytest.raises(DataError, match="samples x 1 x 28 x 28 is needed"):
        held.read(FASHION_MNIST, limit=100)


@pytest.mark.parametrize(
    ("module", "samples", "message"),
    [
        (classifier(3), [], "samples gave nothing"),
        (classifier(3), GREY, "Sequential does not run on a 1 x 1 x 12 x 12 input"),
        (classifier(3), [RGB[0], RGB[1, :, :6]], "samples: item 1 is 3 x 6 x 12, item 0 3 x 12"),
        (classifier(3), [RGB * np.nan], "samples: item 0 holds NaN"),
        (classifier(3), list(np.moveaxis(RGB, 1, -1)), "item 0 is 12 x 12 x 3, which Sequential"),
        (Denoiser(), [{"depth": RGB}], "a dict with the array 'depth'; the network's input is x"),
        (Denoiser(), {"xs": RGB}, "a dict with the array 'xs'; the network's input is x"),
        (Policy(), [RGB], "Policy takes 3 inputs"),
        (Policy(), [{"image": RGB, "state": RGB[:, 0, 0, :3]}], "and step is not fed"),
        (Policy(), [{"img": RGB, "state": RGB, "step": RGB}], "Policy has no input 'img'"),
    ],
)
def test_samples_that_do_not_fit(module: nn.Module, samples: Any, message: str):
    with pytest.raises(EdgeError) as caught:
        read(module, samples)
    assert message in caught.value.message and caught.value.hint


def test_bytes_are_warned_about():
    held = HeldSets({"calibration": (np.abs(RGB) * 40).astype(np.uint8)}, folders=False)
    source = resolve_module(classifier(3), ModelOptions())
    spec = probe_torch(source, held.options_for_module).spec
    assert "fed as numbers from 0 to 255" in held.warnings[0]
    assert held.read(spec, limit=9)["calibration"].arrays.max() > 40


class Keywords(nn.Module):
    def forward(self, **inputs: Tensor) -> Tensor:
        return inputs["image"].mean((2, 3)) + inputs["state"]


def test_a_forward_that_takes_any_name():
    spec, held = read(Keywords(), {"image": RGB, "state": RGB[:, :, 0, 0]})
    assert (spec.input_name, spec.more_inputs) == ("image", (TensorSpec(name="state", shape=(3,)),))
    assert len(held) == 5


def test_a_dict_of_one_array_names_the_input_of_a_network_that_has_one(tmp_path: Path) -> None:
    spec, _ = read(Denoiser(), [{"x": each, "label": 1} for each in RGB])
    assert spec.input_shape == (3, 12, 12)
    path = written(tmp_path, user_model())
    for name, fits in (("image", True), ("img", False)):
        held = HeldSets({"evaluation": [{name: np.zeros((1, 3, 8, 8), np.float32)}]}, folders=False)
        if fits:
            assert held.options_for_file(path, ModelOptions()).input_shape is None
            continue
        with pytest.raises(DataError, match="array 'img'; the network's input is ") as raised:
            held.options_for_file(path, ModelOptions())
        assert raised.value.hint
    held = HeldSets({"calibration": [{"depth": GREY}]}, folders=False)
    with pytest.raises(DataError, match="array 'depth'; the network's inputs are input, x"):
        held.look_at_spec(FASHION_MNIST)
