"""Parity with PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from torch import nn

from edge_scnet.errors import ParityError
from edge_scnet.export import from_torch, parity
from edge_scnet.export.parity import check_parity, first_differing_module
from edge_scnet.graph.run import ort_session
from tests.helpers.networks import GREY_SHAPE, TINY_SHAPE, damaged, random_images


def test_parity_of_scnet20(network: nn.Module, exported: ir.Model, monkeypatch: pytest.MonkeyPatch):
    # the other batches are exported again, and slow: see the tiny one
    monkeypatch.setattr(parity, "PARITY_BATCHES", (1,))
    proof = check_parity(network, exported, random_images(GREY_SHAPE), opset=18)
    assert (proof.batches, proof.images) == ((1,), 1)
    assert 0 < proof.worst < 2e-5


def test_parity_exports_again_at_the_other_batches(
    named: nn.Module, named_exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    # all three below, where the batch is dynamic: each costs an export here
    assert parity.PARITY_BATCHES == (1, 2, 8)
    monkeypatch.setattr(parity, "PARITY_BATCHES", (2,))
    calls = []
    real = from_torch.export_torch

    def counted(model: nn.Module, shape: Sequence[int], **options: Any) -> ir.Model:
        calls.append(tuple(shape))
        return real(model, shape, **options)

    monkeypatch.setattr(parity, "export_torch", counted)
    proof = check_parity(named, named_exported, random_images(TINY_SHAPE, 20), opset=20)
    assert calls == [(2, 3, 16, 16)]
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
    network: nn.Module, exported: ir.Model, weight: str, change: Any, module: str
):
    with pytest.raises(ParityError) as caught:
        check_parity(
            network, damaged(exported, weight, change), random_images(GREY_SHAPE), opset=18
        )
    assert (
        "the exported graph differs from PyTorch at batch 1 on real images: "
        in caught.value.message
    )
    assert caught.value.message.endswith(f"first module that differs: {module}")


def test_a_sound_graph_has_no_differing_module(network: nn.Module, exported: ir.Model):
    before = exported.graph.outputs[0].name
    assert first_differing_module(network, exported, random_images(GREY_SHAPE, 1)) is None
    assert [value.name for value in exported.graph.outputs] == [before]


def test_another_top1_within_the_tolerance_is_a_failure(
    network: nn.Module, exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    real = parity.run_onnx

    def tied(model: Any, batches: Any, outputs: Any = None) -> Any:
        found = real(model, batches, outputs)
        logits = found[0][0]
        if (
            not outputs
        ):  # the last class by a hair, with an allowance that hides the difference itself
            logits[:, (logits[0].argmax() + 1) % 10] = logits.max() + 1e-6
        return found

    monkeypatch.setattr(parity, "run_onnx", tied)
    monkeypatch.setattr(parity, "PARITY_TOLERANCE", 10.0)
    with pytest.raises(ParityError, match="top-1 different"):
        check_parity(network, exported, random_images(GREY_SHAPE), opset=18)


def test_sessions_run_with_optimisations_off_unless_asked(
    exported: ir.Model, monkeypatch: pytest.MonkeyPatch
):
    seen = []
    monkeypatch.setattr(
        ort,
        "InferenceSession",
        lambda source, options, providers: seen.append((options, providers)),
    )
    ort_session(ort, exported)
    ort_session(ort, exported, optimize=True)
    levels = [options.graph_optimization_level for options, _ in seen]
    assert levels == [
        ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
        ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ]
    assert all(providers == ["CPUExecutionProvider"] for _, providers in seen)
