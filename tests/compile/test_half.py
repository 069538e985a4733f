"""FP16 around INT8: every operator's types are those of its schema, and its values stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import numpy_helper, parser

from edge_scnet.compile import half
from edge_scnet.graph.run import run_onnx
from tests.helpers.statistics import stats_of

# Graphs behind x = float[2,4,6,6], each with outputs of its own.
_BODIES = {
    "a mask by Greater and Cast": (
        "float[2,4,6,6] y",
        """
        t = Constant<value = float {0.1}>()
        b = Greater(x, t)
        m = Cast<to = 1>(b)
        y = Mul(x, m)
        """,
    ),
    "a class index as a number": (
        "float[2,1,6,6] y, int64[2,1,6,6] k",
        """
        k = ArgMax<axis = 1, keepdims = 1>(x)
        f = Cast<to = 1>(k)
        half = Constant<value = float {0.5}>()
        y = Mul(f, half)
        """,
    ),
    "top k with both outputs": (
        "float[2,2,6,6] y, int64[2,2,6,6] i",
        """
        k = Constant<value = int64[1] {2}>()
        y, i = TopK<axis = 1>(x, k)
        """,
    ),
    "boxes suppressed": (
        "float[2,6,4] boxes, int64[n,3] kept",
        """
        shape = Constant<value = int64[3] {2,6,24}>()
        flat = Reshape(x, shape)
        starts = Constant<value = int64[1] {0}>()
        ends = Constant<value = int64[1] {4}>()
        axes = Constant<value = int64[1] {2}>()
        raw = Slice(flat, starts, ends, axes)
        boxes = Abs(raw)
        one = Constant<value = int64[3] {2,1,-1}>()
        score = ReduceMax<keepdims = 0>(raw, axes)
        scores = Reshape(score, one)
        many = Constant<value = int64[1] {5}>()
        iou = Constant<value = float[1] {0.5}>()
        least = Constant<value = float[1] {0.1}>()
        kept = NonMaxSuppression(boxes, scores, many, iou, least)
        """,
    ),
    "a Resize whose scales are a factor as well": (
        "float[2,4,12,12] y, float[4] z",
        """
        scales = Constant<value = float[4] {1,1,2,2}>()
        y = Resize<mode = "linear">(x, , scales)
        z = Mul(scales, scales)
        """,
    ),
    "scales that are computed": (
        "float[2,4,12,12] y",
        """
        h = Constant<value = float[1] {2.0}>()
        top = ReduceMax<keepdims = 1>(x)
        flat = Constant<value = int64[1] {-1}>()
        one = Reshape(top, flat)
        zero = Sub(one, one)
        two = Add(zero, h)
        same = Constant<value = float[2] {1,1}>()
        scales = Concat<axis = 0>(same, two, two)
        y = Resize<mode = "nearest">(x, , scales)
        """,
    ),
    "a range": (
        "float[2,4,6,6] y",
        """
        a = Constant<value = float {0.0}>()
        b = Constant<value = float {6.0}>()
        c = Constant<value = float {1.0}>()
        r = Range(a, b, c)
        y = Add(x, r)
        """,
    ),
    "Where and Equal on whole numbers": (
        "float[2,4,6,6] y",
        """
        i = Cast<to = 7>(x)
        zero = Constant<value = int64 {0}>()
        e = Equal(i, zero)
        n = Not(e)
        y = Where(n, x, s)
        """,
    ),
    "Gather, Shape and ConstantOfShape": (
        "float[2,4,2,6] y, int64[4] size",
        """
        places = Constant<value = int64[2] {5,0}>()
        g = Gather<axis = 2>(x, places)
        size = Shape(g)
        fill = ConstantOfShape<value = float[1] {0.25}>(size)
        y = Mul(g, fill)
        """,
    ),
    "Clip and Pad": (
        "float[2,4,8,8] y",
        """
        low = Constant<value = float {-1.0}>()
        high = Constant<value = float {6.0}>()
        c = Clip(x, low, high)
        pads = Constant<value = int64[8] {0,0,1,1,0,0,1,1}>()
        value = Constant<value = float {-0.5}>()
        y = Pad<mode = "constant">(c, pads, value)
        """,
    ),
    "norms with a mean of their own": (
        "float[2,4,6,6] y, float[2,4,6,1] mean",
        """
        w = Constant<value = float[6] {1,2,1,2,1,2}>()
        y, mean = LayerNormalization<axis = 3>(x, w)
        """,
    ),
    "CumSum, OneHot and EyeLike": (
        "float[2,4,6,6] y, float[2,3] hot",
        """
        axis = Constant<value = int64 {3}>()
        c = CumSum(x, axis)
        pick = Constant<value = int64[2] {0,2}>()
        depth = Constant<value = int64 {3}>()
        values = Constant<value = float[2] {0,1}>()
        hot = OneHot(pick, depth, values)
        square = Constant<value = int64[2] {6,6}>()
        ones = ConstantOfShape<value = float[1] {1}>(square)
        eye = EyeLike(ones)
        y = MatMul(c, eye)
        """,
    ),
    "a constant and its size as outputs": (
        "float[2,4,6,6] y, int64[1] version, float[2] priors",
        """
        v = Constant<value = int64[1] {3}>()
        version = Identity(v)
        p = Constant<value = float[2] {0.5, 1.5}>()
        priors = Identity(p)
        y = Relu(x)
        """,
    ),
    "a graph inside": (
        "float[2,4,6,6] y",
        """
        r = Relu(x)
        on = Constant<value = int64 {1}>()
        c = Cast<to = 9>(on)
        y = If (c) <
            then_branch = one () => (float[2,4,6,6] t) { t = Mul(r, r) },
            else_branch = two () => (float[2,4,6,6] e) { e = Neg(r) }
        >
        """,
    ),
    "a graph inside that reads codes and weights": (
        "float[2,4,6,6] y, float[2,4,6,6] z",
        """
        scale = Constant<value = float {0.03125}>()
        zero = Constant<value = int8 {0}>()
        q = QuantizeLinear(x, scale, zero)
        d = DequantizeLinear(q, scale, zero)
        factor = Constant<value = float[1] {0.5}>()
        z = Mul(d, factor)
        times = Constant<value = int64 {2}>()
        on = Constant<value = int64 {1}>()
        c = Cast<to = 9>(on)
        y = Loop (times, c, z) <
            body = step (int64 i, bool go, float[2,4,6,6] b) => (bool more, float[2,4,6,6] n) {
                more = Identity(go)
                half = Mul(b, factor)
                n = Add(half, d)
            }
        >
        """,
    ),
    "codes that an output and another pair read": (
        "float[2,4,6,6] y, float[2,4,6,6] d",
        """
        scale = Constant<value = float {0.03}>()
        other = Constant<value = float {0.0123}>()
        zero = Constant<value = int8 {0}>()
        q = QuantizeLinear(x, scale, zero)
        d = DequantizeLinear(q, scale, zero)
        q2 = QuantizeLinear(d, other, zero)
        d2 = DequantizeLinear(q2, other, zero)
        y = Sqrt(d2)
        """,
    ),
    "a whole number for an input": (
        "float[2,4,6,6] y",
        """
        f = Cast<to = 1>(n)
        y = Mul(x, f)
        """,
    ),
}


def _graph(body: str) -> ir.Model:
    outputs, nodes = _BODIES[body]
    inputs = "float[2,4,6,6] x, float[1] s" + (", int64[1] n" if "(n)" in nodes else "")
    text = f'<ir_version: 10, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{{nodes}}}'
    proto = parser.parse_model(text)
    for number, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{number}"
    # the second input is a stored factor, as files have them
    stored = numpy_helper.from_array(np.array([0.5], np.float32), "s")
    proto.graph.initializer.append(stored)
    del proto.graph.input[1]
    onnx.checker.check_model(proto, full_check=True)
    return ir.serde.deserialize_model(proto)


@pytest.mark.parametrize("body", _BODIES)
def test_every_operator_has_valid_types_and_computes_the_same(body: str) -> None:
    model = _graph(body)
    made = half.to_half(model, {})
    proto = ir.serde.serialize_model(made.model)
    onnx.checker.check_model(proto, full_check=True)
    assert [output.type for output in proto.graph.output] == [
        output.type for output in ir.serde.serialize_model(model).graph.output
    ]
    feed = {"x": np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)}
    feed["x"] = np.abs(feed["x"]) + np.float32(0.01) if "Sqrt" in _BODIES[body][1] else feed["x"]
    if any(value.name == "n" for value in model.graph.inputs):
        feed["n"] = np.array([3])
    wanted, given = (run_onnx(graph, [feed])[0] for graph in (model, made.model))
    for before, after in zip(wanted, given, strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_allclose(before, after, atol=0.02, rtol=0.002)
    assert made.kept == {}


def test_what_is_computed_in_fp16_is_fp16_in_the_file() -> None:
    model = half.to_half(_graph("a mask by Greater and Cast"), {}).model
    types = {node.op_type: node.outputs[0].dtype for node in model.graph if node.op_type != "Cast"}
    assert types == {"Greater": ir.DataType.BOOL, "Mul": ir.DataType.FLOAT16}
    casts = [node for node in model.graph if node.op_type == "Cast"]
    # the input's, the mask's own, the output's
    assert [node.attributes["to"].as_int() for node in casts] == [10, 10, 1]


def test_tensors_and_weights_of_tiny_numbers_stay_in_fp32() -> None:
    text = """<ir_version: 10, opset_import: ["" : 20]> g (float[1,4] x) => (float[1,4] y)
    <float[4,4] w = {1e-9,0,0,0, 0,1e-9,0,0, 0,0,1e-9,0, 0,0,0,1e-9}, float[1] f = {0.5}>
    { a = MatMul(x, w) b = Relu(a) m = Identity(b) y = Mul(m, f) }"""
    proto = parser.parse_model(text)
    for node in proto.graph.node:
        node.name = node.output[0]
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    made = half.to_half(model, {})
    assert set(made.kept) == {"a"} and "weights of a reaches 1e-09" in made.kept["a"]
    tiny = stats_of(np.full(4, 3e-9, np.float32))
    # the Identity has the values of the tensor in front of it
    assert set(half.to_half(model, {"b": tiny}).kept) == {"a", "b", "m", "y"}
    large = stats_of(np.full(4, 1e6, np.float32))
    assert "1,000,000" in half.to_half(model, {"b": large}).kept["y"]
    zero = stats_of(np.zeros(4, np.float32))
    assert set(half.to_half(model, {"b": zero}).kept) == {"a"}
