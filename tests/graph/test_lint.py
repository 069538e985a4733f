"""Lint of Q/DQ graphs: every rule on its fault, and on what is near but good. OpenVINO's faults:
test_miscompiled.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.graph.lint import LintFinding, int8_layers, lint
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.quantizer import recipe
from tests.helpers.graphs import Graph, find
from tests.helpers.statistics import calibrated

SCHEMES = ("openvino", "tensorrt")


def findings(
    model: onnx.ModelProto, scheme: str = "openvino", **options: object
) -> tuple[LintFinding, ...]:
    return lint(ir.from_proto(model), scheme, **options)


def named(found: tuple[LintFinding, ...]) -> set[tuple[str, str]]:
    return {(finding.rule, finding.node) for finding in found}


def good(scheme: str) -> onnx.ModelProto:
    """Every kind of layer, quantized as the scheme asks."""
    graph = Graph("uint8" if scheme == "openvino" else "int8")
    stem = graph.relu(graph.conv(graph.q("input", "int8"), "stem"), "s")
    deep = graph.relu(graph.conv(graph.q(stem), "depthwise", group=8), "d")
    turned = graph.relu(graph.conv(graph.q(deep), "transposed", kind="ConvTranspose"), "t")
    merged = graph.conv(graph.q(graph.concat(turned, graph.sigmoid(deep))), "merge")
    total = graph.relu(graph.node("Add", [merged, "s/DQ"], "sum"), "r")
    pooled = graph.node("AveragePool", [graph.q(total)], "pool", kernel_shape=[16, 16])
    flat = graph.node("Flatten", [pooled], "flat")
    first = graph.node("Gemm", [graph.q(flat), graph.weight((8, 8), 0, "fc1")], "fc1", transB=1)
    second = graph.node("Gemm", [graph.q(first, "int8"), graph.weight((8, 8), 1, "fc2")], "fc2")
    return graph.model(
        graph.node(
            "MatMul", [graph.q(second, "int8"), graph.weight((8, 8), 1, "product")], "product"
        )
    )


Change = Callable[[onnx.ModelProto], object]


def put(name: str, array: object) -> Change:
    """Replaces a constant."""

    def change(model: onnx.ModelProto) -> None:
        old = next(constant for constant in model.graph.initializer if constant.name == name)
        old.CopyFrom(numpy_helper.from_array(np.asarray(array), name))

    return change


def code(name: str, largest: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        values = numpy_helper.to_array(
            next(c for c in model.graph.initializer if c.name == name)
        ).copy()
        values.reshape(-1)[0] = largest
        put(name, values)(model)

    return change


def axis(name: str, value: int) -> Change:
    return lambda model: next(
        a for a in find(model, name).attribute if a.name == "axis"
    ).__setattr__("i", value)


def rewire(name: str, index: int, source: str) -> Change:
    return lambda model: find(model, name).input.__setitem__(index, source)


def insert(kind: str, inputs: list[str], output: str, **attributes: object) -> Change:
    """A node in front of the first that reads its output."""

    def change(model: onnx.ModelProto) -> None:
        nodes = list(model.graph.node)
        place = next((i for i, node in enumerate(nodes) if output in node.input), len(nodes))
        model.graph.node.insert(
            place, helper.make_node(kind, inputs, [output], name=output, **attributes)
        )

    return change


def opset(version: int) -> Change:
    return lambda model: model.opset_import[0].__setattr__("version", version)


def both(*changes: Change) -> Change:
    return lambda model: [change(model) for change in changes]


def constant_node(name: str) -> Change:
    """The initializer as a Constant node."""

    def change(model: onnx.ModelProto) -> None:
        old = next(constant for constant in model.graph.initializer if constant.name == name)
        model.graph.node.insert(0, helper.make_node("Constant", [], [name], value=old))
        model.graph.initializer.remove(old)

    return change


def float_weight(name: str) -> Change:
    """The layer's weights without Q/DQ."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(
            numpy_helper.from_array(np.ones((8, 8, 3, 3), np.float32), f"{name}/float")
        )
        find(model, name).input[1] = f"{name}/float"

    return change


def weight_from_float(name: str, largest: float) -> Change:
    """float -> Q -> DQ, the weights' largest code as given."""

    def change(model: onnx.ModelProto) -> None:
        scales = numpy_helper.to_array(
            next(c for c in model.graph.initializer if c.name == f"{name}/scales")
        )
        values = (
            np.ones((8, 8, 3, 3), np.float32) * scales.reshape(-1, 1, 1, 1) * np.float32(largest)
        )
        model.graph.initializer.append(numpy_helper.from_array(values, f"{name}/float"))
        insert(
            "QuantizeLinear",
            [f"{name}/float", f"{name}/scales", f"{name}/zeros"],
            f"{name}/Q",
            axis=0,
        )(model)
        place = next(i for i, node in enumerate(model.graph.node) if node.name == f"{name}/weight")
        model.graph.node.insert(place, model.graph.node[-1])
        del model.graph.node[-1]
        find(model, f"{name}/weight").input[0] = f"{name}/Q"

    return change


EIGHT = np.full(8, 0.1, np.float32)
INT16 = both(put("s/zero", np.int16(0)), opset(21))
PAIR_ON_MERGE = both(
    insert("QuantizeLinear", ["merge", "s/scale", "s/zero"], "m/Q"),
    insert("DequantizeLinear", ["m/Q", "s/scale", "s/zero"], "m/DQ"),
    rewire("sum", 0, "m/DQ"),
)
# rule, node, change; and a change that is near but good
COMMON: dict[str, tuple[str, str, Change, Change]] = {
    "scale 0": ("scale", "s/Q", put("s/scale", np.float32(0)), put("s/scale", np.float32(1e-20))),
    "scale negative": (
        "scale",
        "s/DQ",
        put("s/scale", np.float32(-1)),
        put("s/scale", np.float32(1)),
    ),
    "scale infinite": (
        "scale",
        "stem/weight",
        put("stem/scales", EIGHT * np.float32(np.inf)),
        put("stem/scales", EIGHT),
    ),
    "scale not a number": (
        "scale",
        "s/Q",
        put("s/scale", np.float32(np.nan)),
        put("s/scale", np.float32(1)),
    ),
    "scale an integer": (
        "scale",
        "s/Q",
        put("s/scale", np.int32(1)),
        put("s/scale", np.float16(1)),
    ),
    "scale computed": (
        "constant",
        "s/Q",
        both(insert("Identity", ["s/scale"], "later"), rewire("s/Q", 1, "later")),
        constant_node("s/scale"),
    ),
    "zero point computed": (
        "constant",
        "s/Q",
        both(insert("Identity", ["s/zero"], "later"), rewire("s/Q", 2, "later")),
        constant_node("s/zero"),
    ),
    "zero point of another shape": (
        "shape",
        "s/Q",
        put("s/scale", np.ones(1, np.float32)),
        both(put("s/scale", np.ones(1, np.float32)), put("s/zero", np.zeros(1, np.int8))),
    ),
    "too few scales": (
        "shape",
        "stem/weight",
        both(put("stem/scales", EIGHT[:4]), put("stem/zeros", np.zeros(4, np.int8))),
        both(put("stem/scales", EIGHT[0]), put("stem/zeros", np.int8(0))),
    ),
    "scales of blocks": (
        "shape",
        "stem/weight",
        both(put("stem/scales", EIGHT[None]), put("stem/zeros", np.zeros((1, 8), np.int8))),
        put("stem/scales", EIGHT),
    ),
    "activation with many scales": (
        "activation",
        "input/Q",
        both(put("input/scale", EIGHT), put("input/zero", np.zeros(8, np.int8))),
        both(put("input/scale", EIGHT[:1]), put("input/zero", np.zeros(1, np.int8))),
    ),
    "convolution along its inputs": (
        "axis",
        "stem/weight",
        axis("stem/weight", 1),
        axis("stem/weight", -4),
    ),
    "depthwise along its inputs": (
        "shape",
        "depthwise/weight",
        axis("depthwise/weight", 1),
        axis("depthwise/weight", 0),
    ),
    "ConvTranspose along its inputs": (
        "axis",
        "transposed/weight",
        axis("transposed/weight", 0),
        axis("transposed/weight", 1),
    ),
    "Gemm with transB along its inputs": (
        "axis",
        "fc1/weight",
        axis("fc1/weight", 1),
        axis("fc1/weight", 0),
    ),
    "Gemm along its inputs": ("axis", "fc2/weight", axis("fc2/weight", 0), axis("fc2/weight", 1)),
    "MatMul along its inputs": (
        "axis",
        "product/weight",
        axis("product/weight", 0),
        axis("product/weight", -1),
    ),
    "Q of a weight along its inputs": (
        "axis",
        "stem/Q",
        both(weight_from_float("stem", 64), axis("stem/Q", 1)),
        weight_from_float("stem", 64),
    ),
    "codes moved before the DQ": (
        "unpaired",
        "s/Q",
        both(insert("Identity", ["s/Q"], "moved"), rewire("s/DQ", 0, "moved")),
        insert("DequantizeLinear", ["s/Q", "s/scale", "s/zero"], "second"),
    ),
    "codes as output": (
        "unpaired",
        "s/Q",
        lambda m: m.graph.output.append(
            helper.make_tensor_value_info("s/Q", TensorProto.UINT8, None)
        ),
        lambda m: m.graph.output.append(helper.make_tensor_value_info("s/DQ", 1, None)),
    ),
    "Q that nothing reads": (
        "unpaired",
        "alone",
        insert("QuantizeLinear", ["input", "s/scale", "s/zero"], "alone"),
        insert("DequantizeLinear", ["s/Q", "s/scale", "s/zero"], "alone"),
    ),
    "DQ of codes from outside": (
        "unpaired",
        "s/DQ",
        both(
            lambda m: m.graph.input.append(
                helper.make_tensor_value_info("codes", TensorProto.INT8, [1])
            ),
            rewire("s/DQ", 0, "codes"),
        ),
        insert("DequantizeLinear", ["s/Q", "s/scale", "s/zero"], "second"),
    ),
    "QLinearConv": (
        "qoperator",
        "odd",
        insert("QLinearConv", ["input"], "odd"),
        insert("Identity", ["input"], "odd"),
    ),
    "ConvInteger": (
        "qoperator",
        "odd",
        insert("ConvInteger", ["input"], "odd"),
        insert("Identity", ["input"], "odd"),
    ),
    "channels before opset 13": ("opset", "stem/weight", opset(12), opset(13)),
    "FP16 scales before opset 19": (
        "opset",
        "s/Q",
        both(put("s/scale", np.float16(1)), opset(18)),
        both(put("s/scale", np.float16(1)), opset(19)),
    ),
    "INT16 before opset 21": ("opset", "s/Q", both(INT16, opset(20)), INT16),
    "float layer": (
        "float",
        "stem",
        both(float_weight("stem"), rewire("stem", 0, "input")),
        both(rewire("stem", 0, "input"), rewire("stem", 1, "input")),
    ),
    "input in float": (
        "half-quantized",
        "stem",
        rewire("stem", 0, "input"),
        both(insert("Identity", ["input/DQ"], "same"), rewire("stem", 0, "same")),
    ),
    "weights in float": (
        "half-quantized",
        "stem",
        float_weight("stem"),
        rewire("stem", 1, "input"),
    ),
    "Concat with one input in float": (
        "half-quantized",
        "merge",
        both(
            rewire("merge", 0, "mixed"), insert("Concat", ["concat/DQ", "input"], "mixed", axis=1)
        ),
        both(
            rewire("merge", 0, "mixed"),
            insert("Concat", ["concat/DQ", "input/DQ"], "mixed", axis=1),
        ),
    ),
}
TENSORRT: dict[str, tuple[str, str, Change, Change]] = {
    "zero point not 0": ("zero-point", "s/Q", put("s/zero", np.int8(1)), put("s/zero", np.int8(0))),
    "weight zero point not 0": (
        "zero-point",
        "stem/weight",
        put("stem/zeros", np.arange(8, dtype=np.int8)),
        put("stem/zeros", np.zeros(8, np.int8)),
    ),
    "no zero point": ("zero-point", "s/Q", lambda m: find(m, "s/Q").input.pop(), lambda m: None),
    "UINT8": (
        "type",
        "s/Q",
        put("s/zero", np.uint8(0)),
        both(put("s/zero", np.int8(0)), constant_node("s/zero")),
    ),
    "INT16": ("type", "s/Q", INT16, opset(21)),
    "INT32 bias": (
        "int32-bias",
        "stem",
        both(
            lambda m: m.graph.initializer.append(
                numpy_helper.from_array(np.ones(8, np.int32), "codes")
            ),
            insert("DequantizeLinear", ["codes", "stem/scales"], "bias", axis=0),
            lambda m: find(m, "stem").input.append("bias"),
        ),
        both(
            lambda m: m.graph.initializer.append(
                numpy_helper.from_array(np.ones(8, np.float32), "bias")
            ),
            lambda m: find(m, "stem").input.append("bias"),
        ),
    ),
    "average pool in float": ("float-pool", "pool", rewire("pool", 0, "r"), lambda m: None),
    "global average pool in float": (
        "float-pool",
        "pool",
        both(
            rewire("pool", 0, "r"),
            lambda m: find(m, "pool").__setattr__("op_type", "GlobalAveragePool"),
        ),
        lambda m: find(m, "pool").__setattr__("op_type", "GlobalAveragePool"),
    ),
    "convolution behind a pool without Q": (
        "half-quantized",
        "fc1",
        rewire("fc1", 0, "flat"),
        lambda m: None,
    ),
    "both sides of a residual": ("residual", "sum", PAIR_ON_MERGE, rewire("sum", 0, "input/DQ")),
    "one side of a residual": (
        "residual",
        "sum",
        PAIR_ON_MERGE,
        both(PAIR_ON_MERGE, rewire("sum", 1, "merge")),
    ),
    "a quantized constant added": (
        "residual",
        "sum",
        PAIR_ON_MERGE,
        both(PAIR_ON_MERGE, rewire("sum", 1, "stem/weight")),
    ),
}
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
