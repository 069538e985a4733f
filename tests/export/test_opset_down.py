"""Operators of new opsets in older ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.helpers.onnx_files import refused
from tests.helpers.onnx_nodes import File, assert_same, converted, floats, ints, one_node

_REDUCTIONS = ("L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_GRID = np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 3, 2)

MODELS: dict[str, Any] = {
    **{
        f"reduce {op}": (lambda op=op: one_node(18, f"Reduce{op}", ints(1, -1), keepdims=0))
        for op in _REDUCTIONS
    },
    "reduce all": lambda: one_node(22, "ReduceMean"),
    "reduce nothing": lambda: one_node(18, "ReduceMax", noop_with_empty_axes=1),
    "split in parts, the last smaller": lambda: one_node(
        18, "Split", axis=-1, num_outputs=4, outputs=4
    ),
    "split": lambda: one_node(22, "Split", ints(1, 5), axis=2, outputs=2),
    "pad of some axes": lambda: one_node(18, "Pad", ints(1, 2, 3, 0), "", ints(3, 1)),
    "pad": lambda: one_node(
        23, "Pad", ints(0, 0, 1, 1, 0, 0, 2, 2), floats(3.0)[0], mode="constant"
    ),
    "resize of some axes": lambda: one_node(
        18, "Resize", "", floats(2, 1.5), mode="linear", axes=[3, 2]
    ),
    "resize of some axes to sizes": lambda: one_node(
        19, "Resize", "", "", ints(9, 12), mode="linear", axes=[-1, -2]
    ),
    "resize, larger, antialiased": lambda: one_node(
        22, "Resize", "", floats(1, 1, 2, 2), mode="linear", antialias=1
    ),
    "resize, symmetric": lambda: one_node(
        19,
        "Resize",
        "",
        floats(1, 1, 2, 1.5),
        mode="linear",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
    "grid sample": lambda: one_node(20, "GridSample", _GRID, mode="cubic"),
    "grid sample as it is": lambda: one_node(22, "GridSample", _GRID),
    "average pool": lambda: one_node(22, "AveragePool", kernel_shape=[2, 2], dilations=[1, 1]),
    "lp pool": lambda: one_node(22, "LpPool", kernel_shape=[2, 2], ceil_mode=0),
    "gelu": lambda: one_node(20, "Gelu"),
    "gelu by tanh": lambda: one_node(20, "Gelu", approximate="tanh"),
    "mish": lambda: one_node(22, "Mish"),
    "layer norm by root mean square": lambda: one_node(
        23, "RMSNormalization", floats(1, 2, 3, 4, 5, 6)
    ),
    "Fourier": lambda: one_node(20, "DFT", "", ints(1)[0], shape=(1, 6, 2)),
    "cast": lambda: one_node(19, "Cast", to=7, saturate=1),
    "reshape": lambda: one_node(23, "Reshape", ints(0, -1), allowzero=0),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_computes_the_same(name: str):
    model = MODELS[name]()
    for opset in (17, 19, 20):
        assert_same(model, opset)


def test_axes_that_are_computed_from_constants_are_known():
    file = File(opset=18)
    rank = file.op("Size", file.op("Shape", "x"))
    last = file.op(
        "Unsqueeze", file.op("Sub", rank, file.put(1, np.int64)), file.put([0], np.int64)
    )
    model = file.model(file.op("ReduceMean", "x", last))
    assert_same(model, 17)


def test_a_reshape_to_no_empty_axis_needs_no_allowzero() -> None:
    assert_same(one_node(18, "Reshape", ints(2, -1), allowzero=1), 13)


REFUSED: dict[str, tuple[Any, int, str]] = {
    "axes": (
        lambda: _computed_axes(),
        17,
        "its axes are computed, and were constant before",
    ),
    "antialias": (
        lambda: one_node(18, "Resize", "", floats(1, 1, 0.5, 0.5), mode="linear", antialias=1),
        17,
        "it scales down with antialias=1",
    ),
    "policy": (
        lambda: one_node(
            18,
            "Resize",
            "",
            "",
            ints(1, 4, 9, 12),
            mode="linear",
            keep_aspect_ratio_policy="not_larger",
        ),
        17,
        "its keep_aspect_ratio_policy is 'not_larger'",
    ),
    "symmetric": (
        lambda: one_node(
            19,
            "Resize",
            "",
            floats(1, 1, 2.3, 2),
            mode="linear",
            coordinate_transformation_mode="half_pixel_symmetric",
        ),
        17,
        "its coordinates are half_pixel_symmetric, with sizes that are rounded",
    ),
    "wrap": (
        lambda: one_node(19, "Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), mode="wrap"),
        17,
        "its mode is 'wrap'",
    ),
    "dilations": (
        lambda: one_node(19, "AveragePool", kernel_shape=[2, 2], dilations=[2, 2]),
        17,
        "its dilations are [2, 2]",
    ),
    "new": (
        lambda: one_node(18, "BitwiseNot"),
        17,
        "the operator is new in opset 18",
    ),
    "reduction": (
        lambda: one_node(
            18,
            "ScatterElements",
            np.array([[2]], np.int64),
            floats(5)[None],
            shape=(1, 4),
            reduction="max",
        ),
        17,
        "its reduction is 'max'",
    ),
    "empty axes": (
        lambda: one_node(14, "Reshape", ints(0, 4), allowzero=1, shape=(0, 3)),
        13,
        "it has allowzero=1, and its shape may hold a 0",
    ),
}


def _computed_axes() -> Any:
    file = File(opset=18, shape=(4,))
    axes = file.op("Cast", file.op("Mul", "x", file.put(0)), to=7)
    return file.model(
        file.op("ReduceMean", file.op("Reshape", "x", file.put([2, 2], np.int64)), axes)
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_equivalent_is_named(name: str):
    make, opset, reason = REFUSED[name]
    model = make()
    source = model.opset_import[0].version
    node = model.graph.node[-1]
    error = refused(converted, model, opset)
    assert error.message == (
        f"net.onnx: {node.op_type} {node.name!r} of opset {source} cannot be written in opset"
        f" {opset}, which the target wants: {reason}"
    )
    assert f"torch.onnx.export(..., opset_version={opset})" in str(error.hint)
    assert ("or build for a target of a newer opset: " in str(error.hint)) == (source > 18)
