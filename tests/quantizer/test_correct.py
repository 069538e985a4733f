"""The corrections together: each makes the result closer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.data import samples
from edge_scnet.data.batches import load
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.quantizer import calibrate, correct, equalize, placement, ranges_file, recipe
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import (
    FOUR_IMAGES,
    PLAIN,
    RELU,
    SCHEME,
    biased_conv,
    ir_graph,
    random_weights,
)
from tests.helpers.statistics import calibrated
from tests.helpers.tool import Built


@pytest.fixture
def quantized(built: Built) -> Callable[[QuantScheme], tuple[recipe.Quantized, float]]:
    """The bundled model under a scheme, and its SQNR on evaluation images."""
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    calib = samples.open_samples(built.calib, model=spec, role="calibration")
    images = load(calib, spec)
    pilot = images[calibrate.pilot_indices(calib.content_hashes, recipe.PILOT_IMAGES)]
    model = ir.load(built.folder / "model.onnx")
    evaluation = samples.open_samples(built.evaluation, model=spec, role="evaluation")
    batches = np.split(load(evaluation, spec, range(100)), 100)

    def logits(of: ir.Model) -> np.ndarray:
        return np.concatenate([outputs[0] for outputs in run_onnx(of, batches)])

    @cache
    def ranges(strength: float) -> Ranges:
        equalization = calibrate.Equalization(pilot=[pilot], strength=strength)
        return calibrated(built.folder / "model.onnx", images, equalization=equalization)

    reference = logits(model)

    def call(scheme: QuantScheme) -> tuple[recipe.Quantized, float]:
        prepared = recipe.prepare(
            model, ranges(scheme.equalization), scheme, weight_bits=7, images=pilot
        )
        result = recipe.assemble(prepared)
        db = sqnr_db(reference, logits(result.model))
        assert db is not None
        return result, db

    return call


def test_each_correction_gains_on_the_bundled_model(
    quantized: Callable[[QuantScheme], tuple[recipe.Quantized, float]],
) -> None:
    plain, db = quantized(PLAIN)
    assert (plain.equalized, plain.compensated, plain.corrected) == (0, 0, 0)
    corrected, with_bias = quantized(replace(PLAIN, bias_correction=True))
    assert corrected.corrected == 46 and with_bias > db + 0.3
    everything, best = quantized(SCHEME)
    assert everything.equalized > 50 and everything.compensated == 46
    assert best > db + 2.0


def test_bias_correction_takes_out_the_mean_error_of_a_depthwise_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = random_weights("w1", "w2", groups={"w2": 4})
    # rows of one sign: their rounding errors do not cancel, and inputs behind a ReLU have a mean
    constants["w2"] = (0.03 + 0.001 * rng.standard_normal((4, 1, 3, 3))).astype(np.float32)
    constants["w2"][:, 0, 1, 1] = 1.0
    model = ir_graph(
        [
            biased_conv("input", "w1", "a"),
            RELU,
            biased_conv("r", "w2", "b", group=4),
            biased_conv("b", "w1", "d"),
        ],
        constants,
    )
    path = tmp_path / "m.onnx"
    ir.save(model, path)
    found = calibrated(path, FOUR_IMAGES)

    def shift(scheme: QuantScheme) -> float:
        result = recipe.assemble(
            recipe.prepare(model, found, scheme, weight_bits=7, images=FOUR_IMAGES)
        )
        for graph_ in (model.graph, result.model.graph):
            value = next(v for n in graph_ for v in n.outputs if v.name == "b")
            if value not in graph_.outputs:
                graph_.outputs.append(value)
        means = [
            np.mean(
                [out[-1].mean(axis=(0, 2, 3)) for out in run_onnx(m, np.split(FOUR_IMAGES, 4))],
                axis=0,
            )
            for m in (model, result.model)
        ]
        return float(np.abs(means[0] - means[1]).max())

    assert shift(replace(PLAIN, bias_correction=True)) < 0.3 * shift(PLAIN)


def test_a_layer_without_bias_gets_one_where_there_is_an_error_to_correct(tmp_path: Path) -> None:
    constants = random_weights("w1", "w2")
    bare = [
        helper.make_node("Conv", ["input", "w1"], ["a"], name="a", pads=[1] * 4),
        RELU,
        biased_conv("r", "w2", "b"),
    ]
    model = ir_graph(bare, constants)
    path = tmp_path / "m.onnx"
    ir.save(model, path)
    found = calibrated(path, FOUR_IMAGES)
    written = recipe.assemble(
        recipe.prepare(
            model, found, replace(PLAIN, bias_correction=True), weight_bits=7, images=FOUR_IMAGES
        )
    ).model
    first = next(n for n in written.graph if n.name == "a")
    assert (
        len(first.inputs) == 3 and first.inputs[2] is not None and first.inputs[2].is_initializer()
    )
    onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)


def test_the_work_limit_leaves_the_dear_layers_to_nearest_rounding(built: Built) -> None:
    model = ir.load(built.folder / "model.onnx")
    found = ranges_file.load_ranges(built.folder / "ranges.npz")
    sites = placement.place(equalize.equalize(model, found.factors), found, SCHEME).weights
    images = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
    layers = correct.quantize_layers(
        model, sites, replace(SCHEME, rounding_gflop=0.5), weight_bits=7, images=images
    )
    assert {layer.compensated for layer in layers} == {True, False}
    cheap = max(np.prod(layer.codes.shape[1:]) for layer in layers if layer.compensated)
    assert cheap < max(np.prod(layer.codes.shape[1:]) for layer in layers if not layer.compensated)
    # counted, not clocked: the same again
    again = correct.quantize_layers(
        model, sites, replace(SCHEME, rounding_gflop=0.5), weight_bits=7, images=images
    )
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(layers, again, strict=True))
