"""Operators of old opsets in newer ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from tests.helpers.onnx_files import refused
from tests.helpers.onnx_nodes import File, assert_same, converted, floats, ints, one_node, run_proto

_REDUCTIONS = ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare", "Sum")
_STATISTICS = (floats(1, 2, 3, 4), floats(4, 3, 2, 1), floats(0, 1, 0, 1), floats(1, 2, 1, 2))

MODELS: dict[str, Any] = {
    "clip": lambda: one_node(7, "Clip", min=-0.5, max=0.25),
    "clip below": lambda: one_node(10, "Clip", min=0.0),
    "clip nothing": lambda: one_node(8, "Clip"),
    "pad": lambda: one_node(7, "Pad", pads=[0, 0, 1, 2, 0, 0, 3, -1], value=0.5),
    "pad with a mirror": lambda: one_node(9, "Pad", pads=[0, 0, 1, 2, 0, 0, 3, 1], mode="reflect"),
    "slice": lambda: one_node(7, "Slice", starts=[1, -3], ends=[9, -1], axes=[1, 3]),
    "slice from the first axis": lambda: one_node(9, "Slice", starts=[0, 1], ends=[1, 2**31 - 1]),
    "top k": lambda: one_node(7, "TopK", k=2, axis=3, outputs=2),
    "batch norm": lambda: one_node(7, "BatchNormalization", *_STATISTICS, spatial=1),
    "batch norm of 9": lambda: one_node(9, "BatchNormalization", *_STATISTICS, epsilon=0.1),
    "dropout": lambda: one_node(7, "Dropout", ratio=0.3),
    "dropout of 10": lambda: one_node(10, "Dropout", ratio=0.3),
    "split": lambda: one_node(7, "Split", axis=1, split=[1, 3], outputs=2),
    "split in equal parts": lambda: one_node(7, "Split", axis=2, outputs=3),
    "split of 13": lambda: one_node(13, "Split", ints(1, 5), axis=-1, outputs=2),
    "split of 13 in equal parts": lambda: one_node(13, "Split", axis=2, outputs=3),
    "squeeze": lambda: one_node(9, "Squeeze", axes=[0]),
    "squeeze all": lambda: one_node(9, "Squeeze", shape=(1, 3, 1)),
    "unsqueeze": lambda: one_node(11, "Unsqueeze", axes=[0, -1]),
    "roi align": lambda: one_node(
        10,
        "RoiAlign",
        np.array([[0, 0, 3, 3]], np.float32),
        ints(0),
        output_height=3,
        output_width=3,
        sampling_ratio=2,
    ),
    "scatter": lambda: one_node(
        9, "Scatter", np.array([[2, 0]], np.int64), floats(5, 6)[None], shape=(1, 4), axis=1
    ),
    "grid sample": lambda: one_node(
        16,
        "GridSample",
        np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 3, 2),
        mode="bicubic",
    ),
    "grid sample as it is": lambda: one_node(
        16, "GridSample", np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 3, 2)
    ),
    "pools": lambda: one_node(
        7, "AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
    ),
    "Fourier": lambda: one_node(17, "DFT", shape=(1, 6, 2), axis=1),
    "argmax": lambda: one_node(7, "ArgMax", axis=1, keepdims=0),
    "flatten": lambda: one_node(7, "Flatten", axis=2),
    **{
        f"reduce {op}": (lambda op=op: one_node(9, f"Reduce{op}", axes=[2, 3], keepdims=0))
        for op in _REDUCTIONS
    },
    **{f"reduce all, {op}": (lambda op=op: one_node(9, f"Reduce{op}")) for op in _REDUCTIONS},
}


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_computes_the_same(name: str):
    model = MODELS[name]()
    for opset in (17, 19, 20):
        if opset >= model.opset_import[0].version:
            assert_same(model, opset)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, 3, -1, -2])
def test_old_softmax_takes_all_axes_from_one_on_as_a_row(op: str, axis: int | None):
    values = {} if axis is None else {"axis": axis}
    operators = assert_same(one_node(11, op, **values), 17)
    assert operators == ([op] if axis in (3, -1) else ["Flatten", op, "Reshape"])


def test_old_softmax_over_one_axis_stays_a_softmax():
    assert assert_same(one_node(9, "Softmax", shape=(2, 5, 1, 1)), 17) == ["Softmax"]
    assert assert_same(one_node(9, "Softmax", axis=1, shape=(2, 1, 1, 5)), 17) == ["Softmax"]
    # sizes that are open may be more than 1
    open_ = one_node(9, "Softmax", shape=(2, 5, "H", "W"))
    x = np.random.default_rng(0).standard_normal((2, 5, 2, 3)).astype(np.float32)
    assert assert_same(open_, 17, x) == ["Flatten", "Softmax", "Shape", "Reshape"]


def test_outputs_of_training():
    file = File(opset=8)
    outputs = file.op("BatchNormalization", "x", *(file.put(s) for s in _STATISTICS), outputs=5)
    model = file.model(outputs[0])
    error = refused(converted, model, 17)
    assert "BatchNormalization 'BatchNormalization0' of opset 8" in error.message
    assert "it is in training mode" in error.message
    # without a name they are left out
    del model.graph.node[0].output[1:]
    model.graph.node[0].output.extend([""] * 4)
    assert list(converted(model, 17).graph.node[0].output) == [outputs[0]]


def test_what_has_no_equivalent_is_named():
    error = refused(converted, one_node(8, "BatchNormalization", *_STATISTICS, spatial=0), 17)
    assert "with spatial=0 it has weights of its own at every position" in error.message
    assert error.hint == "export the model again, in opset 17"


def test_bounds_in_the_data_s_own_type():
    file = File(opset=9, kind=onnx.TensorProto.DOUBLE)
    model = file.model(file.op("Clip", "x", max=0.5))
    result = converted(model, 20)
    x = np.full((1, 4, 6, 6), 2.0)
    np.testing.assert_array_equal(run_proto(result, x)[0], np.minimum(x, 0.5))
