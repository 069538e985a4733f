"""Parity with PyTorch."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export.from_torch import export_torch
from edge_scnet.export.parity import PARITY_BATCHES, check_parity, first_differing_module
from tests.helpers.networks import GREY_SHAPE, TINY_SHAPE, damaged, random_images


@pytest.mark.slow
def test_parity_of_scnet20(network: nn.Module, exported: ir.Model):
    # the other batches are exported again, and slow: see the tiny one
    proof = check_parity(network, exported, random_images(GREY_SHAPE), opset=18, batches=(1,))
    assert (proof.batches, proof.images) == ((1,), 1)
    assert 0 < proof.worst < 2e-5


@pytest.mark.slow
def test_parity_exports_again_at_the_other_batches(named: nn.Module, named_exported: ir.Model):
    # all three below, where the batch is dynamic: each costs an export here
    assert PARITY_BATCHES == (1, 2, 8)
    images = random_images(TINY_SHAPE, 20)
    # a graph of batch 1 does not run at batch 2
    proof = check_parity(named, named_exported, images, opset=20, batches=(2,))
    # the graph's own batch, 1, is compared too
    assert (proof.batches, proof.images) == ((1, 2), 2)
    assert 0 < proof.worst < 2e-5


@pytest.mark.parametrize(
    ("weight", "change", "module"),
    [
        ("layer2.0.scconv.k3.0.weight", lambda w: w * 1.5, "layer2.0.scconv.k3.1"),
        ("layer1.0.conv1_a.weight", lambda w: w[::-1].copy(), "layer1.0.bn1_a"),
        ("layer2.0.k1.0.weight", lambda w: np.full_like(w, np.nan), "layer2.0.k1.1"),
        ("fc.bias", lambda b: b[::-1] + 1, "fc"),
    ],
)
def test_a_damaged_graph_fails_and_the_first_module_that_differs_is_named(
    tiny: nn.Module, tiny_exported: ir.Model, weight: str, change: Any, module: str
):
    with pytest.raises(ParityError) as caught:
        check_parity(
            tiny, damaged(tiny_exported, weight, change), random_images(TINY_SHAPE), opset=18
        )
    assert (
        "the exported graph differs from PyTorch at batch 1 on real images: "
        in caught.value.message
    )
    assert caught.value.message.endswith(f"first module that differs: {module}")


def test_a_sound_graph_has_no_differing_module(tiny: nn.Module, tiny_exported: ir.Model):
    before = tiny_exported.graph.outputs[0].name
    assert first_differing_module(tiny, tiny_exported, random_images(TINY_SHAPE, 1)) is None
    assert [value.name for value in tiny_exported.graph.outputs] == [before]


def test_another_top1_within_the_tolerance_is_a_failure(tiny: nn.Module, tiny_exported: ir.Model):
    # all classes alike in PyTorch, and one of them ahead by a hair in the graph
    alike = copy.deepcopy(tiny)
    with torch.no_grad():
        alike.fc.weight.copy_(alike.fc.weight[:1].expand_as(alike.fc.weight))
        alike.fc.bias.zero_()
    graph = damaged(tiny_exported, "fc.weight", lambda w: np.tile(w[:1], (len(w), 1)))
    graph = damaged(graph, "fc.bias", lambda b: np.float32(1e-5) * (np.arange(len(b)) == 3))
    with pytest.raises(ParityError, match="top-1 different"):
        check_parity(alike, graph, random_images(TINY_SHAPE), opset=18)


class Centred(nn.Module):
    """Takes the mean of the batch away."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.centre = nn.Conv2d(3, 4, 3), Mean()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.centre(self.conv(x)).mean((2, 3))


class Mean(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x - x.mean(0, keepdim=True)


class OneImage(nn.Module):
    """Is written for one image; defined for values of 0 and more alone."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt(x).reshape(1, 48)


@pytest.mark.slow
def test_a_module_whose_images_influence_each_other_is_refused_with_several():
    images = random_images((1, 3, 4, 4))
    module = Centred().eval()
    graph = export_torch(module, images[:2], opset=18)
    with pytest.raises(ArtifactError) as caught:
        check_parity(module, graph, images, opset=18, batches=(2,))
    assert caught.value.message.startswith("the model cannot be built at batch 2: centre lets the")


@pytest.mark.slow
def test_a_module_for_one_image_is_compared_with_one_and_nan_equals_nan():
    images = np.abs(random_images((1, 3, 4, 4)))
    graph = export_torch(OneImage(), images[:1], opset=18)
    proof = check_parity(OneImage(), graph, images, opset=18)
    assert (proof.batches, proof.images, proof.finite) == ((1,), 1, True)
    assert check_parity(OneImage(), graph, -images, opset=18).finite is False
