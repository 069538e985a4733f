"""The noise of each module is that of the module quantized alone."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.data import samples
from edge_scnet.data.batches import load
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.quantizer import ranges_file, recipe
from edge_scnet.sensitivity import bisect, noise
from edge_scnet.stats.accuracy import relative_noise
from tests.helpers.layer_kinds import KINDS, LAYER, kind_graph, kind_images
from tests.helpers.statistics import calibrated
from tests.helpers.tool import Built

SCHEME = QuantScheme(placement="openvino", rounding="nearest")
FULL = QuantScheme(placement="openvino")


@pytest.fixture(scope="module")
def prepared(built: Built) -> recipe.Prepared:
    model = ir.load(built.folder / "model.onnx")
    images = calib_images(built, 8)
    return recipe.prepare(
        model,
        ranges_file.load_ranges(built.folder / "ranges.npz"),
        SCHEME,
        weight_bits=7,
        images=images,
    )


def calib_images(built: Built, count: int) -> np.ndarray:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    return load(
        samples.open_samples(built.calib, model=spec, role="calibration"), spec, range(count)
    )


def test_noise_by_module_is_that_of_the_module_quantized_alone(
    built: Built, prepared: recipe.Prepared
) -> None:
    images = calib_images(built, 16)
    found = noise.measure(prepared, images)
    nodes = recipe.assemble(prepared).placement.int8_nodes
    assert {module.node for module in found.modules} == set(nodes) and found.images == 16
    assert [m.share for m in found.modules] == sorted(
        (m.share for m in found.modules), reverse=True
    )
    # noises add up
    assert 0.6 < sum(module.share for module in found.modules) < 2.0
    # the shared prefix changes nothing: the same by running the whole network
    batches = np.split(images, 16)
    reference = [np.concatenate([run[0] for run in run_onnx(prepared.model, batches)])]

    def noise_of(keep: Iterable[str]) -> float:
        runs = run_onnx(recipe.assemble(prepared, list(keep)).model, batches)
        return relative_noise(reference, [np.concatenate([run[0] for run in runs])])

    # a rounding flips now and then: the session of the prefix has other kernels than that of the
    # whole
    assert found.noise == pytest.approx(noise_of(()), rel=0.1)
    for module in (found.modules[0], found.modules[10], found.modules[30]):
        alone = noise_of(node for node in nodes if node != module.node)
        assert module.share == pytest.approx(alone / noise_of(()), rel=0.1), module.node
    work = {module.node: module.multiply_adds for module in found.modules}
    assert work["conv1"] == 28 * 28 * 16 * 9 and work["layer1.0.conv3"] == 28 * 28 * 16 * 64


def test_what_is_kept_in_float_is_float_and_the_rest_as_before(prepared: recipe.Prepared) -> None:
    whole, without = recipe.assemble(prepared), recipe.assemble(prepared, ["layer1.0.conv3"])
    assert set(whole.placement.int8_nodes) - set(without.placement.int8_nodes) == {"layer1.0.conv3"}
    node = next(n for n in without.model.graph if n.name == "layer1.0.conv3")
    assert node.inputs[1] is not None and node.inputs[1].is_initializer()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_layers_of_every_kind_are_measured_and_put_back_into_float(
    name: str, tmp_path: Path
) -> None:
    kind = KINDS[name]
    model = kind_graph(kind)
    ir.save(model, tmp_path / "m.onnx")
    images = kind_images(kind)
    prepared = recipe.prepare(
        model, calibrated(tmp_path / "m.onnx", images), FULL, weight_bits=7, images=images
    )
    found = noise.measure(prepared, images)
    assert [(m.node, m.share) for m in found.modules] == [(LAYER, pytest.approx(1.0, rel=1e-3))]
    assert found.modules[0].multiply_adds > 0
    # its weights, and what corrected its mean error, are the float graph's
    quantized = recipe.assemble(prepared).model
    alone = bisect.in_float(quantized, prepared.model, [LAYER])
    if kind.operator == "Gemm":
        return  # its input's Q is in front of a Reshape, and stays
    batches = np.split(images, len(images) // kind.shape[0])
    for wanted, got in zip(run_onnx(model, batches), run_onnx(alone, batches), strict=True):
        np.testing.assert_array_equal(got[0], wanted[0])


def test_a_network_of_several_inputs_is_measured(tmp_path: Path) -> None:
    made = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="left"),
            helper.make_node("MatMul", ["z", "w"], ["b"], name="right"),
            helper.make_node("Mul", ["a", "b"], ["y"], name="both"),
        ],
        "g",
        [helper.make_tensor_value_info(name, 1, (1, 5, 4)) for name in ("x", "z")],
        [helper.make_tensor_value_info("y", 1, (1, 5, 3))],
        [numpy_helper.from_array(np.random.default_rng(0).random((4, 3), np.float32), "w")],
    )
    path = tmp_path / "m.onnx"
    onnx.save(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path
    )
    rng = np.random.default_rng(1)
    images = batch_of_arrays({name: rng.random((6, 5, 4), np.float32) for name in ("x", "z")})
    model = ir.load(path)
    prepared = recipe.prepare(model, calibrated(path, images), FULL, weight_bits=7, images=images)
    found = noise.measure(prepared, images)
    assert {module.node for module in found.modules} == {"left", "right"} and found.images == 6
    assert 0.5 < sum(module.share for module in found.modules) < 1.6
