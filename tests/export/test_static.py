"""Static shapes: what a dynamic batch leaves, and shape arithmetic that is refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from edge_scnet.errors import ArtifactError
from edge_scnet.export.parity import check_parity
from edge_scnet.export.static import check_static
from edge_scnet.graph.run import run_onnx
from tests.helpers.networks import SHAPE_ARITHMETIC, TINY_SHAPE, ops, random_images

# A dynamic batch


@pytest.mark.slow
def test_a_dynamic_batch_leaves_only_shapes_that_feed_resize(tiny_dynamic: ir.Model):
    assert SHAPE_ARITHMETIC & set(ops(tiny_dynamic)) <= {"Shape"}
    assert "Resize" in ops(tiny_dynamic)
    for node in tiny_dynamic.graph:
        if node.op_type == "Shape":
            pending = list(node.outputs[0].uses())
            assert pending
            for use in pending:
                assert use.node.op_type == "Concat"
                assert {(u.node.op_type, u.idx) for u in use.node.outputs[0].uses()} == {
                    ("Resize", 3)
                }
    with pytest.raises(ArtifactError, match="computes shapes at run time: Shape at layer"):
        check_static(tiny_dynamic, dynamic_batch=False)


@pytest.mark.slow
def test_a_dynamic_batch_runs_and_agrees_at_any_size(tiny: nn.Module, tiny_dynamic: ir.Model):
    images = random_images(TINY_SHAPE)
    for batch in (1, 2, 3):
        assert run_onnx(tiny_dynamic, [images[:batch]])[0][0].shape == (batch, 5)
    parity = check_parity(tiny, tiny_dynamic, images, opset=18, dynamic_batch=True)
    assert (parity.batches, parity.images) == ((1, 2, 8), 8) and parity.worst < 2e-5


# Shape arithmetic that no exporter would leave, by hand


def small_graph(*nodes: onnx.NodeProto, sizes: Sequence[int] = (8, 8)) -> ir.Model:
    constants = {"zero": 0, "rest": [3, 16, 16], "flat": [-1], "starts": [0], "ends": [4]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, *sizes])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in constants.items()
        ],
    )
    return ir.serde.deserialize_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    )


BATCH = helper.make_node("Shape", ["x"], ["n"], end=1)
SIZES = helper.make_node("Concat", ["n", "rest"], ["sizes"], axis=0)
FLAT = helper.make_node("Concat", ["n", "flat"], ["s"], axis=0)
RESIZE = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest")
COMPUTED_END = (
    helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
    helper.make_node("Reshape", ["m", "flat"], ["one"]),
    helper.make_node("Cast", ["one"], ["end"], to=TensorProto.INT64),
)


def test_only_the_batch_entry_of_resize_may_be_computed():
    check_static(small_graph(BATCH, SIZES, RESIZE), dynamic_batch=True)
    with pytest.raises(ArtifactError, match="Shape at Shape"):
        check_static(small_graph(BATCH, SIZES, RESIZE), dynamic_batch=False)


@pytest.mark.parametrize(
    ("nodes", "culprit"),
    [
        ((BATCH, SIZES, RESIZE, helper.make_node("Reshape", ["x", "sizes"], ["z"])), "Shape"),
        ((BATCH, FLAT, helper.make_node("Reshape", ["x", "s"], ["y"])), "Shape"),
        (
            (
                helper.make_node("Shape", ["x"], ["all"]),
                helper.make_node("Gather", ["all", "zero"], ["y"]),
            ),
            "Shape",
        ),
        ((BATCH, SIZES, helper.make_node("Resize", ["x", "", "sizes"], ["y"])), "Shape"),
        ((*COMPUTED_END, helper.make_node("Slice", ["x", "starts", "end"], ["y"])), "Slice"),
        ((helper.make_node("NonZero", ["x"], ["y"]),), "NonZero"),
        ((*COMPUTED_END, helper.make_node("Tile", ["x", "end"], ["y"])), "Tile"),
        ((*COMPUTED_END, helper.make_node("Reshape", ["x", "end"], ["y"])), "Reshape"),
        ((*COMPUTED_END, helper.make_node("TopK", ["x", "end"], ["y", "i"])), "TopK"),
        ((helper.make_node("Unique", ["x"], ["y"]),), "Unique"),
    ],
)
def test_other_shape_arithmetic_is_refused(nodes: tuple[onnx.NodeProto, ...], culprit: str):
    with pytest.raises(ArtifactError, match=f"computes shapes at run time: {culprit} at"):
        check_static(small_graph(*nodes), dynamic_batch=True)


def test_a_slice_of_data_by_constants_is_static():
    check_static(
        small_graph(helper.make_node("Slice", ["x", "starts", "ends"], ["y"])), dynamic_batch=False
    )


def test_shape_arithmetic_inside_a_branch_is_seen():
    output = helper.make_tensor_value_info("inner", TensorProto.INT64, None)
    branch = helper.make_graph([helper.make_node("NonZero", ["x"], ["inner"])], "b", [], [output])
    condition = helper.make_node(
        "Constant", [], ["c"], value=numpy_helper.from_array(np.ones((), bool))
    )
    graph = small_graph(
        condition, helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ArtifactError, match="NonZero"):
        check_static(graph, dynamic_batch=False)


def test_where_the_computed_size_comes_from_is_said():
    graph = small_graph(*COMPUTED_END, helper.make_node("Slice", ["x", "starts", "end"], ["y"]))
    with pytest.raises(ArtifactError) as caught:
        check_static(graph, dynamic_batch=False)
    assert caught.value.message.endswith("Slice at Slice: its size is computed by Cast at Cast")
    assert "onnx.utils.extract_model" in caught.value.hint


def test_a_branch_that_is_chosen_at_run_time():
    output = helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Relu", ["x"], ["inner"])], "b", [], [output])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["m"], keepdims=0),
        helper.make_node("Cast", ["m"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch),
    ]
    with pytest.raises(ArtifactError, match="If at If: its branch is chosen by a value"):
        check_static(small_graph(*nodes), dynamic_batch=False)


def test_a_table_that_is_read_by_computed_indices_has_sizes_all_the_same():
    index = helper.make_node("ArgMax", ["x"], ["index"], axis=3, keepdims=0)
    rows = helper.make_node("Gather", ["rest", "index"], ["y"])
    check_static(small_graph(index, rows), dynamic_batch=False)
