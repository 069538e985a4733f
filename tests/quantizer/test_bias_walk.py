"""Biases are corrected on the inputs that the layers will see, where that helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import bias_walk, recipe
from edge_scnet.quantizer.placement import place
from edge_scnet.quantizer.write import write_qdq
from tests.helpers.float_graphs import PLAIN, RELU, biased_conv, ir_graph, random_weights
from tests.helpers.statistics import calibrated

# Images of one grey each: their values lie between two codes, all in the same place.
IMAGES = (
    np.repeat(np.random.default_rng(0).uniform(0.30, 0.31, (12, 4, 1, 1)), 64, axis=3)
    .reshape(12, 4, 8, 8)
    .astype(np.float32)
)
IMAGES[0, 0, 0, 0], IMAGES[1, 0, 0, 0] = -4.0, 4.0


@pytest.fixture
def prepared(tmp_path: Path) -> recipe.Prepared:
    model = ir_graph(
        [
            biased_conv("input", "w1", "a"),
            RELU,
            biased_conv("r", "w2", "b"),
            biased_conv("b", "w1", "d"),
        ],
        random_weights("w1", "w2"),
    )
    ir.save(model, tmp_path / "m.onnx")
    found = calibrated(tmp_path / "m.onnx", IMAGES)
    scheme = replace(PLAIN, bias_correction=True)
    return recipe.prepare(model, found, scheme, weight_bits=8, images=IMAGES)


def means(model: ir.Model, name: str) -> np.ndarray:
    shown = model.clone()
    value = next(v for node in shown.graph for v in node.outputs if v.name == name)
    if value not in shown.graph.outputs:
        shown.graph.outputs.append(value)
    names = [str(v.name) for v in shown.graph.outputs]
    runs = run_onnx(shown, [image[None] for image in IMAGES])
    return np.mean([run[names.index(name)].mean(axis=(0, 2, 3)) for run in runs], axis=0)


def test_the_mean_of_every_layer_is_that_of_the_float_graph(prepared: recipe.Prepared) -> None:
    placed = place(prepared.model, prepared.ranges, prepared.scheme)
    walked = bias_walk.correct_biases(prepared.model, placed, prepared.layers, IMAGES)
    after = write_qdq(prepared.model, placed, walked)
    before = write_qdq(prepared.model, placed, prepared.layers)
    for name in ("a", "b", "d"):
        wanted = means(prepared.model, name)
        error = np.abs(means(after, name) - wanted).max()
        assert error < 0.2 * np.abs(means(before, name) - wanted).max()


def test_the_walk_is_taken_where_it_lowers_the_noise_of_other_images(
    prepared: recipe.Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = place(prepared.model, prepared.ranges, prepared.scheme)

    def better() -> list[bool]:
        found = bias_walk.better_biases(prepared.model, placed, prepared.layers, IMAGES)
        return [a is not b for a, b in zip(found, prepared.layers, strict=True)]

    assert all(better())
    # beyond the work that it may take, and where it gains too little, layers stay as they are
    monkeypatch.setattr(bias_walk, "_MOST_GMAC", 0.0)
    assert not any(better())
    monkeypatch.undo()
    monkeypatch.setattr(bias_walk, "_LEAST_FALL", 1.0)
    assert not any(better())


def test_a_difference_on_which_images_disagree_is_left_out() -> None:
    agreed = np.array([[1.0, 1.0], [1.0, -1.0], [1.1, 1.1], [0.9, -1.2]])
    shift = bias_walk._shrunk(agreed)
    assert shift[0] == pytest.approx(1.0, abs=0.01) and shift[1] == 0.0
