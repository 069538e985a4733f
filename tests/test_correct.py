"""Cross-layer equalisation, compensated rounding and bias correction: exactness, and that each
makes the result closer.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.data import batches as data_batches
from edge_scnet.data import samples as dataset
from edge_scnet.graph import run as simulate
from edge_scnet.models import zoo
from edge_scnet.quantize import (
    calibrate,
    correct,
    equalize,
    placement,
    ranges_file,
    recipe,
    rounding,
)
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.tool import Built

SCHEME = QuantScheme(placement="openvino")
PLAIN = replace(SCHEME, equalization=0.0, rounding="nearest", bias_correction=False)


def graph(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], outputs: tuple[str, ...] = ()
) -> ir.Model:
    names = outputs or (nodes[-1].output[0],)
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, (1, 4, 8, 8))],
        [helper.make_tensor_value_info(name, 1, None) for name in names],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(model))


def conv(source: str, weight: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", [source, weight, f"{weight}_b"], [output], name=output, pads=[1] * 4, **attributes
    )


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def weights(*names: str, groups: dict[str, int] | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for name in names:
        made[name] = rng.standard_normal((4, 4 // (groups or {}).get(name, 1), 3, 3)).astype(
            np.float32
        )
        made[f"{name}_b"] = rng.standard_normal(4).astype(np.float32)
    return made


RELU = node("Relu", ["a"], "r")
SIDE = [conv("input", "w1", "a"), RELU, conv("r", "w2", "b")]
TWICE = {"twice": np.array([1, 1, 2, 2], np.float32)}
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], set[str]]] = {
    # nodes, weights, tensors that must have factors
    "chain": (SIDE, weights("w1", "w2"), {"a", "r"}),
    "depthwise": (
        [
            conv("input", "w1", "a"),
            RELU,
            conv("r", "w2", "b", group=4),
            node("Relu", ["b"], "c"),
            conv("c", "w3", "d"),
        ],
        weights("w1", "w2", "w3", groups={"w2": 4}),
        {"a", "r", "b", "c"},
    ),
    "grouped": (
        [conv("input", "w1", "a"), RELU, conv("r", "w2", "b", group=2), conv("b", "w3", "d")],
        weights("w1", "w2", "w3", groups={"w2": 2}),
        {"r", "b"},
    ),
    "residual": (
        [*SIDE, node("Add", ["b", "r"], "s"), node("Relu", ["s"], "t"), conv("t", "w3", "d")],
        weights("w1", "w2", "w3"),
        {"r", "b", "s", "t"},
    ),
    "concat": (
        [
            *SIDE,
            node("Relu", ["b"], "t"),
            node("Concat", ["r", "t"], "c", axis=1),
            conv("c", "w8", "d"),
        ],
        weights("w1", "w2")
        | {
            "w8": np.random.default_rng(1).standard_normal((4, 8, 3, 3)).astype(np.float32),
            "w8_b": np.zeros(4, np.float32),
        },
        {"r", "t", "c"},
    ),
    "pools and resize": (
        [
            conv("input", "w1", "a"),
            RELU,
            node("AveragePool", ["r"], "p", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
            node("MaxPool", ["p"], "m", kernel_shape=[2, 2], strides=[2, 2]),
            node("Resize", ["m", "", "twice"], "u", mode="nearest"),
            conv("u", "w2", "b"),
        ],
        weights("w1", "w2") | TWICE,
        {"r", "p", "m", "u"},
    ),
    "gate": (
        [
            *SIDE,
            node("Sigmoid", ["b"], "g"),
            conv("r", "w3", "c"),
            node("Mul", ["c", "g"], "y"),
            conv("y", "w4", "d"),
        ],
        weights("w1", "w2", "w3", "w4"),
        {"r", "c", "y"},
    ),
    "classifier": (
        [
            conv("input", "w1", "a"),
            RELU,
            node("ReduceMean", ["r", "axes"], "p", keepdims=1),
            node("Flatten", ["p"], "f"),
            helper.make_node("Gemm", ["f", "fc", "fc_b"], ["y"], name="y", transB=1),
        ],
        weights("w1")
        | {
            "axes": np.array([2, 3]),
            "fc": np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32),
            "fc_b": np.zeros(3, np.float32),
        },
        {"r", "p", "f"},
    ),
}
FIXED: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], tuple[str, ...]]] = {
    "relu6": (
        [conv("input", "w1", "a"), node("Clip", ["a", "zero", "six"], "r"), conv("r", "w2", "b")],
        weights("w1", "w2") | {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)},
        (),
    ),
    "sigmoid": (
        [conv("input", "w1", "a"), node("Sigmoid", ["a"], "r"), conv("r", "w2", "b")],
        weights("w1", "w2"),
        (),
    ),
    "an output of the graph": (SIDE, weights("w1", "w2"), ("b", "r")),
    "tied to the input": (
        [conv("input", "w1", "a"), node("Add", ["a", "input"], "r"), conv("r", "w2", "b")],
        weights("w1", "w2"),
        (),
    ),
    "a bias that is computed": (
        [
            node("Identity", ["w1_b"], "bias"),
            helper.make_node("Conv", ["input", "w1", "bias"], ["a"], name="a", pads=[1] * 4),
            RELU,
            conv("r", "w2", "b"),
        ],
        weights("w1", "w2"),
        (),
    ),
    "reshaped": (
        [conv("input", "w1", "a"), node("Reshape", ["a", "shape"], "r"), conv("r", "w2", "b")],
        weights("w1", "w2") | {"shape": np.array([1, 4, 4, 16])},
        (),
    ),
}
IMAGES = np.random.default_rng(3).standard_normal((4, 4, 8, 8)).astype(np.float32)


def peaks(model: ir.Model) -> dict[str, np.ndarray]:
    return calibrate._channel_peaks(model, calibrate.tensors_to_observe(model), IMAGES)


def run(model: ir.Model) -> np.ndarray:
    return np.concatenate(
        [outputs[0] for outputs in simulate.run_onnx(model, np.split(IMAGES, len(IMAGES)))]
    )


@pytest.mark.parametrize("name", CASES)
def test_equalisation_is_exact_and_makes_channels_alike(name: str) -> None:
    nodes, constants, expected = CASES[name]
    constants = dict(constants)
    constants["w1"] = constants["w1"] * np.array([1, 0.1, 10, 0.5], np.float32)[:, None, None, None]
    constants["w1_b"] = constants["w1_b"] * np.array([1, 0.1, 10, 0.5], np.float32)
    model = graph(nodes, constants)
    factor_of = equalize.factors(model, peaks(model), strength=1.0)
    assert expected <= factor_of.keys()
    changed = equalize.equalize(model, factor_of)
    assert sqnr_db(run(model), run(changed)) is None or sqnr_db(run(model), run(changed)) > 110
    before, after = peaks(model)["r" if "r" in peaks(model) else "a"], peaks(changed)["r"]
    assert after.min() / after.max() > 1.3 * before.min() / before.max()
    # what it gives is new values = old values / factor, of every tensor
    for tensor, factor in factor_of.items():
        if tensor in peaks(changed):
            assert peaks(changed)[tensor] == pytest.approx(peaks(model)[tensor] / factor, rel=1e-4)


@pytest.mark.parametrize("name", FIXED)
def test_what_does_not_commute_with_a_factor_gets_none(name: str) -> None:
    nodes, constants, outputs = FIXED[name]
    model = graph(nodes, constants, outputs)
    assert equalize.factors(model, peaks(model), strength=1.0).keys() & {"a", "r"} == set()


def test_weights_shared_by_two_layers_are_split_where_their_factors_differ() -> None:
    model = graph(
        [*SIDE[:2], conv("r", "w1", "b"), node("Relu", ["b"], "c"), conv("c", "w1", "d")],
        weights("w1"),
    )
    changed = equalize.equalize(model, equalize.factors(model, peaks(model), strength=0.5))
    assert sqnr_db(run(model), run(changed)) > 110


def test_no_strength_leaves_the_graph_as_it_is(built: Built) -> None:
    model = ir.load(built.folder / "model.onnx")
    images = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
    found = calibrate._channel_peaks(model, calibrate.tensors_to_observe(model), images)
    assert equalize.factors(model, found, strength=0.0) == {}


@pytest.mark.parametrize("case", ["plain", "strided", "dilated", "grouped", "linear"])
def test_patches_are_what_the_convolution_reads(case: str) -> None:
    rng = np.random.default_rng(0)
    window, shape = {
        "plain": (rounding.Window(kernel=(3, 3), pads=(1, 1, 1, 1)), (6, 4, 3, 3)),
        "strided": (
            rounding.Window(kernel=(3, 2), strides=(2, 1), pads=(0, 1, 2, 0)),
            (6, 4, 3, 2),
        ),
        "dilated": (
            rounding.Window(kernel=(3, 3), dilations=(2, 2), pads=(2, 2, 2, 2)),
            (6, 4, 3, 3),
        ),
        "grouped": (rounding.Window(kernel=(3, 3), groups=2, pads=(1, 1, 1, 1)), (6, 2, 3, 3)),
        "linear": (rounding.Window(), (6, 4, 1, 1)),
    }[case]
    image = rng.standard_normal((4, 9, 7) if case != "linear" else (4, 1, 1)).astype(np.float32)
    filters = rng.standard_normal(shape).astype(np.float32)
    name = {
        "kernel_shape": list(window.kernel),
        "strides": list(window.strides),
        "dilations": list(window.dilations),
    }
    made = helper.make_graph(
        [
            helper.make_node(
                "Conv", ["x", "w"], ["y"], pads=list(window.pads), group=window.groups, **name
            )
        ],
        "g",
        [helper.make_tensor_value_info("x", 1, (1, *image.shape))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(filters, "w")],
    )
    model = ir.serde.deserialize_model(
        helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    expected = simulate.run_onnx(model, [image[None]])[0][0][0]
    found = rounding.patches(image, window, limit=10**6)
    rows = filters.reshape(window.groups, -1, found.shape[2])
    assert np.einsum("gpi,goi->gop", found, rows).reshape(expected.shape) == pytest.approx(
        expected, abs=1e-4
    )


def test_compensated_rounding_has_less_error_in_the_output_than_nearest() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((40, 40))
    inputs = rng.standard_normal((5000, 40)) @ mixing
    filters = rng.standard_normal((8, 40))
    scales = np.abs(filters).max(axis=1) / 7
    codes = rounding.round_weights(filters, scales, np.cov(inputs.T), largest=7)
    nearest = np.clip(np.rint(filters / scales[:, None]), -7, 7)

    def error(found: np.ndarray) -> float:
        return float(np.var(inputs @ (filters - found * scales[:, None]).T, axis=0).sum())

    assert np.abs(codes.astype(int)).max() <= 7
    assert error(codes) < 0.6 * error(nearest)


def test_compensated_rounding_of_inputs_that_never_fire_is_nearest() -> None:
    filters = np.random.default_rng(0).standard_normal((3, 5))
    codes = rounding.round_weights(filters, np.full(3, 0.05), np.zeros((5, 5)), largest=127)
    assert np.array_equal(codes, np.clip(np.rint(filters / 0.05), -127, 127))


def quantized(built: Built, scheme: QuantScheme, bits: int = 7) -> tuple[recipe.Quantized, float]:
    """The bundled model under a scheme, and its SQNR on evaluation images."""
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    calib = dataset.open_samples(built.calib, model=spec, role="calibration")
    images = data_batches.load(calib, spec)
    pilot = images[calibrate.pilot_indices(calib.content_hashes, recipe.PILOT_IMAGES)]
    found = calibrate.calibrate(
        built.folder / "model.onnx",
        [images],
        expected_images=len(images),
        samples_hash="x",
        pilot=pilot,
        equalization=scheme.equalization,
    )
    model = ir.load(built.folder / "model.onnx")
    result = recipe.assemble(recipe.prepare(model, found, scheme, weight_bits=bits, images=pilot))
    evaluation = dataset.open_samples(built.evaluation, model=spec, role="evaluation")
    batches = np.split(data_batches.load(evaluation, spec, range(200)), 200)
    reference = np.concatenate([outputs[0] for outputs in simulate.run_onnx(model, batches)])
    db = sqnr_db(
        reference,
        np.concatenate([outputs[0] for outputs in simulate.run_onnx(result.model, batches)]),
    )
    assert db is not None
    return result, db


def test_each_correction_gains_on_the_bundled_model(built: Built) -> None:
    plain, db = quantized(built, PLAIN)
    assert (plain.equalized, plain.compensated, plain.corrected) == (0, 0, 0)
    corrected, with_bias = quantized(built, replace(PLAIN, bias_correction=True))
    assert corrected.corrected == 46 and with_bias > db + 0.3
    everything, best = quantized(built, SCHEME)
    assert everything.equalized > 50 and everything.compensated == 46
    assert best > db + 2.0


def test_bias_correction_takes_out_the_mean_error_of_a_depthwise_layer(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    constants = weights("w1", "w2", groups={"w2": 4})
    # rows of one sign: their rounding errors do not cancel, and inputs behind a ReLU have a mean
    constants["w2"] = (0.03 + 0.001 * rng.standard_normal((4, 1, 3, 3))).astype(np.float32)
    constants["w2"][:, 0, 1, 1] = 1.0
    model = graph(
        [conv("input", "w1", "a"), RELU, conv("r", "w2", "b", group=4), conv("b", "w1", "d")],
        constants,
    )
    path = tmp_path / "m.onnx"
    ir.save(model, path)
    found = calibrate.calibrate(path, [IMAGES], expected_images=4, samples_hash="x")

    def shift(scheme: QuantScheme) -> float:
        result = recipe.assemble(recipe.prepare(model, found, scheme, weight_bits=7, images=IMAGES))
        for graph_ in (model.graph, result.model.graph):
            value = next(v for n in graph_ for v in n.outputs if v.name == "b")
            if value not in graph_.outputs:
                graph_.outputs.append(value)
        means = [
            np.mean(
                [out[-1].mean(axis=(0, 2, 3)) for out in simulate.run_onnx(m, np.split(IMAGES, 4))],
                axis=0,
            )
            for m in (model, result.model)
        ]
        return float(np.abs(means[0] - means[1]).max())

    assert shift(replace(PLAIN, bias_correction=True)) < 0.3 * shift(PLAIN)


def test_a_layer_without_bias_gets_one_where_there_is_an_error_to_correct(tmp_path: Path) -> None:
    constants = weights("w1", "w2")
    bare = [
        helper.make_node("Conv", ["input", "w1"], ["a"], name="a", pads=[1] * 4),
        RELU,
        conv("r", "w2", "b"),
    ]
    model = graph(bare, constants)
    path = tmp_path / "m.onnx"
    ir.save(model, path)
    found = calibrate.calibrate(path, [IMAGES], expected_images=4, samples_hash="x")
    written = recipe.assemble(
        recipe.prepare(
            model, found, replace(PLAIN, bias_correction=True), weight_bits=7, images=IMAGES
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
