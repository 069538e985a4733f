"""What rules know of a graph, and how they change it."""

from __future__ import annotations

import numpy as np
from onnx import helper

from edge_scnet.export.rewriting import attributes, context_of, drop, graphs_of, made, put, rewrite
from tests.helpers.onnx_nodes import File, one_node


def test_shapes_types_and_constants_of_subgraphs_too():
    file = File(opset=13, shape=(1, "C", 6))
    two = file.op("Constant", value_ints=[2, 3])
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["inside"], value_float=0.5)],
        "then",
        [],
        [helper.make_empty_tensor_value_info("inside")],
    )
    chosen = file.op("If", file.put(1, np.bool_), then_branch=inner, else_branch=inner)
    context = context_of(file.model(chosen, two))
    assert (context.shapes["x"], context.shape("x")) == ((1, None, 6), None)
    assert context.shape(two) == (2,)
    assert (context.dtype("x"), context.dtype(two)) == (np.float32, np.int64)
    values = [context.constant(name) for name in (two, "inside", "x")]
    np.testing.assert_array_equal(values[0], [2, 3])
    assert (values[1], values[2]) == (0.5, None)
    assert {"x", two, "inside", chosen} <= context.taken and chosen in context.used


def test_new_names_are_new():
    model = one_node(13, "Relu")
    context = context_of(model)
    node = model.graph.node[0]
    assert [context.add(node, "k", np.zeros(1)) for _ in range(2)] == ["Relu0_k", "Relu0_k_2"]
    assert context.fresh("x") == "x_2"
    assert [tensor.name for tensor in model.graph.initializer] == ["Relu0_k", "Relu0_k_2"]


def test_nodes_are_replaced_in_place():
    file = File(opset=13)
    first = file.op("Relu", "x")
    model = file.model(file.op("Neg", first))

    def double(node: object) -> list[object] | None:
        if node.op_type != "Relu":
            return None
        return [made("Abs", ["x"], ["a"]), made("Relu", ["a"], [first])]

    assert rewrite(model, double)
    assert [node.op_type for node in model.graph.node] == ["Abs", "Relu", "Neg"]
    assert not rewrite(model, lambda _node: None)
    assert len(list(graphs_of(model.graph))) == 1


def test_attributes():
    node = made("Pad", ["x"], ["y"], mode="edge", pads=[1, 2])
    put(node, mode="reflect", value=0.5)
    assert attributes(node) == {"mode": "reflect", "pads": [1, 2], "value": 0.5}
    drop(node, "mode", "value", "absent")
    assert attributes(node) == {"pads": [1, 2]}


def test_large_weights_are_not_copied_and_are_known_all_the_same():
    file = File(opset=13)
    large = file.put(np.arange(4 * 4 * 5 * 5).reshape(4, 4, 5, 5))
    y = file.op("Conv", "x", large)
    context = context_of(file.model(y))
    assert (context.shape(large), context.shape(y)) == ((4, 4, 5, 5), (1, 4, 2, 2))
    np.testing.assert_array_equal(context.constant(large), file.stored[large])
