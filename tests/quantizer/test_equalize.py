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
from tests.helpers.float_graphs import (
    FOUR_IMAGES,
    RELU,
    biased_conv,
    ir_graph,
    named_node,
    random_weights,
)
from tests.helpers.tool import Built

SIDE = [biased_conv("input", "w1", "a"), RELU, biased_conv("r", "w2", "b")]
TWICE = {"twice": np.array([1, 1, 2, 2], np.float32)}
CASES: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], set[str]]] = {
    # nodes, weights, tensors that must have factors
    "chain": (SIDE, random_weights("w1", "w2"), {"a", "r"}),
    "depthwise": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            biased_conv("r", "w2", "b", group=4),
            named_node("Relu", ["b"], "c"),
            biased_conv("c", "w3", "d"),
        ],
        random_weights("w1", "w2", "w3", groups={"w2": 4}),
        {"a", "r", "b", "c"},
    ),
    "grouped": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            biased_conv("r", "w2", "b", group=2),
            biased_conv("b", "w3", "d"),
        ],
        random_weights("w1", "w2", "w3", groups={"w2": 2}),
        {"r", "b"},
    ),
    "residual": (
        [
            *SIDE,
            named_node("Add", ["b", "r"], "s"),
            named_node("Relu", ["s"], "t"),
            biased_conv("t", "w3", "d"),
        ],
        random_weights("w1", "w2", "w3"),
        {"r", "b", "s", "t"},
    ),
    "concat": (
        [
            *SIDE,
            named_node("Relu", ["b"], "t"),
            named_node("Concat", ["r", "t"], "c", axis=1),
            biased_conv("c", "w8", "d"),
        ],
        random_weights("w1", "w2")
        | {
            "w8": np.random.default_rng(1).standard_normal((4, 8, 3, 3)).astype(np.float32),
            "w8_b": np.zeros(4, np.float32),
        },
        {"r", "t", "c"},
    ),
    "pools and resize": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node(
                "AveragePool", ["r"], "p", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1
            ),
            named_node("MaxPool", ["p"], "m", kernel_shape=[2, 2], strides=[2, 2]),
            named_node("Resize", ["m", "", "twice"], "u", mode="nearest"),
            biased_conv("u", "w2", "b"),
        ],
        random_weights("w1", "w2") | TWICE,
        {"r", "p", "m", "u"},
    ),
    "gate": (
        [
            *SIDE,
            named_node("Sigmoid", ["b"], "g"),
            biased_conv("r", "w3", "c"),
            named_node("Mul", ["c", "g"], "y"),
            biased_conv("y", "w4", "d"),
        ],
        random_weights("w1", "w2", "w3", "w4"),
        {"r", "c", "y"},
    ),
    "classifier": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("ReduceMean", ["r", "axes"], "p", keepdims=1),
            named_node("Flatten", ["p"], "f"),
            helper.make_node("Gemm", ["f", "fc", "fc_b"], ["y"], name="y", transB=1),
        ],
        random_weights("w1")
        | {
            "axes": np.array([2, 3]),
            "fc": np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32),
            "fc_b": np.zeros(3, np.float32),
        },
        {"r", "p", "f"},
    ),
    "transposed convolution": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            helper.make_node(
                "ConvTranspose", ["r", "up", "up_b"], ["b"], name="b", strides=[2, 2], group=2
            ),
            named_node("Relu", ["b"], "c"),
            biased_conv("c", "w6", "d"),
        ],
        random_weights("w1")
        | {
            "up": np.random.default_rng(3).standard_normal((4, 3, 2, 2)).astype(np.float32),
            "up_b": np.random.default_rng(4).standard_normal(6).astype(np.float32),
            "w6": np.random.default_rng(5).standard_normal((4, 6, 3, 3)).astype(np.float32),
            "w6_b": np.zeros(4, np.float32),
        },
        {"r", "b", "c"},
    ),
    "padding, then products of matrices": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("Pad", ["r", "pads"], "e"),
            named_node("GlobalAveragePool", ["e"], "p"),
            named_node("Flatten", ["p"], "f"),
            named_node("MatMul", ["f", "m1"], "h"),
            named_node("Relu", ["h"], "k"),
            named_node("MatMul", ["k", "m2"], "y"),
        ],
        random_weights("w1")
        | {
            "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
            "m1": np.random.default_rng(2).standard_normal((4, 5)).astype(np.float32),
            "m2": np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32),
        },
        {"r", "e", "p", "f", "h", "k"},
    ),
    "channels shuffled": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("Reshape", ["r", "groups"], "g"),
            named_node("Transpose", ["g"], "t", perm=[0, 2, 1, 3, 4]),
            named_node("Reshape", ["t", "shape"], "s"),
            named_node("Gather", ["s", "some"], "c", axis=1),
            biased_conv("c", "w2", "b"),
        ],
        random_weights("w1", "w2")
        | {
            "groups": np.array([1, 2, 2, 8, 8]),
            "shape": np.array([1, 4, 8, 8]),
            "some": np.array([3, 0, 1, 2]),
        },
        {"r", "s", "c"},
    ),
    "constants beside": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("Mul", ["r", "m"], "x"),
            named_node("Add", ["x", "one"], "c"),
            biased_conv("c", "w2", "b"),
        ],
        random_weights("w1", "w2")
        | {
            "m": np.array([0.5, 2, -1, 3], np.float32).reshape(4, 1, 1),
            "one": np.array(0.1, np.float32),
        },
        {"r", "x", "c"},
    ),
    "a normalisation of its own": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("BatchNormalization", ["r", "gamma", "beta", "mean", "var"], "n"),
            named_node("PRelu", ["n", "slope"], "c"),
            biased_conv("c", "w2", "b"),
        ],
        random_weights("w1", "w2")
        | {
            "gamma": np.array([0.5, 2, -1, 3], np.float32),
            "beta": np.array([0.5, -2, 1, 3], np.float32),
            "mean": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
            "var": np.array([0.5, 2, 1, 3], np.float32),
            "slope": np.full((4, 1, 1), 0.2, np.float32),
        },
        {"r", "n", "c"},
    ),
}
FIXED: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], tuple[str, ...]]] = {
    "relu6": (
        [
            biased_conv("input", "w1", "a"),
            named_node("Clip", ["a", "zero", "six"], "r"),
            biased_conv("r", "w2", "b"),
        ],
        random_weights("w1", "w2")
        | {"zero": np.array(0, np.float32), "six": np.array(6, np.float32)},
        (),
    ),
    "sigmoid": (
        [
            biased_conv("input", "w1", "a"),
            named_node("Sigmoid", ["a"], "r"),
            biased_conv("r", "w2", "b"),
        ],
        random_weights("w1", "w2"),
        (),
    ),
    "an output of the graph": (SIDE, random_weights("w1", "w2"), ("b", "r")),
    "tied to the input": (
        [
            biased_conv("input", "w1", "a"),
            named_node("Add", ["a", "input"], "r"),
            biased_conv("r", "w2", "b"),
        ],
        random_weights("w1", "w2"),
        (),
    ),
    "a bias that is computed": (
        [
            named_node("Identity", ["w1_b"], "bias"),
            helper.make_node("Conv", ["input", "w1", "bias"], ["a"], name="a", pads=[1] * 4),
            RELU,
            biased_conv("r", "w2", "b"),
        ],
        random_weights("w1", "w2"),
        (),
    ),
    "a product over rows, of as many as there are channels": (
        [
            biased_conv("input", "w1", "a"),
            RELU,
            named_node("Reshape", ["r", "rows"], "t"),
            named_node("MatMul", ["t", "m"], "y"),
        ],
        random_weights("w1")
        | {
            "rows": np.array([1, 4, 64]),
            "m": np.random.default_rng(2).standard_normal((64, 3)).astype(np.float32),
        },
        (),
    ),
    "added to a tensor of another rank": (
        [
            biased_conv("input", "w1", "a"),
            named_node("Relu", ["a"], "r"),
            named_node("GlobalAveragePool", ["r"], "p"),
            named_node("Reshape", ["p", "row"], "t"),
            named_node("MatMul", ["t", "m"], "n"),
            named_node("Add", ["p", "n"], "y"),
        ],
        random_weights("w1") | {"row": np.array([1, 4]), "m": np.eye(4, dtype=np.float32)},
        (),
    ),
    "two channels in one": (
        [
            biased_conv("input", "w1", "a"),
            named_node("Reshape", ["a", "shape"], "r"),
            biased_conv("r", "w2", "b"),
        ],
        random_weights("w1", "w2")
        | {
            "shape": np.array([1, 2, 8, 16]),
            "w2": np.random.default_rng(1).standard_normal((4, 2, 3, 3)).astype(np.float32),
        },
        (),
    ),
}


def peaks(model: ir.Model) -> dict[str, np.ndarray]:
    return calibrate.channel_peaks(model, calibrate.tensors_to_observe(model), [FOUR_IMAGES])


def run(model: ir.Model) -> np.ndarray:
    return np.concatenate(
        [outputs[0] for outputs in run_onnx(model, np.split(FOUR_IMAGES, len(FOUR_IMAGES)))]
    )


@pytest.mark.parametrize("name", CASES)
def test_equalisation_is_exact_and_makes_channels_alike(name: str) -> None:
    nodes, constants, expected = CASES[name]
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
