"""Values that are computed from constants and sizes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from edge_scnet.export.known import computed_constants
from edge_scnet.export.rewriting import context_of
from tests.helpers.onnx_nodes import File, assert_same


def scales_of_sizes(opset: int, mode: str) -> onnx.ModelProto:
    """An Upsample to twice the size as PyTorch 1.2 wrote it: scales are sizes over sizes."""
    file = File(opset=opset, shape=(1, 2, 4, 6))
    parts = []
    for axis in (2, 3):
        size = file.op("Gather", file.op("Shape", "x"), file.put(axis, np.int64), axis=0)
        real = file.op("Cast", size, to=onnx.TensorProto.FLOAT)
        wanted = file.op("Floor", file.op("Mul", real, file.put(2.0)))
        parts.append(file.op("Unsqueeze", file.op("Div", wanted, real), axes=[0]))
    scales = file.op("Concat", file.put([1, 1]), *parts, axis=0)
    return file.model(file.op("Upsample", "x", scales, mode=mode))


def test_scales_that_an_old_exporter_computes_from_sizes():
    model = scales_of_sizes(9, "nearest")
    scales = context_of(model).constant(model.graph.node[-1].input[1])
    np.testing.assert_array_equal(scales, np.array([1, 1, 2, 2], np.float32))
    for mode in ("nearest", "linear"):
        assert "Resize" in assert_same(scales_of_sizes(9, mode), 17)


def test_what_depends_on_the_input_or_on_chance_is_not_known():
    file = File(opset=13, shape=(2, 3))
    two = file.put([1.0, 2.0])
    sums = file.op("Add", two, two)
    own = file.op("Add", "x", file.put(1.0))
    chance = file.op("RandomUniformLike", two)
    part = file.op("Shape", "x")
    model = file.model(sums, own, chance, part)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    wanted = {sums, own, chance, part, two}
    known = computed_constants(model, wanted, constants=stored, shapes={"x": (2, 3)})
    assert {name: numpy_helper.to_array(tensor).tolist() for name, tensor in known.items()} == {
        sums: [2.0, 4.0],
        part: [2, 3],
    }
    open_ = computed_constants(model, wanted, constants=stored, shapes={"x": (None, 3)})
    assert set(open_) == {sums}


def test_a_part_of_a_shape():
    file = File(opset=15, shape=(2, 3, 4))
    part = file.op("Shape", "x", start=-2, end=-1)
    known = computed_constants(file.model(part), [part], constants={}, shapes={"x": (2, 3, 4)})
    np.testing.assert_array_equal(numpy_helper.to_array(known[part]), [3])


def test_what_onnx_runtime_cannot_compute_is_not_known():
    file = File(opset=13)
    wrong = file.op("Reshape", file.put([1.0, 2.0]), file.put([3], np.int64))
    model = file.model(wrong)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    assert computed_constants(model, [wrong], constants=stored, shapes={}) == {}
