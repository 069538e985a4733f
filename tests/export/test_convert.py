"""Whole files in other opsets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import defs, helper

from edge_scnet.export.convert import convert_opset, inlined, opset_of
from edge_scnet.export.opset_up import UP
from tests.helpers.onnx_files import refused
from tests.helpers.onnx_nodes import File, assert_same, converted, floats, one_node, run_proto

# What these changed is refused: sequence lengths of a Scan's batch.
_REFUSED_CHANGES = {("Scan", 9)}


def network(opset: int) -> onnx.ModelProto:
    """A small segmentation network with a second head, as exporters of the opset write it."""
    file = File(opset=opset, shape=(1, 3, 8, 8))
    rng = np.random.default_rng(4)

    def conv(x: str, channels: int, out: int, **values: object) -> str:
        weights = file.put(rng.standard_normal((out, channels, 3, 3)) / 6)
        return str(file.op("Conv", x, weights, file.put(rng.standard_normal(out)), **values))

    statistics = [file.put(rng.uniform(0.5, 1.5, 4)) for _ in range(4)]
    x = file.op("BatchNormalization", conv("x", 3, 4, pads=[1, 1, 1, 1]), *statistics)
    x = file.op("Relu", x)
    pads = [0, 0, 1, 1, 0, 0, 1, 1]
    x = file.op("Pad", x, pads=pads) if opset < 11 else file.op("Pad", x, file.put(pads, np.int64))
    x = file.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = conv(x, 4, 6, auto_pad="SAME_UPPER")
    if opset < 11:
        x = file.op("Clip", x, min=0.0, max=6.0)
    else:
        x = file.op("Clip", x, file.put(0.0), file.put(6.0))
    scales = [1, 1, 2, 2]
    if opset < 9:
        up = file.op("Upsample", x, scales=[float(s) for s in scales], mode="linear")
    elif opset < 10:
        up = file.op("Upsample", x, file.put(scales), mode="linear")
    elif opset < 11:
        up = file.op("Resize", x, file.put(scales), mode="linear")
    else:
        up = file.op("Resize", x, file.put([]), file.put(scales), mode="linear")
    mask = file.op("Softmax", up, axis=1)
    pooled = file.op("Flatten", file.op("GlobalAveragePool", x))
    logits = file.op("Gemm", pooled, file.put(rng.standard_normal((6, 5))), file.put(np.zeros(5)))
    return file.model(mask, logits)


@pytest.mark.parametrize("source", range(7, 24))
def test_a_network_of_every_opset(source: int):
    model = network(source)
    for target in (17, 19, 20):
        assert_same(model, target)


@pytest.mark.parametrize(("source", "target"), [(23, 13), (12, 13), (9, 15), (18, 23)])
def test_opsets_that_targets_of_ones_own_may_want(source: int, target: int):
    assert_same(network(source), target)


def test_a_rule_for_every_operator_that_an_opset_changed():
    """A later onnx may change operators again: this test names them."""
    missing = []
    for schema in defs.get_all_schemas_with_history():
        version = schema.since_version
        if schema.domain or not 8 <= version <= 23:
            continue
        try:
            older = defs.get_schema(schema.name, version - 1, "")
        except defs.SchemaError:
            continue
        lost = set(older.attributes) - set(schema.attributes)
        other = {
            name
            for name in set(older.attributes) & set(schema.attributes)
            if str(older.attributes[name].default_value)
            != str(schema.attributes[name].default_value)
        }
        fewer = schema.max_input < older.max_input or schema.min_input > older.min_input
        change = (schema.name, version)
        if (lost or other or fewer or schema.deprecated) and change not in UP:
            missing.append(change)
    assert set(missing) == _REFUSED_CHANGES


def test_subgraphs_are_converted_too():
    file = File(opset=10, shape=(1, 4))
    branches = {}
    for name, bound in (("then_branch", 0.5), ("else_branch", -0.5)):
        clip = helper.make_node("Clip", ["x"], [f"{name}_y"], name=name, max=bound)
        output = helper.make_empty_tensor_value_info(f"{name}_y")
        branches[name] = helper.make_graph([clip], name, [], [output])
    high = file.op("Greater", file.op("ReduceMax", "x", axes=[0, 1], keepdims=0), file.put(0.0))
    model = file.model(file.op("If", high, **branches))
    for x in (floats(1, 2, 3, 4)[None], -floats(1, 2, 3, 4)[None]):
        assert_same(model, 17, x)


def test_a_file_s_own_functions_become_nodes():
    body = [helper.make_node("Clip", ["a"], ["b"], name="inside", max=0.5)]
    function = helper.make_function(
        "own", "Bounded", ["a"], ["b"], body, [helper.make_opsetid("", 10)]
    )
    model = one_node(10, "Bounded", domain="own")
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.ir_version = 8
    result = convert_opset(inlined(model), 17, Path("net.onnx"))
    assert [node.op_type for node in result.graph.node] == ["Clip"]
    x = np.full((1, 4, 6, 6), 2, np.float32)
    np.testing.assert_array_equal(run_proto(result, x)[0], np.full_like(x, 0.5))


def test_the_long_name_of_the_standard_domain():
    model = one_node(9, "Clip", max=0.5)
    model.opset_import[0].domain = "ai.onnx"
    model.graph.node[0].domain = "ai.onnx"
    result = convert_opset(model, 17, Path("net.onnx"))
    assert (opset_of(result), result.graph.node[0].domain) == (17, "")
    assert len(result.graph.node[0].input) == 3


@pytest.mark.parametrize("opset", [6, 99])
def test_opsets_that_are_not_read(opset: int):
    error = refused(converted, one_node(opset, "Relu"), 17)
    newest = defs.onnx_opset_version()
    assert error.message == (
        f"net.onnx has opset {opset}, the target wants 17; 7 to {newest} are read"
    )


def test_a_type_that_the_older_operator_does_not_take():
    file = File(opset=20, shape=(1, 4))
    model = file.model(file.op("ReduceMax", file.op("Greater", "x", file.put(0.0))))
    error = refused(converted, model, 19)
    assert error.message.endswith(
        "'Greater0_0' is tensor(bool), which its form there does not take"
    )


def test_new_nodes_belong_to_the_module_of_the_old_one():
    model = one_node(11, "Softmax", axis=1)
    model.graph.node[0].metadata_props.add(key="scope", value="head")
    nodes = converted(model, 17).graph.node
    assert [node.op_type for node in nodes] == ["Flatten", "Softmax", "Reshape"]
    assert [[(p.key, p.value) for p in node.metadata_props] for node in nodes] == [
        [("scope", "head")]
    ] * 3
