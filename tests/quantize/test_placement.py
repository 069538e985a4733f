"""Where Q/DQ pairs stand, on small graphs and on the bundled model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import QuantScheme
from edge_scnet.errors import TargetError
from edge_scnet.graph.names import module_of
from edge_scnet.graph.run import run_onnx
from edge_scnet.quantize import placement
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import (
    FAST,
    FIRST_CONV,
    TENSORRT,
    TWO_WEIGHTS,
    USERS_GRAPHS,
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


def test_keep_float_leaves_the_named_modules_out(built: Built) -> None:
    scheme = QuantScheme(placement="openvino", keep_float=("layer3.*", "fc"))
    _, some = placed(built, scheme)
    assert some.int8_nodes and not any(
        name.startswith(("layer3.", "fc")) for name in some.int8_nodes
    )


@pytest.mark.parametrize("name", USERS_GRAPHS)
@pytest.mark.parametrize("batch", [1, 3])
def test_graphs_that_users_bring(name: str, batch: int, tmp_path: Path) -> None:
    model = graph_of(USERS_GRAPHS[name], TWO_WEIGHTS, (batch, 4, 8, 8))
    for bound, value in (("zero", 0.0), ("six", 6.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), bound))
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    images = np.random.default_rng(1).standard_normal((8, 4, 8, 8)).astype(np.float32)
    statistics_ = calibrated(path, images[:5], images[5:])
    loaded = ir.load(path)
    result = placement.place(
        loaded, statistics_, QuantScheme(placement="openvino", thresholds="minmax")
    )
    written = write_plain(loaded, result, weight_bits=8)
    onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
    data = images[:batch]
    quality = sqnr_db(run_onnx(loaded, [data])[0][0], run_onnx(written, [data])[0][0])
    assert quality is not None and quality > 25
    assert len(result.int8_nodes) == 2


def test_known_range_of_a_sigmoid_needs_no_statistics(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(graph_of(USERS_GRAPHS["sigmoid before a convolution"], TWO_WEIGHTS), path)
    images = np.random.default_rng(1).standard_normal((4, 4, 8, 8)).astype(np.float32)
    result = placement.place(
        ir.load(path),
        calibrated(path, images),
        FAST,
    )
    site = next(site for site in result.activations if site.tensor == "s")
    assert (site.params.zero_point, site.params.scale) == (0, pytest.approx(1 / 255))


def test_a_pattern_that_matches_nothing_is_refused_with_names_like_it(built: Built) -> None:
    with pytest.raises(TargetError, match="'layer9' matches no convolution") as caught:
        placed(built, QuantScheme(placement="openvino", keep_float=("layer9",)))
    assert "layer" in str(caught.value.hint)


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


def test_tensorrt_placement_of_the_self_calibrated_block(built: Built) -> None:
    model, result = placed(built, TENSORRT)
    sites = {site.tensor: site for site in result.activations}
    assert all(
        (site.params.dtype, site.params.zero_point) == ("int8", 0) for site in sites.values()
    )
    block = "layer2.1"
    # inputs of the convolutions and pools, one Q/DQ after the Concat, both inputs of the product,
    # the Resize side of the gate
    for tensor in (
        f"{block}.scconv/Mul",
        f"{block}/Concat",
        f"{block}.scconv.k3.0",
        f"{block}.scconv/Sigmoid",
        f"{block}.scconv.k2.1",
    ):
        assert tensor in sites, tensor
    # the residual: the skip side only, and never a convolution's output that fuses with the sum
    assert f"{block}.conv3" not in sites and "layer2.0.conv3" not in sites
    assert "layer2.0.downsample.1" in sites
    adds = {
        str(node.name)
        for node in model.graph
        if node.op_type == "Add" and str(node.name).startswith(f"{block}/")
    }
    skip = next(site for site in sites.values() if site.tensor == "layer2.0.relu/Relu#5")
    assert not adds & set(skip.float_consumers)
    # every average pool reads int8
    for node in model.graph:
        if node.op_type == "AveragePool":
            assert node.inputs[0] is not None and node.inputs[0].name in sites


def test_a_small_classifier_stays_in_float_and_a_large_one_does_not(tmp_path: Path) -> None:
    for classes, quantized in ((10, False), (20_000, True)):
        weights = {"w1": (4, 4, 3, 3), "fc": (classes, 4)}
        nodes = [
            FIRST_CONV,
            helper.make_node("GlobalAveragePool", ["a"], ["g"], name="g"),
            helper.make_node("Flatten", ["g"], ["f"], name="f"),
            helper.make_node("Gemm", ["f", "fc"], ["y"], transB=1, name="y"),
        ]
        path = tmp_path / f"{classes}.onnx"
        onnx.save(graph_of(nodes, weights), path)
        images = np.random.default_rng(1).standard_normal((2, 4, 8, 8)).astype(np.float32)
        statistics_ = calibrated(path, images)
        assert ("y" in placement.place(ir.load(path), statistics_, FAST).int8_nodes) is quantized
