"""Small steps with graphs: batch, inner tensors made outputs, parts, constants, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from edge_scnet.graph.model import (
    add_initializer,
    batch_of,
    drop_unused,
    expose,
    extract,
    load,
    names_in,
    own_weights,
    save,
)
from edge_scnet.graph.run import run_onnx
from tests.helpers.float_graphs import FOUR_IMAGES, RELU, biased_conv, ir_graph, random_weights


@pytest.fixture
def model() -> ir.Model:
    """A convolution "a", a ReLU "r" and a convolution "b", which is the output."""
    nodes = [biased_conv("input", "w", "a"), RELU, biased_conv("r", "v", "b")]
    return ir_graph(nodes, random_weights("w", "v"))


@pytest.mark.parametrize(("size", "batch"), [(1, 1), (4, 4), (None, 7), ("N", 7)])
def test_the_batch_of_a_graph(model: ir.Model, size: int | str | None, batch: int) -> None:
    model.graph.inputs[0].shape = ir.Shape([size, 4, 8, 8])
    assert batch_of(model, dynamic=7) == batch


def test_a_graph_without_shapes_has_the_batch_of_a_dynamic_one(model: ir.Model) -> None:
    model.graph.inputs[0].shape = None
    assert batch_of(model) == 1


def test_exposed_tensors_come_behind_the_outputs_once_and_in_a_copy(model: ir.Model) -> None:
    observed = expose(model, ["r", "b", "a", "r"])
    assert [value.name for value in observed.graph.outputs] == ["b", "r", "a"]
    assert [value.name for value in model.graph.outputs] == ["b"]
    output, after, before = run_onnx(observed, [FOUR_IMAGES[:1]])[0]
    np.testing.assert_array_equal(after, np.maximum(before, 0))
    np.testing.assert_array_equal(output, run_onnx(model, [FOUR_IMAGES[:1]])[0][0])


def test_a_part_computes_what_the_graph_does(model: ir.Model) -> None:
    part = extract(model, ["r"], ["b"])
    assert [node.name for node in part.graph] == ["b"]
    _, after = run_onnx(expose(model, ["r"]), [FOUR_IMAGES[:1]])[0]
    np.testing.assert_array_equal(
        run_onnx(part, [after])[0][0], run_onnx(model, [FOUR_IMAGES[:1]])[0][0]
    )


def test_constants_that_nobody_reads_are_dropped_but_not_outputs(model: ir.Model) -> None:
    used = set(model.graph.initializers)
    add_initializer(model.graph, "idle", np.float32(1))
    model.graph.outputs.append(add_initializer(model.graph, "shown", np.ones(3, np.float32)))
    drop_unused(model.graph)
    assert set(model.graph.initializers) == {*used, "shown"}


def test_a_file_holds_all_of_a_graph(model: ir.Model, tmp_path: Path) -> None:
    save(model, tmp_path / "m.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]
    image = [FOUR_IMAGES[:1]]
    np.testing.assert_array_equal(
        run_onnx(load(tmp_path / "m.onnx"), image)[0][0], run_onnx(model, image)[0][0]
    )


def test_a_new_constant_takes_no_name_of_the_graph(model: ir.Model) -> None:
    for taken in ("w", "input", "a"):
        assert add_initializer(model.graph, taken, np.float32(1)).name == f"{taken}_"
    assert add_initializer(model.graph, "w", np.float32(1)).name == "w__"
    assert add_initializer(model.graph, "free", np.float32(1)).name == "free"


def test_names_that_are_listed_once_are_kept_up(model: ir.Model) -> None:
    taken = names_in(model.graph)
    names = [
        add_initializer(model.graph, wanted, np.float32(1), taken=taken).name
        for wanted in ("w", "w", "new", "new", "input")
    ]
    assert names == ["w_", "w__", "new", "new_", "input_"]
    assert taken == names_in(model.graph)


def test_weights_are_taken_out_of_the_file_and_a_damaged_one_is_left_in_it() -> None:
    tensors = [
        numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "good"),
        numpy_helper.from_array(np.arange(4, dtype=np.int64), "numbers"),
        onnx.TensorProto(name="short", data_type=1, dims=[5], raw_data=b"1234"),
    ]
    value = helper.make_tensor_value_info("x", 1, [1])
    proto = helper.make_model(helper.make_graph([], "g", [value], [value], tensors))
    loaded = ir.serde.deserialize_model(proto)
    own_weights(loaded)
    weights = {name: found.const_value for name, found in loaded.graph.initializers.items()}
    assert [type(weights[name]) for name in ("good", "numbers")] == [ir.Tensor] * 2
    good = weights["good"]
    assert good is not None and np.array_equal(good.numpy(), [[0, 1, 2], [3, 4, 5]])
    assert isinstance(weights["short"], ir.serde.TensorProtoTensor)
