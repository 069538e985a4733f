"""Another batch than the file's own: rewritten where that is exact, else refused with the node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import Imported, import_onnx
from edge_scnet.graph.run import run_onnx
from tests.helpers.onnx_files import written

IMAGES = np.random.default_rng(3).random((8, 3, 4, 4)).astype(np.float32)
RNG = np.random.default_rng(4)


def node(kind: str, inputs: str, output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), output.split(), name=output, **attributes)


def file(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    constants: Mapping[str, object],
    *,
    batch: int | str = 1,
    opset: int = 17,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 4, 4])],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    inferred = onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    )
    return written(folder, inferred)


def imported(path: Path, *, batch: int) -> Imported:
    return import_onnx(path, ModelOptions(), batch=batch, opset=17)


def ints(*sizes: int) -> np.ndarray:
    return np.array(sizes, np.int64)


def real(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


CHANGED = {
    "flatten": ([node("Reshape", "x flat", "y")], {"flat": ints(1, -1)}),
    "one constant for the batch and for what is none": (
        [
            node("Reshape", "stored four", "s"),
            node("GlobalAveragePool", "x", "p"),
            node("Reshape", "p flat", "f"),
            node("Reshape", "f four", "g"),
            node("Mul", "x g", "m"),
            node("Add", "m s", "y"),
        ],
        {"stored": real(3), "four": ints(1, 3, 1, 1), "flat": ints(1, 3)},
    ),
    "channel shuffle whose first axis is no batch": (
        [
            node("Concat", "x x", "c", axis=1),
            node("Reshape", "c pairs", "p"),
            node("Transpose", "p", "t", perm=[1, 0, 2]),
            node("Reshape", "t halves", "h"),
            node("Gather", "h one", "y", axis=0),
        ],
        {"pairs": ints(3, 2, 16), "halves": ints(2, -1, 3, 4, 4), "one": np.array(1)},
    ),
    "steps of time, then the batch": (
        [
            node("ReduceMean", "x", "m", axes=[2], keepdims=0),
            node("Transpose", "m", "t", perm=[2, 0, 1]),
            node("Reshape", "t rows", "r"),
            node("Gemm", "r w", "g"),
            node("Reshape", "g steps", "s"),
            node("Transpose", "s", "y", perm=[1, 0, 2]),
        ],
        {"rows": ints(-1, 3), "steps": ints(4, -1, 5), "w": real(3, 5)},
    ),
    "a position code that is joined": (
        [
            node("Expand", "code whole", "e"),
            node("Concat", "x e", "c", axis=1),
            node("Relu", "c", "y"),
        ],
        {"code": real(1, 1, 4, 1), "whole": ints(1, 1, 4, 4)},
    ),
    "resize to sizes": (
        [node("Resize", "x none none sizes", "y", mode="nearest")],
        {"sizes": ints(1, 3, 8, 8), "none": np.zeros(0, np.float32)},
    ),
}


@pytest.mark.parametrize("case", CHANGED)
def test_the_batch_is_written_where_it_belongs(case: str, tmp_path: Path):
    nodes, constants = CHANGED[case]
    path = file(tmp_path, nodes, constants)
    graph = imported(path, batch=4)
    alone = run_onnx(path, [IMAGES[index : index + 1] for index in range(4)])
    together = run_onnx(graph.model, [IMAGES[:4]])[0][0]
    assert np.allclose(together, np.concatenate([run[0] for run in alone]), atol=1e-6)
    assert check_onnx_parity(path, graph, IMAGES).batches == (4,)


def test_a_file_of_four_images_takes_one(tmp_path: Path):
    path = file(tmp_path, [node("Reshape", "x flat", "y")], {"flat": ints(4, -1)}, batch=4)
    graph = imported(path, batch=1)
    assert run_onnx(graph.model, [IMAGES[:1]])[0][0].shape == (1, 48)
    check_onnx_parity(path, graph, IMAGES)


def test_states_of_a_recurrent_layer_are_repeated(tmp_path: Path):
    nodes = [
        node("ReduceMean", "x", "m", axes=[2], keepdims=0),
        node("Transpose", "m", "t", perm=[2, 0, 1]),
        helper.make_node("GRU", ["t", "w", "r", "", "", "h"], ["", "last"], hidden_size=5),
        node("Squeeze", "last zero", "y"),
    ]
    constants = {"w": real(1, 15, 3), "r": real(1, 15, 5), "h": real(1, 1, 5), "zero": ints(0)}
    path = file(tmp_path, nodes, constants)
    graph = imported(path, batch=4)
    assert run_onnx(graph.model, [IMAGES[:4]])[0][0].shape == (4, 5)
    check_onnx_parity(path, graph, IMAGES)


MIXED = {
    "mean of the batch": (
        [node("ReduceMean", "x", "mean", axes=[0]), node("Sub", "x mean", "y")],
        {},
        "ReduceMean at mean mixes the images of a batch, or takes one of them: it gives 1 x 3 x 4",
    ),
    "the first image": (
        [node("Gather", "x zero", "first", axis=0), node("Mul", "x first", "y")],
        {"zero": np.array(0)},
        "Gather at first mixes the images",
    ),
    "no axis of the batch": (
        [node("Reshape", "x rows", "y")],
        {"rows": ints(-1, 4)},
        "the first axis of output 'y' is not the batch: it is 12 x 4 at batch 1 and 48 x 4",
    ),
    "a constant for one image": (
        [node("Squeeze", "x zero", "s"), node("Relu", "s", "y")],
        {"zero": ints(0)},
        "the tensors that Squeeze at s reads do not fit: 4 x 3 x 4 x 4 and 1",
    ),
}


@pytest.mark.parametrize("case", MIXED)
def test_what_has_no_batch_is_refused_with_the_node(case: str, tmp_path: Path):
    nodes, constants, message = MIXED[case]
    path = file(tmp_path, nodes, constants)
    check_onnx_parity(path, imported(path, batch=1), IMAGES)
    with pytest.raises(ArtifactError) as caught:
        imported(path, batch=4)
    assert message in caught.value.message
    assert caught.value.message.startswith("the model cannot be built at batch 4: ")
    assert "--batch 1" in caught.value.hint


@pytest.mark.parametrize("batch", ["N", 4])
def test_images_that_influence_each_other_are_noticed_by_value(batch: int | str, tmp_path: Path):
    """All shapes have their batch; a running sum goes from image to image."""
    nodes = [
        node("Relu", "x", "r"),
        node("CumSum", "r zero", "sum"),
        node("Neg", "sum", "y"),
    ]
    path = file(tmp_path, nodes, {"zero": np.array(0)}, batch=batch)
    with pytest.raises(ArtifactError) as caught:
        check_onnx_parity(path, imported(path, batch=4), IMAGES)
    assert "CumSum at sum lets the images of a batch influence each other" in caught.value.message


def test_a_file_that_contradicts_itself_is_not_blamed_for_its_batch(tmp_path: Path):
    path = file(tmp_path, [node("MatMul", "x w", "y")], {"w": real(5, 3)})
    proto = onnx.load(path)
    stated = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 3])
    proto.graph.output[0].CopyFrom(stated)
    written(tmp_path, proto)
    with pytest.raises(ArtifactError, match=r"net.onnx contradicts itself: .*MatMul"):
        imported(path, batch=4)
