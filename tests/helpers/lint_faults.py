"""A Q/DQ graph with every kind of layer, and the faults that can be planted in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.graph.lint import LintFinding, lint
from tests.helpers.graphs import Graph, find

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
