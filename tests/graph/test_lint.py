"""Lint of Q/DQ graphs: every rule on its fault, and on what is near but good.

OpenVINO's own faults: test_openvino_faults.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.graph.lint import int8_layers, lint
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.quantizer import recipe
from tests.helpers.graphs import Graph, find
from tests.helpers.lint_faults import (
    COMMON,
    INT16,
    SCHEMES,
    TENSORRT,
    Change,
    both,
    code,
    findings,
    float_weight,
    good,
    insert,
    named,
    opset,
    put,
    rewire,
    weight_from_float,
)
from tests.helpers.statistics import calibrated

WARNINGS = {"float", "half-quantized", "float-pool", "residual", "mixed-scales"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_good_graph_has_no_finding(scheme: str) -> None:
    model = good(scheme)
    onnx.checker.check_model(model, full_check=True)
    assert findings(model, scheme, max_opset=20, weight_bits=7) == ()


CASES = [(scheme, name) for scheme in SCHEMES for name in COMMON] + [
    ("tensorrt", name) for name in TENSORRT
]


@pytest.mark.parametrize(
    ("scheme", "case"), CASES, ids=[f"{scheme}: {case}" for scheme, case in CASES]
)
def test_each_rule_fires_on_its_fault_and_not_on_what_is_near(scheme: str, case: str) -> None:
    rule, node, change, near = (COMMON | TENSORRT)[case]
    for edit, fires in ((change, True), (near, False)):
        model = good(scheme)
        edit(model)
        found = [finding for finding in findings(model, scheme) if finding.rule == rule]
        assert (node in {finding.node for finding in found}) is fires, found
        assert fires or not found
        for finding in found:
            assert finding.severity == ("warning" if rule in WARNINGS else "error")
            assert finding.problem and finding.fix


@pytest.mark.parametrize("scheme", SCHEMES)
def test_names_to_keep_in_float_are_left_alone(scheme: str) -> None:
    model = good(scheme)
    float_weight("stem")(model)
    find(model, "stem").name = "stem#2"
    assert named(findings(model, scheme)) == {("half-quantized", "stem#2")}
    assert findings(model, scheme, keep_float=("other", "st*")) == ()
    assert findings(model, scheme, keep_float=("stem#2",)) != (), "patterns are of module names"
    rewire("pool", 0, "input")(model)
    assert ("float-pool", "pool") not in named(findings(model, scheme, keep_float=("stem", "pool")))


WIDTHS = [
    (64, 7, False),
    (-64, 7, False),
    (65, 7, True),
    (-65, 7, True),
    (127, 8, False),
    (127, None, False),
]


@pytest.mark.parametrize(("largest", "bits", "fires"), WIDTHS)
def test_weight_codes_beyond_the_width_of_the_instruction_set(
    largest: int, bits: int | None, *, fires: bool
) -> None:
    for change in (code("stem/codes", largest), weight_from_float("stem", largest)):
        model = good("openvino")
        change(model)
        found = findings(model, weight_bits=bits)
        assert named(found) == ({("weight-bits", "stem")} if fires else set())
        assert all(
            finding.severity == "error" and str(abs(largest)) in finding.problem
            for finding in found
        )


def test_unsigned_weight_codes_are_measured_from_their_zero_point() -> None:
    for zero, fires in ((128, False), (100, True)):
        model = good("openvino")
        put("stem/codes", np.full((8, 8, 3, 3), 128 + 64, np.uint8))(model)
        put("stem/zeros", np.full(8, zero, np.uint8))(model)
        assert bool(findings(model, weight_bits=7)) is fires


def test_the_newest_opset_of_a_runtime_and_the_weights_of_tensorrt_8() -> None:
    assert named(findings(good("tensorrt"), "tensorrt", max_opset=19)) == {("opset", "input/Q")}
    model = good("tensorrt")
    opset(17)(model)
    assert findings(model, "tensorrt", max_opset=18) == ()
    layers = {"stem", "depthwise", "transposed", "merge", "fc1", "fc2", "product"}
    assert named(findings(model, "tensorrt", max_opset=17)) == {
        ("weight-form", f"{name}/weight") for name in layers
    }
    weight_from_float("stem", 127)(model)
    assert ("weight-form", "stem/weight") not in named(findings(model, "tensorrt", max_opset=17))


def test_openvino_runs_other_codes_in_float_and_folds_int32_biases() -> None:
    model = good("openvino")
    TENSORRT["INT32 bias"][2](model)
    assert findings(model) == ()
    INT16(model)
    assert {(f.rule, f.node, f.severity) for f in findings(model)} == {
        ("type", "s/Q", "warning"),
        ("type", "s/DQ", "warning"),
    }


def int32_bias(largest: int) -> Change:
    """Gives the stem an INT32 bias with such a code in its second channel."""
    codes = np.array([5, largest, -3, 0, 1, 2, 3, 4], np.int32)
    return both(
        lambda m: m.graph.initializer.append(numpy_helper.from_array(codes, "codes")),
        insert("DequantizeLinear", ["codes", "stem/scales"], "bias", axis=0),
        lambda m: find(m, "stem").input.append("bias"),
    )


@pytest.mark.parametrize("largest", [2**31 - 1, -(2**31), -(2**31) + 1])
def test_a_clipped_int32_bias_is_named_by_its_convolution(largest: int) -> None:
    model = good("openvino")
    put("stem/scales", np.linspace(1e-9, 8e-9, 8, dtype=np.float32))(model)
    int32_bias(largest)(model)
    (finding,) = (f for f in findings(model) if f.rule == "clipped-bias")
    assert (finding.node, finding.severity) == ("stem", "error")
    # the second channel's scale is 2e-9
    assert finding.problem == (
        "the INT32 bias of 1 of its 8 channels is clipped: the smallest of their scales reaches to"
        " 4.3 only"
    )


def test_a_large_int32_bias_is_not_clipped() -> None:
    model = good("openvino")
    int32_bias(2**31 - 2)(model)
    assert findings(model) == ()


def test_a_layer_of_16_bit_codes_is_not_one_of_int8() -> None:
    model = good("openvino")
    every = int8_layers(ir.from_proto(model), "openvino")
    assert every == ("stem", "depthwise", "transposed", "merge", "fc1", "fc2", "product")
    INT16(model)
    assert set(every) - set(int8_layers(ir.from_proto(model), "openvino")) == {"depthwise"}


def test_a_node_without_a_name_is_named_after_its_output() -> None:
    model = good("tensorrt")
    put("s/zero", np.int8(1))(model)
    find(model, "s/Q").ClearField("name")
    assert named(findings(model, "tensorrt")) == {("zero-point", "s/Q"), ("zero-point", "s/DQ")}


def test_what_is_quantized_already_is_known() -> None:
    graph = Graph()
    assert not is_quantized(ir.from_proto(graph.model(graph.relu("input"))))
    assert is_quantized(ir.from_proto(good("openvino")))
    for kind in (
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearMatMul",
        "MatMulInteger",
        "DynamicQuantizeLinear",
    ):
        model = Graph().model()
        insert(kind, ["input"], "odd")(model)
        assert is_quantized(ir.from_proto(model)), kind


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_head_may_be_in_float_but_not_by_half(scheme: str) -> None:
    model = good(scheme)
    model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 8), np.float32), "float"))
    rewire("product", 1, "float")(model)
    assert named(findings(model, scheme)) == {("half-quantized", "product")}
    rewire("product", 0, "fc2")(model)
    assert findings(model, scheme) == ()
    both(rewire("fc2", 0, "fc1"), rewire("fc2", 1, "float"))(model)
    assert named(findings(model, scheme)) == {("float", "fc2")}, "not the last"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_this_package_writes_has_no_finding(scheme: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    graph = Graph()
    names = [
        graph.const((rng.standard_normal((8, n, 3, 3)) / 6).astype(np.float32), f"w{i}")
        for i, n in enumerate((8, 8, 16))
    ]
    stem = graph.relu(graph.node("Conv", ["input", names[0]], "stem", pads=[1] * 4))
    branch = graph.relu(graph.node("Conv", [stem, names[1]], "branch", pads=[1] * 4))
    joined = graph.concat(graph.avgpool(stem), graph.avgpool(branch))
    graph.relu(graph.node("Conv", [joined, names[2]], "merge", pads=[1] * 4))
    path = tmp_path / "float.onnx"
    onnx.save(graph.model(graph.nodes[-1].name), path)
    images = rng.standard_normal((8, 8, 16, 16)).astype(np.float32)
    ranges = calibrated(path, images)
    for bits in (7, 8):
        written = recipe.assemble(
            recipe.prepare(
                ir.load(path),
                ranges,
                QuantScheme(placement=scheme),
                weight_bits=bits,
                images=images,
            )
        ).model
        assert is_quantized(written) and lint(written, scheme, weight_bits=bits, max_opset=20) == ()


def test_files_of_onnx_runtime(tmp_path: Path) -> None:
    """`quantize_static` with its defaults: TensorRT refuses its INT32 biases, and OpenVINO gets
    signed ones wrong.
    """
    quantization = pytest.importorskip("onnxruntime.quantization")
    rng = np.random.default_rng(0)
    graph = Graph()
    for name, channels in (("a", 8), ("b", 8), ("merge", 16)):
        graph.const((rng.standard_normal((8, channels, 3, 3)) / 6).astype(np.float32), f"{name}/w")
        graph.const(rng.standard_normal(8).astype(np.float32), f"{name}/b")
    a, b = (
        graph.relu(graph.node("Conv", ["input", f"{n}/w", f"{n}/b"], n, pads=[1] * 4))
        for n in ("a", "b")
    )
    merge = graph.node("Conv", [graph.concat(a, b), "merge/w", "merge/b"], "merge", pads=[1] * 4)
    source, written = tmp_path / "float.onnx", tmp_path / "qdq.onnx"
    onnx.save(graph.model(merge), source)

    class Reader(quantization.CalibrationDataReader):
        left = 4

        def get_next(self) -> dict[str, np.ndarray] | None:
            self.left -= 1
            return (
                {"input": rng.standard_normal((1, 8, 16, 16)).astype(np.float32)}
                if self.left >= 0
                else None
            )

    kinds = quantization.QuantType
    quantization.quantize_static(
        source,
        written,
        Reader(),
        activation_type=kinds.QInt8,
        weight_type=kinds.QInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"ActivationSymmetric": True},
    )
    model = ir.load(written)
    assert {finding.rule for finding in lint(model, "tensorrt")} == {"int32-bias"}
    assert {finding.rule for finding in lint(model, "openvino", weight_bits=7)} == {"signed-codes"}


@pytest.mark.parametrize(("scales", "wrong"), [(4, False), (8, True)])
def test_scales_of_a_grouped_transposed_convolution_are_those_of_one_group(
    scales: int, wrong: bool
) -> None:
    """Its weights hold the output channels of one group; TensorRT's parser compares the numbers
    (onnx-tensorrt 10.1), and TensorRT-RTX 1.7.1 takes 4 here.
    """
    arrays = {
        "s": np.float32(0.02),
        "z": np.int8(0),
        "codes": np.ones((8, 4, 2, 2), np.int8),
        "ws": np.full(scales, 0.01, np.float32),
        "wz": np.zeros(scales, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="x/Q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="x/DQ"),
        helper.make_node("DequantizeLinear", ["codes", "ws", "wz"], ["w"], name="w/DQ", axis=1),
        helper.make_node("ConvTranspose", ["d", "w"], ["y"], name="up", group=2, strides=[2, 2]),
    ]
    shapes = {"x": [1, 8, 4, 4], "y": [1, 8, 8, 8]}
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "g", [values["x"]], [values["y"]], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    errors = [
        finding.node for finding in findings(model, "tensorrt") if finding.severity == "error"
    ]
    assert errors == (["w/DQ"] if wrong else [])
