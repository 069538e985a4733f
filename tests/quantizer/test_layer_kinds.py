"""Every kind of layer that is quantized: valid, close to float, and corrected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.config.target import QuantScheme
from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import correct, placement, recipe
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import PLAIN, SCHEME, TENSORRT
from tests.helpers.layer_kinds import KINDS, LAYER, Kind, kind_graph, kind_images
from tests.helpers.statistics import calibrated


def outputs_of(model: ir.Model, kind: Kind) -> np.ndarray:
    images = kind_images(kind)
    return np.stack(
        [out[0] for out in run_onnx(model, np.split(images, len(images) // kind.shape[0]))]
    )


def other_axes(kind: Kind, outputs: np.ndarray) -> tuple[int, ...]:
    """All axes of the outputs of several runs but that of the channels."""
    channels = (kind.output_axis + (kind.output_axis >= 0)) % outputs.ndim
    return tuple(axis for axis in range(outputs.ndim) if axis != channels)


def ranges_of(model: ir.Model, kind: Kind, folder: Path) -> Ranges:
    ir.save(model, folder / "m.onnx")
    return calibrated(folder / "m.onnx", kind_images(kind))


def quantized(model: ir.Model, found: Ranges, scheme: QuantScheme, kind: Kind) -> recipe.Quantized:
    prepared = recipe.prepare(model, found, scheme, weight_bits=7, images=kind_images(kind))
    return recipe.assemble(prepared)


@pytest.mark.parametrize("scheme", [SCHEME, TENSORRT], ids=["openvino", "tensorrt"])
@pytest.mark.parametrize("name", KINDS)
def test_the_quantized_layer_is_valid_and_close_to_float(
    name: str, scheme: QuantScheme, tmp_path: Path
) -> None:
    kind = KINDS[name]
    model = kind_graph(kind)
    result = quantized(model, ranges_of(model, kind, tmp_path), scheme, kind)
    if scheme is TENSORRT and kind.operator == "ConvTranspose":
        assert result.placement.int8_nodes == ()  # it computes them in float
        return
    assert result.placement.int8_nodes == (LAYER,)
    assert (result.compensated, result.corrected) == (1, 1)
    onnx.checker.check_model(ir.serde.serialize_model(result.model), full_check=True)
    layer = next(node for node in result.model.graph if node.name == LAYER)
    dequantize = layer.inputs[1].producer()
    assert dequantize is not None and dequantize.attributes["axis"].as_int() == kind.axis
    assert dequantize.inputs[0].shape == kind.weights
    quality = sqnr_db(outputs_of(model, kind), outputs_of(result.model, kind))
    assert quality is not None and quality > 33
    assert [v.name for v in result.model.graph.outputs] == [v.name for v in model.graph.outputs]


@pytest.mark.parametrize("name", KINDS)
def test_compensated_rounding_errs_less_than_nearest(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    model = kind_graph(kind)
    sites = placement.place(model, ranges_of(model, kind, tmp_path), SCHEME).weights
    errors = {}
    for rounding in ("nearest", "compensated"):
        layer = correct.quantize_layers(
            model, sites, replace(PLAIN, rounding=rounding), weight_bits=7, images=kind_images(kind)
        )[0]
        shape = [-1 if axis == kind.axis else 1 for axis in range(layer.codes.ndim)]
        coded = kind_graph(kind, layer.codes * layer.scales.reshape(shape))
        difference = outputs_of(coded, kind) - outputs_of(model, kind)
        errors[rounding] = float(np.var(difference, axis=other_axes(kind, difference)).sum())
    assert errors["compensated"] <= errors["nearest"]


@pytest.mark.parametrize("name", KINDS)
def test_bias_correction_takes_out_the_mean_error(name: str, tmp_path: Path) -> None:
    kind = KINDS[name]
    rng = np.random.default_rng(0)
    # rows of one sign: their rounding errors do not cancel
    weights = (0.03 + 0.001 * rng.standard_normal(kind.weights)).astype(np.float32)
    first = [slice(None) if axis == kind.axis else 0 for axis in range(weights.ndim)]
    weights[tuple(first)] = 1.0
    model = kind_graph(kind, weights)
    found = ranges_of(model, kind, tmp_path)

    def mean_error(scheme: QuantScheme) -> float:
        written = quantized(model, found, scheme, kind).model
        difference = outputs_of(written, kind) - outputs_of(model, kind)
        return float(np.abs(difference.mean(axis=other_axes(kind, difference))).max())

    assert mean_error(replace(PLAIN, bias_correction=True)) < 0.3 * mean_error(PLAIN)
