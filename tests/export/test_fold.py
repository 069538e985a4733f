"""What a graph computes of constants and shapes is folded, whatever its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.export import fold as folding
from edge_scnet.export.fold import fold
from edge_scnet.graph.run import run_onnx
from tests.helpers.networks import ops, random_images

SHAPE = (1, 3, 8, 8)
IMAGES = random_images(SHAPE, 1)


def graph_with(
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, object],
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> ir.Model:
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    imports = [helper.make_opsetid("", opset)]
    return ir.serde.deserialize_model(helper.make_model(made, opset_imports=imports, ir_version=8))


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


SCALARS = {"zero": np.int64(0), "one": np.int64(1), "many": np.int64(20_000)}
TWO, THREE = np.float32(2), np.float32(3)


def test_a_large_range_is_folded_to_the_values_of_onnx_runtime():
    nodes = [
        node("Range", "zero many one", "r"),
        node("Cast", "r", "f", to=TensorProto.FLOAT),
        node("Sin", "f", "s"),
        node("ReduceMax", "x", "m", keepdims=0),
        node("Add", "s m", "y"),
    ]
    model = graph_with(nodes, SCALARS)
    expected = run_onnx(model, [IMAGES])[0][0]
    fold(model)
    assert ops(model) == ["ReduceMax", "Add"]
    assert list(model.graph.initializers) == ["s"]
    assert np.array_equal(run_onnx(model, [IMAGES])[0][0], expected)
    assert expected.shape == (20_000,)


def test_shapes_of_tensors_inside_are_constants_once_the_input_has_its_size():
    nodes = [
        node("MaxPool", "x", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Shape", "p", "s", start=2),
        node("Concat", "shape_start s", "all", axis=0),
        node("ConstantOfShape", "all", "grid", value=helper.make_tensor("v", 1, [1], [2.0])),
        node("Size", "p", "count"),
        node("Cast", "count", "c", to=TensorProto.FLOAT),
        node("Mul", "grid c", "scaled"),
        node("Add", "p scaled", "y"),
    ]
    model = graph_with(nodes, {"shape_start": np.array([1, 3])})
    fold(model)
    assert ops(model) == ["MaxPool", "Add"]
    assert np.array_equal(
        model.graph.initializers["scaled"].const_value.numpy(),
        np.full((1, 3, 4, 4), 2.0 * 3 * 16, np.float32),
    )


@pytest.mark.parametrize("taken", [True, False])
def test_the_branch_that_is_taken_stands_in_the_place_of_its_if(taken: bool):
    """Both branches call their tensors alike, as torch's exporter does."""

    def branch(kind: str, constant: float) -> onnx.GraphProto:
        stored = numpy_helper.from_array(np.float32(constant), "inner_constant")
        return helper.make_graph(
            [node(kind, "x inner_constant", "inner"), node("Neg", "inner", "result")],
            kind,
            [],
            [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
            [stored],
        )

    nodes = [
        node("Equal", "a b", "same"),
        node("If", "same", "z", then_branch=branch("Add", 1), else_branch=branch("Mul", 5)),
        node("If", "same", "y", then_branch=branch("Add", 2), else_branch=branch("Mul", 6)),
    ]
    model = graph_with(nodes, {"a": TWO, "b": TWO if taken else THREE}, outputs=("y", "z"))
    fold(model)
    assert sorted(set(ops(model))) == sorted({"Add" if taken else "Mul", "Neg", "Identity"})
    y, z = run_onnx(model, [IMAGES])[0]
    assert np.array_equal(y, -(IMAGES + 2) if taken else -(IMAGES * 6))
    assert np.array_equal(z, -(IMAGES + 1) if taken else -(IMAGES * 5))
    names = [value.name for inner in model.graph for value in inner.outputs]
    assert len(set(names)) == len(names)


def test_a_constant_output_keeps_its_name_and_has_a_node():
    nodes = [node("Add", "a b", "version"), node("Relu", "x", "y")]
    model = graph_with(nodes, {"a": np.array([2]), "b": np.array([3])}, outputs=("version", "y"))
    fold(model)
    assert [value.name for value in model.graph.outputs] == ["version", "y"]
    assert ops(model) == ["Identity", "Relu"]
    version = run_onnx(model, [IMAGES])[0][0]
    assert version.tolist() == [5] and version.dtype == np.int64
    onnx.checker.check_model(ir.serde.serialize_model(model))


def test_what_is_random_or_depends_on_the_input_is_not_folded():
    nodes = [
        node("RandomNormal", "", "r", shape=[1, 3, 8, 8]),
        node("RandomNormalLike", "like", "l"),
        node("Add", "r l", "noise"),
        node("Add", "x noise", "y"),
    ]
    nodes[0].ClearField("input")
    model = graph_with(nodes, {"like": np.zeros(SHAPE, np.float32)})
    fold(model)
    assert ops(model) == ["RandomNormal", "RandomNormalLike", "Add", "Add"]


def test_one_node_that_onnx_runtime_cannot_run_does_not_keep_the_others_from_folding():
    nodes = [
        node("Reshape", "a five", "wrong"),  # four values as five
        node("Add", "a a", "twice"),
        node("Mul", "x twice", "z"),
        node("Add", "wrong five", "y"),
    ]
    constants = {"a": np.ones((1, 1, 1, 8), np.float32), "five": np.array([5])}
    model = graph_with(nodes, constants, outputs=("z", "y"))
    fold(model)
    assert ops(model) == ["Reshape", "Mul", "Add"]


def test_a_constant_of_gigabytes_is_left(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(folding, "_MOST_BYTES", 8 * 192 - 1)
    nodes = [node("Expand", "a sizes", "e"), node("Mul", "x e", "y")]
    model = graph_with(nodes, {"a": np.float32(2), "sizes": np.array(SHAPE)})
    fold(model)
    assert ops(model) == ["Expand", "Mul"]
    monkeypatch.setattr(folding, "_MOST_BYTES", 8 * 192)
    fold(model)
    assert ops(model) == ["Mul"]
