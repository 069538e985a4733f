"""Outputs and names of users' files, as strange as ONNX allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import Imported, import_onnx
from edge_scnet.graph.run import run_onnx
from tests.helpers.onnx_files import written

SIZES = [1, 3, 4, 4]
IMAGES = np.random.default_rng(1).standard_normal((8, 3, 4, 4)).astype(np.float32)
INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT


def imported(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: dict[str, int] | Sequence[tuple[str, int]],
    *,
    batch: int = 1,
) -> tuple[Path, Imported]:
    pairs = list(outputs.items()) if isinstance(outputs, dict) else list(outputs)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, SIZES)],
        [helper.make_tensor_value_info(name, kind, [None] * 4) for name, kind in pairs],
        [
            numpy_helper.from_array(np.full((3, 3, 1, 1), 0.5, np.float32), "w"),
            numpy_helper.from_array(np.array([3], np.int64), "version"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for value in model.graph.output:
        if value.name == "version":
            value.type.tensor_type.shape.dim.pop()
            del value.type.tensor_type.shape.dim[1:]
    path = written(folder, model)
    return path, import_onnx(path, ModelOptions(), batch=batch, opset=18)


def names(model: ir.Model) -> list[str]:
    return [str(value.name) for value in model.graph.outputs]


def node(kind: str, inputs: str, output: str, name: str = "", **more: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], name=name or output, **more)


@pytest.mark.parametrize("batch", [1, 2])
def test_names_order_and_types_of_outputs_stay(tmp_path: Path, batch: int):
    nodes = [
        node("Conv", "x w", "backbone/stage 1:0"),
        helper.make_node("Relu", ["backbone/stage 1:0"], ["488"], name="r"),
        node("Identity", "488", "copy-b"),
        node("Identity", "488", "copy,a"),
        node("ArgMax", "488", "classes", axis=1),
        node("Identity", "version", "version_number"),
        node("Identity", "x", "input again"),
    ]
    outputs = {
        "copy-b": FLOAT,
        "backbone/stage 1:0": FLOAT,
        "classes": INT64,
        "copy,a": FLOAT,
        "488": FLOAT,
        "input again": FLOAT,
    }
    path, result = imported(tmp_path, nodes, outputs, batch=batch)
    assert names(result.model) == list(outputs)
    assert [value.dtype for value in result.model.graph.outputs] == [
        ir.DataType.INT64 if kind == INT64 else ir.DataType.FLOAT for kind in outputs.values()
    ]
    assert all(value.producer() is not None for value in result.model.graph.outputs)
    assert check_onnx_parity(path, result, IMAGES).worst < 1e-6
    onnx.checker.check_model(ir.serde.serialize_model(result.model), full_check=True)


def test_stored_outputs_have_a_node_of_their_name(tmp_path: Path):
    nodes = [node("Conv", "x w", "y")]
    path, result = imported(tmp_path, nodes, {"version": INT64, "y": FLOAT}, batch=4)
    assert names(result.model) == ["version", "y"]
    assert result.model.graph.outputs[0].producer().op_type == "Identity"
    version = run_onnx(result.model, [IMAGES[:4]])[0][0]
    assert version.tolist() == [3] and version.dtype == np.int64
    check_onnx_parity(path, result, IMAGES)


def test_an_output_twice_and_an_output_that_is_the_input_are_parted(tmp_path: Path):
    outputs = [("y", FLOAT), ("y", FLOAT), ("x", FLOAT)]
    path, result = imported(tmp_path, [node("Conv", "x w", "y")], outputs)
    assert names(result.model) == ["y", "y_2", "x_2"]
    assert [value.name for value in result.model.graph.inputs] == ["x"]
    check_onnx_parity(path, result, IMAGES)
    assert result.notes == (
        "another output or input is called y: here this one is y_2",
        "another output or input is called x: here this one is x_2",
    )


def test_nodes_may_be_called_anything(tmp_path: Path):
    chain = ["a", "a", "a#2", "", "a b/c:0", "one, two", "line\nend", "x", "y", "a:0", "w"]
    nodes, last = [], "x"
    for index, name in enumerate(chain):
        output = "y" if index == len(chain) - 1 else f"t{index}"
        nodes.append(helper.make_node("Conv", [last, "w"], [output], name=name))
        last = output
    path, result = imported(tmp_path, nodes, {"y": FLOAT})
    made = [str(n.name) for n in result.model.graph]
    assert len(set(made)) == len(chain) and "" not in made
    assert not [name for name in made if "," in name or "\n" in name]
    assert made[:3] == ["a", "a_2", "a#2"] and made[4] == "a b/c:0"
    tensors = [str(value.name) for n in result.model.graph for value in n.outputs]
    assert len(set(tensors)) == len(tensors) and tensors[-1] == "y"
    check_onnx_parity(path, result, IMAGES)
