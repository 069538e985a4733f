"""Where Q/DQ go for ONNX Runtime, and that it makes integer operators of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.compile.executed import WantedLayers, executed_in_int8
from edge_scnet.config.target import QuantScheme, load_target
from edge_scnet.graph.lint import lint
from edge_scnet.graph.run import run_onnx
from edge_scnet.quantizer import placement
from edge_scnet.quantizer.sites import Placement
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions
from edge_scnet.runtimes.onnxruntime import ONNX_RUNTIME
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import conv, graph_of, write_plain
from tests.helpers.statistics import calibrated

FAST = QuantScheme(placement="onnxruntime")
ACCURATE = replace(FAST, variant="accurate")
IMAGES = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
WEIGHTS = {f"w{i}": (4, 4, 3, 3) for i in range(1, 7)} | {"wide": (4, 8, 3, 3)}


def node(kind: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=output, **attributes)


# a residual block with a gate, the parts of SCNet: the last convolution gives the output
GATED = [
    conv("input", "w1", "c1"),
    node("Relu", ["c1"], "r1"),
    node("AveragePool", ["r1"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
    conv("pool", "w2", "c2"),
    node("Resize", ["c2", "", "twice"], "up", mode="nearest"),
    node("Add", ["r1", "up"], "sum"),
    node("Sigmoid", ["sum"], "gate"),
    conv("r1", "w3", "c3"),
    node("Mul", ["c3", "gate"], "gated"),
    conv("gated", "w4", "c4"),
    node("Concat", ["c4", "r1"], "both", axis=1),
    conv("both", "wide", "c5"),
    node("Add", ["c5", "r1"], "skipped"),
    node("Relu", ["skipped"], "r2"),
    conv("r2", "w6", "last"),
]

# linear layers over rows, as PyTorch writes them
LINEAR = [
    conv("input", "w1", "a"),
    node("Transpose", ["a"], "rows", perm=[0, 2, 3, 1]),
    node("MatMul", ["rows", "up"], "first"),
    node("Add", ["first", "b1"], "biased"),
    node("Relu", ["biased"], "r"),
    node("MatMul", ["r", "down"], "second"),
    node("Add", ["b2", "second"], "y"),
]
LINEAR_CONSTANTS = {
    name: np.random.default_rng(2).standard_normal(shape).astype(np.float32)
    for name, shape in {"up": (4, 16), "b1": (16,), "down": (16, 6), "b2": (1, 6)}.items()
}


def saved(nodes: list[onnx.NodeProto], folder: Path, **constants: np.ndarray) -> Path:
    model = graph_of(nodes, WEIGHTS)
    model.graph.initializer.extend(
        numpy_helper.from_array(array, name) for name, array in constants.items()
    )
    path = folder / "float.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def quantized(path: Path, scheme: QuantScheme = FAST) -> tuple[ir.Model, Placement]:
    model = ir.load(path)
    placed = placement.place(model, calibrated(path, IMAGES), scheme)
    return write_plain(model, placed, weight_bits=7), placed


def executed(qdq: ir.Model, folder: Path) -> tuple[tuple[ExecutedLayer, ...], float]:
    """The layers of the engine, and how close its outputs are to the simulation, in dB."""
    source = folder / "qdq.onnx"
    ir.save(qdq, source)
    engine = ONNX_RUNTIME.build(source, load_target("onnxruntime"), folder / "e.onnx").engine
    batches = np.split(IMAGES, len(IMAGES))
    with ONNX_RUNTIME.open(engine, OpenOptions()) as session:
        layers = session.executed_precisions()
        outputs = [session.infer(batch)[0] for batch in batches]
    simulated = [out[0] for out in run_onnx(source, batches)]
    return layers, sqnr_db(np.stack(simulated), np.stack(outputs)) or np.inf


def test_all_between_convolutions_computes_on_codes(tmp_path: Path) -> None:
    qdq, placed = quantized(saved(GATED, tmp_path))
    # the last one's result is the output, which stays float
    assert placed.int8_nodes == ("c1", "c2", "c3", "c4", "c5")
    layers, db = executed(qdq, tmp_path)
    found = executed_in_int8(ONNX_RUNTIME, layers, WantedLayers(convolutions=placed.int8_nodes))
    assert found.int8 == placed.int8_nodes and not found.in_float
    kinds = [layer.kind for layer in layers]
    for kind in ("Add", "AveragePool", "Concat", "Mul", "Sigmoid"):
        assert f"QLinear{kind}" in kinds
    # what goes to the last convolution, which is float: two tensors and their sum
    assert (kinds.count("QuantizeLinear"), kinds.count("DequantizeLinear")) == (1, 2)
    assert kinds.count("Add") == 1 and not {"Mul", "Sigmoid", "Concat"} & set(kinds)
    assert db > 35


def test_the_accurate_variant_adds_and_multiplies_in_float(tmp_path: Path) -> None:
    qdq, placed = quantized(saved(GATED, tmp_path), ACCURATE)
    layers, db = executed(qdq, tmp_path)
    kinds = {layer.kind for layer in layers}
    assert {"QLinearConv", "QLinearAveragePool", "QLinearConcat", "Add", "Mul"} <= kinds
    assert not {"QLinearAdd", "QLinearMul", "QLinearSigmoid"} & kinds
    assert placed.int8_nodes == ("c1", "c2", "c3", "c4", "c5") and db > 35


def test_what_a_concat_alone_reads_is_rounded_once(tmp_path: Path) -> None:
    _, placed = quantized(saved(GATED, tmp_path))
    params = {site.tensor: site.params for site in placed.activations}
    assert params["c4"] == params["both"] != params["r1"]


def test_what_moves_values_has_one_scale_on_both_sides(tmp_path: Path) -> None:
    _, placed = quantized(saved(GATED, tmp_path))
    params = {site.tensor: site.params for site in placed.activations}
    assert params["c2"] == params["up"]


@pytest.mark.parametrize(
    "between",
    [
        [node("Clip", ["a", "zero", "six"], "m")],
        [node("LeakyRelu", ["a"], "m")],
        [node("HardSwish", ["a"], "m")],
        [node("Relu", ["a"], "r"), node("MaxPool", ["r"], "m", kernel_shape=[2, 2])],
        [node("MaxPool", ["a"], "p", kernel_shape=[2, 2]), node("Relu", ["p"], "m")],
        [node("Transpose", ["a"], "m", perm=[0, 1, 3, 2])],
        [
            node("GlobalAveragePool", ["a"], "p"),
            node("Sigmoid", ["p"], "s"),
            node("Mul", ["a", "s"], "m"),
        ],
        [node("AveragePool", ["a"], "m", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1)],
    ],
    ids=lambda nodes: " ".join(item.op_type for item in nodes),
)
@pytest.mark.slow
def test_both_convolutions_are_int8_whatever_lies_between(
    between: list[onnx.NodeProto], tmp_path: Path
) -> None:
    nodes = [conv("input", "w1", "a"), *between, conv("m", "w2", "b"), node("Neg", ["b"], "y")]
    path = saved(nodes, tmp_path, zero=np.float32(0), six=np.float32(6))
    qdq, placed = quantized(path)
    assert placed.int8_nodes == ("a", "b")
    layers, db = executed(qdq, tmp_path)
    found = executed_in_int8(ONNX_RUNTIME, layers, WantedLayers(convolutions=("a", "b")))
    assert not found.in_float and db > 35
    assert lint(qdq, "onnxruntime") == ()


def test_a_linear_layer_over_rows_is_int8_though_its_bias_is_a_sum_behind_it(
    tmp_path: Path,
) -> None:
    """As PyTorch writes it: ONNX Runtime makes a float Gemm of the two where they are not one."""
    qdq, placed = quantized(saved(LINEAR, tmp_path, **LINEAR_CONSTANTS))
    assert placed.int8_nodes == ("a", "first", "second")
    layers, db = executed(qdq, tmp_path)
    wanted = WantedLayers(convolutions=("a",), others=("first", "second"))
    found = executed_in_int8(ONNX_RUNTIME, layers, wanted)
    assert found.int8 == placed.int8_nodes and not found.in_float
    assert [layer.kind for layer in layers].count("QGemm") == 2 and db > 40


def test_products_that_onnx_runtime_computes_in_float_are_named(tmp_path: Path) -> None:
    """Here of a file that is not in its form, whose product and sum it makes one of."""
    rng = np.random.default_rng(2)
    nodes = [node("MatMul", ["input", "w"], "first"), node("Add", ["first", "b"], "y")]
    arrays = {"w": rng.standard_normal((8, 6)), "b": rng.standard_normal(6)}
    path = saved(nodes, tmp_path, **{name: a.astype(np.float32) for name, a in arrays.items()})
    with ONNX_RUNTIME.open(path, OpenOptions()) as session:
        layers = session.executed_precisions()
    wanted = WantedLayers(convolutions=(), others=("first",))
    assert executed_in_int8(ONNX_RUNTIME, layers, wanted).in_float == {"first": "f32"}


def test_a_convolution_without_a_quantized_result_is_named(tmp_path: Path) -> None:
    """As OpenVINO's placement leaves it."""
    path = saved([conv("input", "w1", "a"), node("Neg", ["a"], "y")], tmp_path)
    qdq, placed = quantized(path, QuantScheme(placement="openvino"))
    assert placed.int8_nodes == ("a",)
    (finding,) = lint(qdq, "onnxruntime")
    assert (finding.rule, finding.node, finding.severity) == ("no-quantize-behind", "a", "warning")
    layers, _ = executed(qdq, tmp_path)
    found = executed_in_int8(ONNX_RUNTIME, layers, WantedLayers(convolutions=("a",)))
    assert found.in_float == {"a": "f32"}
