"""The first BatchNorm against a data set: pixels in another order or range are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from torch import nn

from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from edge_scnet.data.batches import load
from edge_scnet.data.samples import SampleSet, in_memory, open_samples
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.first_norm import GIVEN, FirstNorm, first_norm
from tests.helpers.images import RGB

SPEC = replace(RGB, input_shape=(3, 12, 12), classes=())


def spec_with(**rule: Any) -> Any:
    return replace(SPEC, preprocessing=replace(SPEC.preprocessing, **rule))


IMAGENET = spec_with(mean=IMAGENET_MEAN, std=IMAGENET_STD)
BYTES_BGR = spec_with(colour="BGR", pixel_max=255.0, mean=(), std=())


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> SampleSet:
    """Pictures whose channels have other means and spreads, as photographs' have."""
    root = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for i in range(24):
        base = rng.normal((150, 110, 70), (40, 30, 20))
        pixels = rng.normal(base, (50, 40, 30), (12, 12, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(root / f"{i:02}.png")
    return open_samples(root, model=SPEC, role="calibration")


def network(batch: np.ndarray) -> nn.Sequential:
    """Convolution, BatchNorm: with the statistics of these inputs."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, momentum=None)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.ReLU())
    with torch.no_grad():
        module.train()(torch.from_numpy(batch))
    return module.eval()


def source_of(module: nn.Module, spec: Any) -> ModelSource:
    return ModelSource(spec=spec, kind="module", location="Net", module=module)


def test_inputs_as_in_training_are_the_nearest(photographs: SampleSet):
    found = first_norm(source_of(network(load(photographs, IMAGENET)), IMAGENET), photographs)
    assert isinstance(found, FirstNorm)
    assert (found.name, found.images, found.fits[0].inputs) == ("1", 24, GIVEN)
    # the variance in training was that of samples, divided by one less
    assert found.fits[0].distance < 1e-5 and found.better is None
    others = {fit.inputs: fit.distance for fit in found.fits[1:]}
    assert others["RGB, ImageNet's mean and std"] < 1e-5
    assert others["BGR, ImageNet's mean and std"] > 0.05 and others["RGB, 0 to 255"] > 100


@pytest.mark.parametrize(
    ("trained", "words"),
    [
        (BYTES_BGR, "BGR, 0 to 255"),
        (spec_with(mean=(), std=()), "RGB, 0 to 1"),
        (spec_with(colour="BGR", mean=(0.5,) * 3, std=(0.5,) * 3), "BGR, -1 to 1"),
    ],
)
def test_the_inputs_of_training_are_told(photographs: SampleSet, trained: Any, words: str):
    found = first_norm(source_of(network(load(photographs, trained)), IMAGENET), photographs)
    assert isinstance(found, FirstNorm) and found.better is not None
    assert found.better.inputs == words and found.better.distance < 1e-4
    assert found.fits[0].distance > 0.1


def test_networks_that_tell_nothing(photographs: SampleSet):
    bare = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert first_norm(source_of(bare, SPEC), photographs) == (
        "the network has no BatchNorm that its input reaches"
    )
    new = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    assert first_norm(source_of(new, SPEC), photographs) == (
        "BatchNorm 1 holds its initial values: it was never trained"
    )


def test_arrays_are_compared_as_they_are(photographs: SampleSet):
    batch = load(photographs, IMAGENET)
    found = first_norm(source_of(network(batch), IMAGENET), in_memory(batch, "samples"))
    assert isinstance(found, FirstNorm)
    assert [fit.inputs for fit in found.fits] == [GIVEN] and found.fits[0].distance < 1e-5


@pytest.mark.parametrize("batch", [1, "n"])
def test_a_file_that_kept_its_norm(photographs: SampleSet, tmp_path: Path, batch: int | str):
    module = network(load(photographs, BYTES_BGR))
    convolution, norm = module[0], module[1]
    stored = {
        "w": convolution.weight,
        "b": convolution.bias,
        "scale": norm.weight,
        "shift": norm.bias,
        "var": norm.running_var,
    }
    # Paddle's exporter writes constants, not initializers
    mean = norm.running_mean.numpy()
    graph = helper.make_graph(
        [
            helper.make_node("Constant", [], ["mean"], value=numpy_helper.from_array(mean)),
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv"),
            helper.make_node(
                "BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["y"], name="bn"
            ),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, 3, 12, 12))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (batch, 8, 10, 10))],
        [numpy_helper.from_array(v.detach().numpy(), name) for name, v in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    source = ModelSource(spec=IMAGENET, kind="onnx", location=str(tmp_path / "net.onnx"))
    found = first_norm(source, photographs)
    assert isinstance(found, FirstNorm) and found.better is not None
    assert (found.name, found.better.inputs) == ("bn", "BGR, 0 to 255")
    del graph.node[2]
    graph.output[0].CopyFrom(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "net.onnx")
    assert "has no BatchNorm any more" in str(first_norm(source, photographs))
