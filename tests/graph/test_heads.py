"""What a graph's outputs end in."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.core.outputs import OutputHead
from edge_scnet.graph.heads import heads_of


def _heads(nodes: list, *outputs: tuple, shape: tuple = (1, 8), **stored: np.ndarray) -> list:
    import onnx

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in outputs],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    inferred = onnx.shape_inference.infer_shapes(model)
    return list(heads_of(ir.serde.deserialize_model(inferred)))


def _node(op: str, *inputs: str, out: str, **attributes: object) -> object:
    return helper.make_node(op, list(inputs), [out], **attributes)


def test_softmax_over_a_maps_channels_behind_a_transpose() -> None:
    nodes = [
        _node("Softmax", "x", out="s", axis=-1),
        _node("Transpose", "s", out="y", perm=[0, 3, 1, 2]),
    ]
    (head,) = _heads(nodes, ("y", (1, 5, 4, 6)), shape=(1, 4, 6, 5))
    assert (head.ending, head.axis, head.shape) == ("softmax", 1, (1, 5, 4, 6))


def test_a_linear_layer_with_its_bias_apart_and_a_sigmoid_behind_a_reshape() -> None:
    nodes = [
        _node("MatMul", "x", "w", out="m"),
        _node("Add", "m", "b", out="y"),
        _node("Sigmoid", "y", out="s"),
        _node("Reshape", "s", "to", out="z"),
    ]
    stored = {
        "w": np.ones((8, 4), np.float32),
        "b": np.ones(4, np.float32),
        "to": np.array([1, 2, 2]),
    }
    first, second = _heads(nodes, ("y", (1, 4)), ("z", (1, 2, 2)), **stored)
    assert first == OutputHead(name="y", shape=(1, 4), ending="linear")
    assert second.ending == "sigmoid"


def test_vectors_of_length_one_as_torch_writes_them() -> None:
    nodes = [
        _node("ReduceL2", "x", "axes", out="n", keepdims=1),
        _node("Clip", "n", "least", out="c"),
        _node("Expand", "c", "to", out="e"),
        _node("Div", "x", "e", out="y"),
    ]
    stored = {
        "axes": np.array([1]),
        "least": np.array(1e-12, np.float32),
        "to": np.array([1, 8]),
    }
    (head,) = _heads(nodes, ("y", (1, 8)), **stored)
    assert head.ending == "l2"


def test_levels_of_a_head_join_boxes_and_scores() -> None:
    """As YOLOX: each level joins 4 + 1 + 3 channels, the levels are joined over places."""
    nodes = []
    for level in "ab":
        nodes += [
            _node("Conv", "x", "w4", out=f"box{level}"),
            _node("Conv", "x", "w1", out=f"o{level}"),
            _node("Conv", "x", "w3", out=f"c{level}"),
            _node("Sigmoid", f"o{level}", out=f"obj{level}"),
            _node("Sigmoid", f"c{level}", out=f"cls{level}"),
            _node("Concat", f"box{level}", f"obj{level}", f"cls{level}", out=f"j{level}", axis=1),
            _node("Reshape", f"j{level}", "flat", out=f"r{level}"),
        ]
    nodes += [
        _node("Concat", "ra", "rb", out="all", axis=2),
        _node("Transpose", "all", out="y", perm=[0, 2, 1]),
    ]
    stored = {f"w{n}": np.ones((n, 2, 1, 1), np.float32) for n in (4, 1, 3)}
    (head,) = _heads(
        nodes, ("y", (1, 40, 8)), shape=(1, 2, 4, 5), flat=np.array([1, 8, -1]), **stored
    )
    assert head.joined == (2, (4, 1, 3))


def test_an_output_without_a_batch_axis() -> None:
    nodes = [_node("Reshape", "x", "to", out="y")]
    (head,) = _heads(nodes, ("y", (4, 2)), to=np.array([4, 2]))
    assert not head.by_sample


def test_a_number_that_is_stored_or_follows_from_shapes() -> None:
    stored = numpy_helper.from_array(np.array(7, np.int64))
    (head,) = _heads([helper.make_node("Constant", [], ["y"], value=stored)], ("y", None))
    assert (head.ending, head.joined) == ("other", None)
