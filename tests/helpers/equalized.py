"""Small graphs for cross-layer equalisation: those that take factors, and those that take none."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.helpers.float_graphs import RELU, biased_conv, named_node, random_weights

SIDE = [biased_conv("input", "w1", "a"), RELU, biased_conv("r", "w2", "b")]
TWICE = {"twice": np.array([1, 1, 2, 2], np.float32)}
# nodes, weights, tensors that must have factors
EXACT: dict[str, tuple[list[onnx.NodeProto], dict[str, np.ndarray], set[str]]] = {
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
