"""The form of Q/DQ graphs for ONNX Runtime: INT32 biases, and signed codes for Arm."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.graph.onnxruntime_form import onnxruntime_form
from edge_scnet.graph.pairs import codes_type, constant, pairs
from edge_scnet.graph.run import run_onnx
from edge_scnet.stats.accuracy import sqnr_db

IMAGES = [
    np.random.default_rng(i).uniform(-1, 3, (1, 4, 6, 6)).astype(np.float32) for i in range(4)
]


def pair(tensor: str, scale: str, zero: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node(
            "QuantizeLinear", [tensor, scale, zero], [f"{tensor}_q"], name=f"{tensor}/Q"
        ),
        helper.make_node(
            "DequantizeLinear", [f"{tensor}_q", scale, zero], [f"{tensor}_dq"], name=f"{tensor}/DQ"
        ),
    ]


def qdq(weight_scales: np.ndarray, *, weights: type = np.int8, shared: bool = False) -> ir.Model:
    """A convolution between two pairs, with a bias in float.

    Args:
        shared: whether another without a bias, the second output, reads the same weights.
    """
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (4, 4, 3, 3))
    zero = 0 if weights is np.int8 else 128
    stored = {
        "sx": np.float32(4 / 255),
        "zx": np.uint8(64),
        "sy": np.float32(0.3),
        "zy": np.uint8(120),
        "w": (codes + zero).astype(weights),
        "sw": weight_scales,
        "zw": np.full(weight_scales.shape, zero, weights),
        "b": np.array([0.5, -1.0, 2.0, 0.25], np.float32),
    }
    nodes = [
        *pair("x", "sx", "zx"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["w_dq"], name="w/DQ", axis=0),
        helper.make_node("Conv", ["x_dq", "w_dq", "b"], ["y"], name="conv", pads=[1] * 4),
        *pair("y", "sy", "zy"),
    ]
    if shared:
        nodes.append(helper.make_node("Conv", ["x_dq", "w_dq"], ["z"], name="other"))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, (1, 4, 6, 6))],
        [helper.make_tensor_value_info(name, 1, None) for name in ("y_dq", "z")[: 1 + shared]],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))


def outputs(model: ir.Model) -> np.ndarray:
    return np.stack([run[0] for run in run_onnx(model, IMAGES)])


def bias_of(model: ir.Model) -> tuple[np.ndarray, np.ndarray]:
    """Its codes and their scales."""
    conv = next(node for node in model.graph if node.op_type == "Conv")
    dequantize = conv.inputs[2].producer()
    assert dequantize is not None
    codes, scales = constant(dequantize.inputs[0]), constant(dequantize.inputs[1])
    assert codes is not None and scales is not None
    return codes, scales


def weights_of(model: ir.Model) -> tuple[np.ndarray, np.ndarray]:
    """What the codes of the convolution's weights mean, and their scales, to be multiplied."""
    conv = next(node for node in model.graph if node.op_type == "Conv")
    dequantize = conv.inputs[1].producer()
    assert dequantize is not None
    codes, scales, zero = (constant(value) for value in dequantize.inputs)
    assert codes is not None and scales is not None and zero is not None
    sizes = (-1, 1, 1, 1) if scales.ndim else ()
    levels = codes.astype(np.float64) - zero.reshape(sizes)
    return levels * scales.reshape(sizes), scales.reshape(sizes)


SCALES = np.array([0.01, 0.02, 0.005, 0.001], np.float32)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("weights", [np.int8, np.uint8])
def test_the_form_means_the_same(signed: bool, weights: type) -> None:
    model = qdq(SCALES, weights=weights)
    form = onnxruntime_form(model, signed=signed)
    onnx.checker.check_model(ir.serde.serialize_model(form), full_check=True)
    codes, scales = bias_of(form)
    assert codes.dtype == np.int32
    np.testing.assert_allclose(codes * scales.astype(np.float64), [0.5, -1, 2, 0.25], atol=1e-3)
    np.testing.assert_array_equal(outputs(form), outputs(model))
    types = {codes_type(node) for node in pairs(form)} - {"INT32"}
    assert types == ({"INT8"} if signed else {"UINT8", "INT8"} if weights is np.int8 else {"UINT8"})
    assert outputs(model).std() > 0.5


SMALL = np.array([0.01, 1e-12, 0.005, 0.001], np.float32)


@pytest.mark.parametrize("weights", [np.int8, np.uint8])
@pytest.mark.parametrize("scales", [SMALL, np.float32(1e-12), np.array([1e-12], np.float32)])
def test_a_bias_that_does_not_fit_its_scale_keeps_its_value(
    weights: type, scales: np.ndarray
) -> None:
    """A channel that batch normalisation has all but switched off, or the whole layer."""
    model = qdq(scales, weights=weights)
    form = onnxruntime_form(model, signed=False)
    onnx.checker.check_model(ir.serde.serialize_model(form), full_check=True)
    codes, raised = bias_of(form)
    np.testing.assert_allclose(codes * raised.astype(np.float64), [0.5, -1, 2, 0.25], atol=1e-3)
    assert np.abs(codes.astype(np.int64)).max() <= 2**29
    (before, _), (after, steps) = weights_of(model), weights_of(form)
    assert (np.abs(after - before) <= 0.5 * steps).all()
    assert (sqnr_db(outputs(model), outputs(form)) or 200.0) > 60


def test_other_readers_of_weights_that_are_written_anew_keep_them() -> None:
    model = qdq(SMALL, shared=True)
    form = onnxruntime_form(model, signed=False)
    onnx.checker.check_model(ir.serde.serialize_model(form), full_check=True)
    assert (sqnr_db(outputs(model), outputs(form)) or 200.0) > 60
    others = [[run[1] for run in run_onnx(each, IMAGES)] for each in (model, form)]
    np.testing.assert_array_equal(others[0], others[1])


@pytest.mark.parametrize(
    ("attributes", "is_convolution"),
    [
        ({"kernel_shape": [2, 2], "strides": [2, 2]}, True),
        ({"kernel_shape": [3, 3], "pads": [1] * 4, "count_include_pad": 1}, True),
        # the border's averages are of fewer
        ({"kernel_shape": [3, 3], "pads": [1] * 4}, False),
        ({"kernel_shape": [4, 4], "strides": [4, 4], "ceil_mode": 1}, False),
        # nothing is beyond the border
        ({"kernel_shape": [3, 3], "strides": [3, 3], "ceil_mode": 1}, True),
    ],
    ids=["plain", "counted border", "border", "ceil", "ceil of whole steps"],
)
def test_an_average_is_a_convolution_where_all_are_of_as_many(
    attributes: dict[str, object], is_convolution: bool
) -> None:
    stored = {
        "sx": np.float32(4 / 255),
        "zx": np.uint8(64),
        "sy": np.float32(3 / 255),
        "zy": np.uint8(70),
    }
    nodes = [
        *pair("x", "sx", "zx"),
        helper.make_node("AveragePool", ["x_dq"], ["y"], name="pool", **attributes),
        *pair("y", "sy", "zy"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, (1, 4, 6, 6))],
        [helper.make_tensor_value_info("y_dq", 1, None)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))
    form = onnxruntime_form(model, signed=True)
    onnx.checker.check_model(ir.serde.serialize_model(form), full_check=True)
    kinds = [node.op_type for node in form.graph]
    assert ("Conv" in kinds, "AveragePool" in kinds) == (is_convolution, not is_convolution)
    assert np.abs(outputs(form) - outputs(model)).max() <= 1.01 * 3 / 255  # a code where it is even
    assert np.mean(outputs(form) != outputs(model)) < 0.1 and outputs(model).std() > 0.2


def product(bias: tuple[int, ...], *, sizes: tuple[int, ...], twice: bool = False) -> ir.Model:
    """A product of codes with stored weights, and the sum with a bias.

    Args:
        bias: its sizes.
        sizes: of the input.
        twice: whether the product is an output too.
    """
    rng = np.random.default_rng(0)
    stored = {
        "sx": np.float32(4 / 255),
        "zx": np.uint8(64),
        "w": rng.integers(-127, 128, (6, 3)).astype(np.int8),
        "sw": np.array([0.01, 0.02, 0.005], np.float32),
        "zw": np.zeros(3, np.int8),
        "b": rng.standard_normal(bias).astype(np.float32),
    }
    nodes = [
        *pair("x", "sx", "zx"),
        helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["w_dq"], name="w/DQ", axis=1),
        helper.make_node("MatMul", ["x_dq", "w_dq"], ["m"], name="product"),
        helper.make_node("Add", ["m", "b"], ["y"], name="sum"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, sizes)],
        [helper.make_tensor_value_info(name, 1, None) for name in ("y", "m")[: 1 + twice]],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("bias", "sizes"), [((3,), (4, 6)), ((1, 3), (2, 4, 6)), ((3,), (1, 2, 4, 6))]
)
def test_a_product_and_its_bias_are_a_gemm(
    bias: tuple[int, ...], sizes: tuple[int, ...], signed: bool
) -> None:
    model = product(bias, sizes=sizes)
    form = onnxruntime_form(model, signed=signed)
    onnx.checker.check_model(ir.serde.serialize_model(form), full_check=True)
    kinds = [node.op_type for node in form.graph]
    assert kinds.count("Gemm") == 1 and not {"MatMul", "Add"} & set(kinds)
    gemm = next(node for node in form.graph if node.op_type == "Gemm")
    dequantize = gemm.inputs[2].producer()
    assert gemm.name == "product" and dequantize is not None
    assert [value.name for value in form.graph.outputs] == ["y"]
    images = [np.random.default_rng(i).uniform(-1, 3, sizes).astype(np.float32) for i in range(3)]
    before, after = (np.stack([run[0] for run in run_onnx(m, images)]) for m in (model, form))
    assert before.shape == after.shape and before.std() > 0.5
    assert (sqnr_db(before, after) or 200.0) > 60


@pytest.mark.parametrize(
    ("bias", "sizes", "twice"),
    [
        ((4, 3), (4, 6), False),
        ((1,), (4, 6), False),
        ((1, 1, 3), (4, 6), False),
        ((3,), (4, 6), True),
    ],
    ids=["by row", "one for all", "more axes", "read by others"],
)
def test_other_sums_behind_a_product_stay(
    bias: tuple[int, ...], sizes: tuple[int, ...], twice: bool
) -> None:
    form = onnxruntime_form(product(bias, sizes=sizes, twice=twice), signed=False)
    kinds = {node.op_type for node in form.graph}
    assert {"MatMul", "Add"} <= kinds and "Gemm" not in kinds


def test_a_graph_that_is_float_has_no_other_form() -> None:
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"], name="conv")
    stored = {"w": np.ones((2, 4, 1, 1), np.float32), "b": np.ones(2, np.float32)}
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, (1, 4, 6, 6))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    model = ir.serde.deserialize_model(made)
    form = onnxruntime_form(model, signed=True)
    assert [item.op_type for item in form.graph] == ["Conv"]
