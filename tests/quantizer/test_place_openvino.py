"""Where Q/DQ go for OpenVINO."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.graph import lint
from edge_scnet.graph.names import module_of
from edge_scnet.quantizer import placement
from tests.helpers.float_graphs import (
    FAST,
    TWO_WEIGHTS,
    conv,
    graph_of,
    placed,
    write_plain,
)
from tests.helpers.statistics import calibrated
from tests.helpers.tool import Built

ACCURATE = QuantScheme(placement="openvino", variant="accurate")


def test_placement_of_the_self_calibrated_block(built: Built) -> None:
    _, fast = placed(built, FAST)
    sites = {site.tensor: site for site in fast.activations}
    block = "layer2.1"
    # inputs of the convolutions, one uint8 Q after the Concat, none on its inputs
    for tensor in (f"{block}.scconv/Mul", f"{block}.scconv.k2.0/AveragePool", f"{block}/Concat"):
        assert tensor in sites
    # the fast variant's three: before the Resize, the gate's product, the residual
    assert {f"{block}.scconv.k2.1", f"{block}.scconv.k3.0", f"{block}.conv3"} <= sites.keys()
    # never: the gate itself, the Resize's output
    assert (
        not {f"{block}.scconv/Sigmoid", f"{block}.scconv/Resize", f"{block}.scconv/Add"}
        & sites.keys()
    )
    _, accurate = placed(built, ACCURATE)
    missing = sites.keys() - {site.tensor for site in accurate.activations}
    assert {f"{block}.scconv.k2.1", f"{block}.scconv.k3.0", f"{block}.conv3"} <= missing
    assert len(accurate.activations) < len(fast.activations)


def test_everything_after_relu_has_zero_point_zero(built: Built) -> None:
    _, fast = placed(built, FAST)
    after_relu = [
        site for site in fast.activations if "/Relu" in site.tensor or "/Concat" in site.tensor
    ]
    assert len(after_relu) > 20
    assert all(site.params.zero_point == 0 for site in after_relu)


def test_average_pools_of_avd_are_quantized_before_and_the_concat_once_after(built: Built) -> None:
    model, fast = placed(built, FAST)
    sites = {site.tensor for site in fast.activations}
    pools = [n for n in model.graph if n.op_type == "AveragePool" and "avd_layer" in module_of(n)]
    assert len(pools) == 4
    for pool in pools:
        assert pool.inputs[0] is not None and pool.inputs[0].name in sites
        assert pool.outputs[0].name not in sites


def signed_pool_model() -> onnx.ModelProto:
    """A signed tensor with a padded average pool, which must see it in float, and a convolution."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal((4, 4, 3, 3)).astype(np.float32), name)
        for name in ("w1", "w2", "w3")
    ]
    nodes = [
        helper.make_node("Conv", ["input", "w1"], ["a"], pads=[1] * 4, name="first"),
        helper.make_node(
            "AveragePool",
            ["a"],
            ["p"],
            kernel_shape=[3, 3],
            pads=[1] * 4,
            count_include_pad=1,
            name="pool",
        ),
        helper.make_node("Conv", ["p", "w2"], ["b"], pads=[1] * 4, name="second"),
        helper.make_node("Conv", ["a", "w3"], ["c"], pads=[1] * 4, name="third"),
        helper.make_node("Concat", ["b", "c"], ["logits"], axis=1, name="join"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input", 1, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("logits", 1, [1, 8, 8, 8])],
        weights,
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )


@pytest.mark.parametrize("between", ["MaxPool", "Pad"])
def test_a_padded_pool_behind_an_operator_that_passes_the_zero_point_on(
    between: str, tmp_path: Path
) -> None:
    middle = (
        helper.make_node("MaxPool", ["a"], ["m"], kernel_shape=[1, 1], name="between")
        if between == "MaxPool"
        else helper.make_node("Pad", ["a", "pads"], ["m"], name="between")
    )
    pads = [0] * 4 if between == "Pad" else [1] * 4
    nodes = [
        conv("input", "w1", "a"),
        middle,
        helper.make_node(
            "AveragePool",
            ["m"],
            ["p"],
            kernel_shape=[3, 3],
            pads=pads,
            count_include_pad=1,
            name="pool",
        ),
        conv("a", "w2", "c"),
        helper.make_node("Add", ["p", "c"], ["y"], name="y"),
    ]
    model = graph_of(nodes, TWO_WEIGHTS)
    model.graph.initializer.append(
        numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "pads")
    )
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
    result = placement.place(
        ir.load(path),
        calibrated(path, images),
        FAST,
    )
    assert next(site for site in result.activations if site.tensor == "a").float_consumers == (
        "between",
    )


def test_a_padded_pool_on_a_signed_tensor_reads_the_float_tensor(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(signed_pool_model(), path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics = calibrated(path, images)
    model = ir.load(path)
    result = placement.place(model, statistics, FAST)
    site = next(site for site in result.activations if site.tensor == "a")
    assert site.params.zero_point != 0 and site.float_consumers == ("pool",)
    written = write_plain(model, result, weight_bits=7)
    pool = next(node for node in written.graph if node.name == "pool")
    assert pool.inputs[0].name == "a"
    third = next(node for node in written.graph if node.name == "third")
    assert third.inputs[0].name == "a_dq"


def test_what_only_transposed_convolutions_read_has_signed_codes(tmp_path: Path) -> None:
    """With a zero point other than 0 OpenVINO computes them in float."""
    nodes = [
        conv("input", "w1", "a"),
        helper.make_node("ConvTranspose", ["a", "w2"], ["up"], name="up", pads=[1] * 4),
        helper.make_node("Concat", ["a", "up"], ["c"], name="c", axis=1),
        helper.make_node("Conv", ["c", "w3"], ["y"], name="y"),
    ]
    path = tmp_path / "m.onnx"
    onnx.save(graph_of(nodes, {**TWO_WEIGHTS, "w3": (4, 8, 1, 1)}), path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics = calibrated(path, images)
    model = ir.load(path)
    result = placement.place(model, statistics, FAST)
    site = next(site for site in result.activations if site.tensor == "a")
    assert (site.params.dtype, site.params.zero_point) == ("int8", 0)
    # the Concat must not join signed codes
    assert site.float_consumers == ("c",)
    assert lint.lint(write_plain(model, result, weight_bits=7), "openvino") == ()
    # past what only moves values too
    pool = helper.make_node("MaxPool", ["a"], ["p"], name="p", kernel_shape=[2, 2])
    moved = [nodes[0], pool, helper.make_node("ConvTranspose", ["p", "w2"], ["y"], name="y")]
    onnx.save(graph_of(moved, TWO_WEIGHTS), path)
    result = placement.place(ir.load(path), calibrated(path, images), FAST)
    assert [(s.tensor, s.params.dtype) for s in result.activations][1:] == [("a", "int8")]
    # a convolution that reads it too wants unsigned codes
    both = [*nodes[:2], conv("a", "w1", "b"), helper.make_node("Add", ["up", "b"], ["y"], name="s")]
    onnx.save(graph_of(both, TWO_WEIGHTS), path)
    result = placement.place(ir.load(path), calibrated(path, images), FAST)
    site = next(site for site in result.activations if site.tensor == "a")
    assert site.params.dtype == "uint8"


def test_the_mean_of_a_normalisation_is_not_quantized(tmp_path: Path) -> None:
    """Over height and width it is."""
    for axes, quantized in (([1], False), ([2, 3], True)):
        nodes = [
            conv("input", "w1", "a"),
            helper.make_node("ReduceMean", ["a", "axes"], ["m"], name="m"),
            helper.make_node("Sub", ["a", "m"], ["d"], name="d"),
            conv("d", "w2", "y"),
        ]
        model = graph_of(nodes, TWO_WEIGHTS)
        model.graph.initializer.append(numpy_helper.from_array(np.array(axes), "axes"))
        path = tmp_path / "m.onnx"
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
        result = placement.place(ir.load(path), calibrated(path, images), FAST)
        assert ("a" in {site.tensor for site in result.activations}) is quantized


def test_a_branch_that_never_fires_has_a_scale_that_fp16_can_hold(tmp_path: Path) -> None:
    nodes = [
        conv("input", "w1", "a"),
        helper.make_node("Clip", ["a", "six", "six"], ["six_alone"], name="six_alone"),
        helper.make_node("Sub", ["six_alone", "six"], ["dead"], name="dead"),
        conv("dead", "w2", "y"),
    ]
    model = graph_of(nodes, TWO_WEIGHTS)
    model.graph.initializer.append(numpy_helper.from_array(np.array(6, np.float32), "six"))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    found = calibrated(path, np.ones((2, 4, 8, 8), np.float32))
    assert found.constant == ("input", "six_alone", "dead")
    for scheme in (FAST, QuantScheme(placement="tensorrt")):
        result = placement.place(ir.load(path), found, scheme)
        site = next(site for site in result.activations if site.tensor == "dead")
        assert 1e-3 < site.params.scale < 1e-2


@pytest.mark.parametrize(("axis", "dtype"), [(1, "int8"), (2, "uint8")])
def test_a_product_over_another_axis_than_a_concat_s_has_signed_codes(
    axis: int, dtype: str, tmp_path: Path
) -> None:
    """OpenVINO does not compile it with another zero point than 0."""
    nodes = [
        helper.make_node("Reshape", ["input", "rows"], ["t"], name="t"),
        helper.make_node("Neg", ["t"], ["n"], name="n"),
        helper.make_node("Concat", ["t", "n"], ["c"], name="c", axis=axis),
        helper.make_node("MatMul", ["c", "m"], ["y"], name="y"),
    ]
    model = graph_of(nodes, {"m": (16 * axis, 3)})
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 16, 16]), "rows"))
    path = tmp_path / "m.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32) + 0.5
    result = placement.place(ir.load(path), calibrated(path, images), FAST)
    assert [(site.tensor, site.params.dtype) for site in result.activations] == [("c", dtype)]
