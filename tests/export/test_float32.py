"""Files of other real numbers, and of bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ParityError
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.float32 import raise_to_float32, rounding_of
from edge_scnet.export.from_onnx import import_onnx
from edge_scnet.graph.run import run_onnx
from tests.helpers.networks import damaged, ops, random_images
from tests.helpers.onnx_files import written
from tests.helpers.onnx_nodes import File, floats, one_node, run_proto

FILE_TYPES = {"float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}


def network(dtype: str, *, where: str = "everywhere") -> onnx.ModelProto:
    """Conv, Clip, pooling and Gemm; the other type is everywhere, inside only, or of weights."""
    real = np.dtype(dtype)
    everywhere, weights = where == "everywhere", where == "weights"
    kind = FILE_TYPES[dtype]
    file = File(opset=13, shape=(1, 3, 8, 8), kind=kind if everywhere else TensorProto.FLOAT)
    rng = np.random.default_rng(2)

    def stored(array: Any) -> str:
        name = file.put(array, real)
        return str(file.op("Cast", name, to=TensorProto.FLOAT)) if weights else name

    x = "x" if where != "inside" else file.op("Cast", "x", to=kind)
    x = file.op("Conv", x, stored(rng.standard_normal((4, 3, 3, 3)) / 5), stored(np.zeros(4)))
    x = file.op("Clip", x, stored(0.0), stored(65504.0))
    x = file.op("Flatten", file.op("GlobalAveragePool", x))
    x = file.op("Gemm", x, stored(rng.standard_normal((4, 5))), stored(np.arange(5)))
    if where == "inside":
        x = file.op("Cast", x, to=TensorProto.FLOAT)
    return file.model(x, kind=kind if everywhere else TensorProto.FLOAT, shape=[1, 5])


@pytest.mark.parametrize("where", ["everywhere", "inside", "weights"])
@pytest.mark.parametrize("dtype", FILE_TYPES)
def test_other_real_numbers_become_float32(tmp_path: Path, dtype: str, where: str):
    path = written(tmp_path, network(dtype, where=where))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=20)
    model = imported.model
    assert ops(model) == ["Conv", "Clip", "GlobalAveragePool", "Reshape", "Gemm"]
    values = [*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()]
    assert {str(value.dtype) for value in values} <= {"FLOAT", "INT64"}
    assert imported.notes[-1] == "real numbers of other types are float32 here"
    assert (imported.rounding > 0) == (dtype == "float16" and where != "weights")
    assert check_onnx_parity(path, imported, random_images((1, 3, 8, 8))).worst < 1e-6


def test_bounds_of_fp16_keep_their_values():
    model = network("float16")
    assert raise_to_float32(model)
    bounds = [numpy_helper.to_array(t) for t in model.graph.initializer if not t.dims]
    assert [(bound.dtype.name, float(bound)) for bound in bounds] == [
        ("float32", 0.0),
        ("float32", 65504.0),
    ]
    assert not raise_to_float32(model)


def test_types_that_attributes_name_are_raised():
    file = File(opset=13, shape=(1, 4))
    quarter = helper.make_tensor("quarter", TensorProto.FLOAT16, [1], [0.25])
    filled = file.op("ConstantOfShape", file.op("Shape", "x"), value=quarter)
    constant = file.op("Constant", value=helper.make_tensor("", TensorProto.DOUBLE, [1], [2.0]))
    product = file.op("Mul", filled, file.op("Cast", constant, to=TensorProto.FLOAT16))
    model = file.model(file.op("Add", "x", file.op("Cast", product, to=TensorProto.FLOAT)))
    x = floats(1, 2, 3, 4)[None]
    assert raise_to_float32(model)
    np.testing.assert_array_equal(run_proto(model, x)[0], x + 0.5)
    # casts of float32 to float32 pass it on
    assert "Cast" not in [node.op_type for node in model.graph.node]


def test_rounding_grows_with_the_root_of_the_steps():
    file = File(opset=13, kind=TensorProto.FLOAT16)
    x = "x"
    for _ in range(4):
        x = file.op("Relu", x)
    # four values off by 2 ** -11, which networks make up to four times as much
    assert rounding_of(file.model(x)) == pytest.approx(4 * 2 * 2.0**-11)
    assert rounding_of(one_node(13, "Relu")) == 0


@pytest.mark.parametrize("wrong", ["raised", "model"])
def test_a_wrong_graph_of_an_fp16_file_fails_parity(tmp_path: Path, wrong: str):
    path = written(tmp_path, network("float16"))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=20)
    graph = getattr(imported, wrong)
    bias = next(name for name, v in graph.graph.initializers.items() if v.shape == (5,))
    # far less than what FP16 rounds, where it is the prepared graph's
    factor = 1.001 if wrong == "model" else 1.1
    bad = replace(imported, **{wrong: damaged(graph, bias, lambda b: b * factor)})
    message = "folding changed" if wrong == "model" else "in float32 differs from the file itself"
    with pytest.raises(ParityError, match=message):
        check_onnx_parity(path, bad, random_images((1, 3, 8, 8)))


def test_choices_that_fp16_rounds_are_not_held_to_the_file(tmp_path: Path):
    file = File(opset=13, shape=(1, 3, 1, 1), kind=TensorProto.FLOAT16)
    chosen = file.op("ArgMax", file.op("Flatten", "x"), axis=1, keepdims=0)
    path = written(tmp_path, file.model(chosen, kind=TensorProto.INT64, shape=[1]))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    # they differ by less than FP16's step at 1
    x = np.array([1, 1.0001, 1.0002], np.float32).reshape(1, 3, 1, 1)
    assert run_onnx(path, [x.astype(np.float16)])[0][0] == 0
    assert run_onnx(imported.model, [x])[0][0] == 2
    assert check_onnx_parity(path, imported, x).worst == 0


def byte_network(*steps: str) -> onnx.ModelProto:
    """Takes N x H x W x C bytes; the steps are in front of the cast to float32."""
    file = File(opset=10, shape=(1, 8, 8, 3), kind=TensorProto.UINT8)
    x = "x"
    for step in steps:
        if step == "Transpose":
            x = file.op("Transpose", x, perm=[0, 3, 1, 2])
        elif step == "Slice":
            x = file.op(
                "Slice",
                x,
                file.put([1], np.int64),
                file.put([7], np.int64),
                file.put([2], np.int64),
            )
        elif step == "Concat":
            x = file.op("Concat", x, x, axis=2)
        elif step == "Resize":
            x = file.op("Resize", x, file.put([1, 1, 2, 2]), mode="nearest")
    x = file.op("Cast", x, to=TensorProto.FLOAT)
    x = file.op("Conv", x, file.put(np.random.default_rng(0).standard_normal((2, 3, 3, 3)) / 255))
    return file.model(x, kind=TensorProto.FLOAT, shape=[1, 2, "H", "W"])


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (("Transpose",), ["Conv"]),
        (("Transpose", "Slice", "Concat"), ["Slice", "Concat", "Conv"]),
        (
            ("Transpose", "Resize"),
            ["Add", "Clip", "Floor", "Cast", "Resize", "Cast", "Conv"],
        ),
    ],
)
def test_bytes_become_float32(tmp_path: Path, steps: tuple[str, ...], expected: list[str]):
    path = written(tmp_path, byte_network(*steps))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    operators = ops(imported.model)
    # the Transpose in front undoes the one in the file: folding may take both
    assert [op for op in operators if op != "Transpose"] == expected
    pixels = np.random.default_rng(1).integers(0, 256, (2, 3, 8, 8)).astype(np.float32)
    assert check_onnx_parity(path, imported, pixels).worst < 1e-6
    # pixels that arithmetic has left a hair beside the bytes
    assert check_onnx_parity(path, imported, pixels * (1 - 2.0**-20)).worst < 1e-5


def test_an_output_of_bytes_stays_one(tmp_path: Path):
    file = File(opset=13, shape=(1, 3, 4, 4), kind=TensorProto.UINT8)
    turned = file.op("Transpose", "x", perm=[0, 2, 3, 1])
    path = written(tmp_path, file.model(turned, kind=TensorProto.UINT8, shape=[1, 4, 4, 3]))
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    pixels = np.arange(48, dtype=np.float32).reshape(1, 3, 4, 4)
    assert run_onnx(imported.model, [pixels])[0][0].dtype == np.uint8
    assert check_onnx_parity(path, imported, pixels).worst == 0


def test_an_fp16_input_besides_the_first_is_fed_as_float32(tmp_path: Path):
    file = File(opset=13, shape=(1, 3, 4, 4), kind=TensorProto.FLOAT16)
    product = file.op("Mul", "x", "gain")
    model = file.model(product, kind=TensorProto.FLOAT16, shape=[1, 3, 4, 4])
    gain = helper.make_tensor_value_info("gain", TensorProto.FLOAT16, [1, 1, 1, 1])
    model.graph.input.append(gain)
    path = written(tmp_path, model)
    imported = import_onnx(path, ModelOptions(), batch=1, opset=17)
    assert [spec.dtype for spec in imported.plan.more] == ["float32"]
    samples = np.zeros(2, [("x", np.float32, (3, 4, 4)), ("gain", np.float32, (1, 1, 1))])
    samples["x"], samples["gain"] = random_images((1, 3, 4, 4), 2), 0.5
    assert check_onnx_parity(path, imported, samples).worst < 1e-6
    outputs = run_onnx(imported.model, [samples[:1]])
    np.testing.assert_array_equal(outputs[0][0], samples["x"][:1] / 2)
    fixed = import_onnx(path, ModelOptions(fix=("gain=0.1",)), batch=1, opset=17)
    assert check_onnx_parity(path, fixed, samples["x"]).worst < 1e-6
