"""The detector's training: what each place is to say, the loss, and the committed weights."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_scnet.core.files import sha256_file
from edge_scnet.errors import ArtifactError
from edge_scnet.examples import weights
from edge_scnet.examples.detector import SIDE, ShapeDetector, shapes
from edge_scnet.examples.shapes import scenes
from edge_scnet.examples.training import (
    Recipe,
    inputs_of,
    loss_of,
    places,
    train,
    truth_of,
)
from edge_scnet.tasks.decoders import decoder
from edge_scnet.tasks.decoders.base import DecodeOptions, ImageInfo


def test_every_object_has_places_and_they_lie_within_it():
    batch = list(scenes(20, seed=1))
    truth = truth_of(batch)
    corner, stride = places()
    centres = corner + stride[:, None] / 2
    for i, scene in enumerate(batch):
        own = truth.positive[i]
        boxes = truth.corners[i][own]
        assert ((centres[own] > boxes[:, :2]) & (centres[own] < boxes[:, 2:])).all()
        assert {tuple(box) for box in boxes.tolist()} == {
            tuple(box) for box in scene.corners.tolist()
        }


def test_outputs_that_are_the_truth_lose_nothing_and_decode_to_it():
    batch = list(scenes(6, seed=2))
    truth = truth_of(batch)
    corner, stride = places()
    middle = (truth.corners[..., :2] + truth.corners[..., 2:]) / 2
    size = truth.corners[..., 2:] - truth.corners[..., :2]
    raw = torch.full((6, len(stride), 8), -20.0)
    has = truth.positive
    raw[..., :2] = torch.where(has[..., None], (middle - corner) / stride[:, None], 0.0)
    raw[..., 2:4] = torch.where(has[..., None], (size / stride[:, None]).clamp(min=1e-3).log(), 0.0)
    raw[..., 4] = torch.where(has, 20.0, -20.0)
    raw[..., 5:] = torch.where(
        torch.nn.functional.one_hot(truth.classes, 3).bool() & has[..., None], 20.0, -20.0
    )
    assert float(loss_of(raw, truth)) < 1e-3
    assert float(loss_of(torch.zeros_like(raw), truth)) > 1
    outputs = raw.clone()
    outputs[..., 4:] = outputs[..., 4:].sigmoid()
    info = ImageInfo(width=SIDE, height=SIDE, classes=3, options=DecodeOptions(min_score=0.5))
    for scene, rows in zip(batch, outputs.numpy(), strict=True):
        found = decoder("yolox").decode({"output": rows}, info)
        order = np.lexsort(found.corners.T)
        wanted = np.lexsort(scene.corners.T)
        assert np.allclose(found.corners[order], scene.corners[wanted], atol=1e-3)
        assert found.classes[order].tolist() == scene.classes[wanted].tolist()


@pytest.mark.slow
def test_a_short_training_lowers_the_loss_and_writes_a_card(tmp_path: Path):
    path = train(Recipe(epochs=2, scenes_per_epoch=64, batch=16), tmp_path)
    card = json.loads(path.with_suffix(".json").read_text())
    assert card["history"][1]["loss"] < card["history"][0]["loss"]
    assert card["sha256"] == sha256_file(path)
    assert set(card["recipe"]) == {field.name for field in fields(Recipe)}


def test_the_committed_weights_are_those_of_their_card_and_of_this_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    card = json.loads((weights.FOLDER / "shapes_detector.json").read_text())
    assert card["recipe"] == {field.name: getattr(Recipe(), field.name) for field in fields(Recipe)}
    assert (weights.FOLDER / "shapes_detector.safetensors").stat().st_size < 1_000_000
    (tmp_path / "shapes_detector.json").write_text(json.dumps(card))
    (tmp_path / "shapes_detector.safetensors").write_bytes(b"other")
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    with pytest.raises(ArtifactError, match="is not what its card says"):
        shapes()


def test_the_detector_finds_the_shapes_of_scenes_that_it_was_not_trained_on():
    batch = list(scenes(12, seed=1_000_001))
    with torch.inference_mode():
        out = shapes()(inputs_of(batch)).numpy()
    assert out.shape == (12, 180, 8)
    info = ImageInfo(width=SIDE, height=SIDE, classes=3, options=DecodeOptions(min_score=0.3))
    hits = objects = 0
    for scene, rows in zip(batch, out, strict=True):
        found = decoder("yolox").decode({"output": rows}, info)
        for box, kind in zip(scene.corners, scene.classes, strict=True):
            near = np.abs(found.corners - box).max(axis=1, initial=0.0) < 6
            hits, objects = hits + bool((near & (found.classes == kind)).any()), objects + 1
    assert hits >= 0.85 * objects


def test_scores_are_probabilities_outside_of_training_only():
    model, x = ShapeDetector(), torch.zeros(1, 3, SIDE, SIDE)
    assert model.train()(x.expand(2, -1, -1, -1))[..., 4].min() < 0
    assert model.eval()(x)[..., 4:].min() >= 0
