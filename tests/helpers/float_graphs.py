"""Small float graphs to quantize, and random images for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.quantizer import correct, equalize, placement, ranges_file, sites, write
from tests.helpers.tool import Built

FAST = QuantScheme(placement="openvino", variant="fast")
TENSORRT = QuantScheme(placement="tensorrt")
NO_IMAGES = np.zeros((0, 1, 1, 1), np.float32)


def write_plain(model: ir.Model, placed: sites.Placement, *, weight_bits: int) -> ir.Model:
    """The Q/DQ graph with plainly rounded weights."""
    layers = correct.quantize_layers(
        model, placed.weights, FAST, weight_bits=weight_bits, images=NO_IMAGES
    )
    return write.write_qdq(model, placed, layers)


def placed(built: Built, scheme: QuantScheme) -> tuple[ir.Model, sites.Placement]:
    """The equalised graph, which the build's statistics are of, and where its Q/DQ go."""
    loaded = ranges_file.load_ranges(built.folder / "ranges.npz")
    model = equalize.equalize(ir.load(built.folder / "model.onnx"), loaded.factors)
    return model, placement.place(
        model, ranges_file.load_ranges(built.folder / "ranges.npz"), scheme
    )


def graph_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, tuple[int, ...]],
    shape: tuple[int, ...] = (1, 4, 8, 8),
) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    constants = [
        numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n)
        for n, s in weights.items()
    ]
    constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "twice"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], 1, None)],
        constants,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


def conv(source: str, weight: str, output: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight], [output], pads=[1] * 4, name=output)


TWO_WEIGHTS = {"w1": (4, 4, 3, 3), "w2": (4, 4, 3, 3)}
FIRST_CONV = conv("input", "w1", "a")
SIGMOID = helper.make_node("Sigmoid", ["a"], ["s"], name="s")
USERS_GRAPHS = {
    "interpolating resize": [
        FIRST_CONV,
        helper.make_node("Resize", ["a", "", "twice"], ["r"], mode="linear", name="r"),
        conv("r", "w2", "b"),
    ],
    "sigmoid before a convolution": [FIRST_CONV, SIGMOID, conv("s", "w2", "b")],
    "sigmoid, pool, convolution": [
        FIRST_CONV,
        SIGMOID,
        helper.make_node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], name="p"),
        conv("p", "w2", "b"),
    ],
    "one weight for two convolutions": [FIRST_CONV, conv("a", "w1", "b")],
    "relu6": [
        FIRST_CONV,
        helper.make_node("Clip", ["a", "zero", "six"], ["c"], name="c"),
        conv("c", "w2", "b"),
    ],
    "output that is consumed too": [
        FIRST_CONV,
        conv("a", "w2", "b"),
        helper.make_node("Add", ["a", "b"], ["y"], name="y"),
    ],
}
SCHEME = QuantScheme(placement="openvino")
PLAIN = replace(SCHEME, equalization=0.0, rounding="nearest", bias_correction=False)


def ir_graph(
    nodes: list[onnx.NodeProto],
    random_weights: dict[str, np.ndarray],
    outputs: tuple[str, ...] = (),
) -> ir.Model:
    names = outputs or (nodes[-1].output[0],)
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, (1, 4, 8, 8))],
        [helper.make_tensor_value_info(name, 1, None) for name in names],
        [numpy_helper.from_array(array, name) for name, array in random_weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(model))


def biased_conv(source: str, weight: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(
        "Conv", [source, weight, f"{weight}_b"], [output], name=output, pads=[1] * 4, **attributes
    )


def named_node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


def random_weights(*names: str, groups: dict[str, int] | None = None) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for name in names:
        made[name] = rng.standard_normal((4, 4 // (groups or {}).get(name, 1), 3, 3)).astype(
            np.float32
        )
        made[f"{name}_b"] = rng.standard_normal(4).astype(np.float32)
    return made


RELU = named_node("Relu", ["a"], "r")
FOUR_IMAGES = np.random.default_rng(3).standard_normal((4, 4, 8, 8)).astype(np.float32)
