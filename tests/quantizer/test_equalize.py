"""Cross-layer equalisation is exact and makes channels alike."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import calibrate, equalize
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.equalized import EXACT, FIXED, SIDE
from tests.helpers.float_graphs import (
    FOUR_IMAGES,
    RELU,
    biased_conv,
    ir_graph,
    named_node,
    random_weights,
)
from tests.helpers.tool import Built


def peaks(model: ir.Model) -> dict[str, np.ndarray]:
    return calibrate.channel_peaks(model, calibrate.tensors_to_observe(model), [FOUR_IMAGES])


def run(model: ir.Model) -> np.ndarray:
    return np.concatenate(
        [outputs[0] for outputs in run_onnx(model, np.split(FOUR_IMAGES, len(FOUR_IMAGES)))]
    )


@pytest.mark.parametrize("name", EXACT)
def test_equalisation_is_exact_and_makes_channels_alike(name: str) -> None:
    nodes, constants, expected = EXACT[name]
    constants = dict(constants)
    constants["w1"] = constants["w1"] * np.array([1, 0.1, 10, 0.5], np.float32)[:, None, None, None]
    constants["w1_b"] = constants["w1_b"] * np.array([1, 0.1, 10, 0.5], np.float32)
    model = ir_graph(nodes, constants)
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
    model = ir_graph(nodes, constants, outputs)
    assert equalize.factors(model, peaks(model), strength=1.0).keys() & {"a", "r"} == set()


def test_channels_that_a_squeeze_hands_to_a_1_d_convolution_are_right() -> None:
    weights = random_weights("w1")
    weights["w1"] *= np.array([1, 0.1, 10, 0.5], np.float32)[:, None, None, None]
    weights["w"] = np.random.default_rng(2).standard_normal((3, 4, 1)).astype(np.float32)
    model = ir_graph(
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("GlobalAveragePool", ["r"], "p"),
            named_node("Squeeze", ["p", "axis"], "s"),
            named_node("Conv", ["s", "w"], "y"),
        ],
        weights | {"axis": np.array([3])},
    )
    factor_of = equalize.factors(model, peaks(model), strength=1.0)
    assert {"r", "p", "s"} <= factor_of.keys()
    assert sqnr_db(run(model), run(equalize.equalize(model, factor_of))) > 110


def test_an_infinite_peak_decides_nothing() -> None:
    model = ir_graph(SIDE, random_weights("w1", "w2"))
    found = peaks(model) | {"a": np.full(4, np.inf, np.float32)}
    assert all(np.isfinite(f).all() for f in equalize.factors(model, found, strength=1.0).values())


def test_weights_shared_by_two_layers_are_split_where_their_factors_differ() -> None:
    model = ir_graph(
        [
            *SIDE[:2],
            biased_conv("r", "w1", "b"),
            named_node("Relu", ["b"], "c"),
            biased_conv("c", "w1", "d"),
        ],
        random_weights("w1"),
    )
    changed = equalize.equalize(model, equalize.factors(model, peaks(model), strength=0.5))
    assert sqnr_db(run(model), run(changed)) > 110


def test_no_strength_leaves_the_graph_as_it_is(built: Built) -> None:
    model = ir.load(built.folder / "model.onnx")
    images = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype(np.float32)
    found = calibrate.channel_peaks(model, calibrate.tensors_to_observe(model), [images])
    assert equalize.factors(model, found, strength=0.0) == {}


def test_a_bias_that_is_computed_keeps_its_values() -> None:
    """gemm(z, w2, gemm(x, w1)): nothing multiplies a factor of the inner one back."""
    rng = np.random.default_rng(0)
    weights = {
        name: numpy_helper.from_array(rng.standard_normal((4, 4)).astype(np.float32), name)
        for name in ("w0", "w1", "w2")
    }
    nodes = [
        helper.make_node("Gemm", ["input", "w0"], ["z"], name="z"),
        helper.make_node("Gemm", ["z", "w1"], ["c"], name="c"),
        helper.make_node("Gemm", ["z", "w2", "c"], ["y"], name="y"),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("input", "y")
    ]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], list(weights.values()))
    model = ir.from_proto(
        onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        )
    )
    factor_of = equalize.factors(model, {"c": np.array([1.0, 0.1, 0.1, 0.1])}, strength=1.0)
    image = rng.standard_normal((1, 4)).astype(np.float32)
    changed = equalize.equalize(model, factor_of)
    np.testing.assert_allclose(
        run_onnx(changed, [image])[0][0], run_onnx(model, [image])[0][0], rtol=1e-5
    )


def test_what_no_layer_in_front_can_rescale_gets_a_product_that_does() -> None:
    nodes = [
        biased_conv("input", "w1", "a"),
        named_node("HardSwish", ["a"], "h"),
        biased_conv("h", "w2", "b"),
        named_node("HardSwish", ["b"], "r"),
        biased_conv("r", "w3", "c"),
        named_node("Add", ["c", "r"], "y"),
    ]
    constants = random_weights("w1", "w2", "w3")
    constants["w1"] = constants["w1"] * np.array([1, 0.1, 10, 0.5], np.float32)[:, None, None, None]
    model = ir_graph(nodes, constants)
    assert equalize.factors(model, peaks(model), strength=1.0) == {}
    factor_of = equalize.factors(model, peaks(model), strength=1.0, rescaled=True)
    # r is read by a sum as well, which would need the old values
    assert factor_of.keys() == {"h/rescaled"}
    changed = equalize.equalize(model, factor_of)
    assert sqnr_db(run(model), run(changed)) > 110
    after = peaks(changed)["h/rescaled"]
    before = peaks(model)["h"]
    assert after.min() / after.max() > 5 * before.min() / before.max()
    assert [node.op_type for node in changed.graph].count("Mul") == 1


def test_a_tensor_of_the_user_may_be_called_like_a_product_of_equalisation() -> None:
    nodes = [
        biased_conv("input", "w1", "a"),
        RELU,
        named_node("Mul", ["r", "half"], "c/rescaled"),
        biased_conv("c/rescaled", "w2", "y"),
    ]
    constants = random_weights("w1", "w2") | {"half": np.array(0.5, np.float32)}
    model = ir_graph(nodes, constants)
    factor_of = equalize.factors(model, peaks(model), strength=1.0, rescaled=True)
    assert "c/rescaled" in factor_of
    assert sqnr_db(run(model), run(equalize.equalize(model, factor_of))) > 110
