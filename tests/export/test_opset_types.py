"""Operators of which opsets changed the types alone, or that no opset changed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs

from tests.helpers.onnx_nodes import assert_same, floats, ints, one_node

_RNG = np.random.default_rng(0)
_SQUARE = _RNG.standard_normal((6, 6)).astype(np.float32)
_WEIGHTS = _RNG.standard_normal((4, 2, 3, 3)).astype(np.float32)
_WINDOW = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 0, 1, 1]}
Make = Callable[[int], onnx.ModelProto]

_ONE = (
    *("Abs", "Ceil", "Floor", "Exp", "Neg", "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign"),
    *("Elu", "Selu", "LeakyRelu", "HardSigmoid", "Reciprocal", "Identity", "Sin", "Cos", "Erf"),
    *("Sign", "Round", "ThresholdedRelu", "Celu", "IsNaN", "IsInf", "HardSwish", "Shrink"),
    *("GlobalAveragePool", "GlobalMaxPool", "Shape", "Size", "Transpose", "NonZero", "Flatten"),
    *("ArgMin", "Trilu", "LpNormalization"),
)
_TWO = (
    *("Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean", "Greater", "Less", "Equal"),
    *("MatMul", "GreaterOrEqual"),
)


def _recurrent(op: str, gates: int) -> Make:
    weights = [_RNG.standard_normal((1, gates * 3, size)).astype(np.float32) for size in (5, 3)]
    bias = floats(*range(gates * 6))[None]
    return lambda opset: one_node(
        opset, op, *weights, bias, shape=(7, 1, 5), hidden_size=3, outputs=2
    )


MODELS: dict[str, Make] = {
    **{op: (lambda opset, op=op: one_node(opset, op)) for op in _ONE},
    **{op: (lambda opset, op=op: one_node(opset, op, _SQUARE)) for op in _TWO},
    "PRelu": lambda opset: one_node(opset, "PRelu", floats(0.1, 0.2, 0.3, 0.4).reshape(4, 1, 1)),
    "Conv": lambda opset: one_node(
        opset, "Conv", _WEIGHTS, floats(1, 2, 3, 4), group=2, dilations=[2, 1], pads=[1, 0, 2, 1]
    ),
    "ConvTranspose": lambda opset: one_node(
        opset, "ConvTranspose", _WEIGHTS, strides=[2, 2], output_padding=[1, 0], pads=[1, 1, 0, 1]
    ),
    "Gemm": lambda opset: one_node(
        opset, "Gemm", _SQUARE, floats(*range(6)), shape=(4, 6), transB=1, alpha=0.5, beta=2.0
    ),
    "InstanceNormalization": lambda opset: one_node(
        opset, "InstanceNormalization", floats(1, 2, 3, 4), floats(4, 3, 2, 1), epsilon=0.01
    ),
    "LRN": lambda opset: one_node(opset, "LRN", size=3, alpha=0.1),
    "DepthToSpace": lambda opset: one_node(opset, "DepthToSpace", blocksize=2),
    "SpaceToDepth": lambda opset: one_node(opset, "SpaceToDepth", blocksize=2),
    "Gather": lambda opset: one_node(opset, "Gather", ints(2, 0), axis=1),
    "GatherND": lambda opset: one_node(opset, "GatherND", ints(0, 1)[None]),
    "Concat": lambda opset: one_node(opset, "Concat", "x", axis=1),
    "Reshape": lambda opset: one_node(opset, "Reshape", ints(0, 2, -1)),
    "Tile": lambda opset: one_node(opset, "Tile", ints(1, 2, 1, 3)),
    "Expand": lambda opset: one_node(opset, "Expand", ints(3, 4, 6, 6)),
    "Cast": lambda opset: one_node(opset, "Cast", to=TensorProto.INT32),
    "MaxPool": lambda opset: one_node(opset, "MaxPool", **_WINDOW),
    "MaxPool to above": lambda opset: one_node(opset, "MaxPool", ceil_mode=1, **_WINDOW),
    "AveragePool": lambda opset: one_node(opset, "AveragePool", count_include_pad=1, **_WINDOW),
    "AveragePool to above": lambda opset: one_node(opset, "AveragePool", ceil_mode=1, **_WINDOW),
    "LpPool": lambda opset: one_node(opset, "LpPool", p=1, **_WINDOW),
    "CumSum": lambda opset: one_node(opset, "CumSum", np.array(1, np.int32)),
    "OneHot": lambda opset: one_node(
        opset, "OneHot", np.array(5, np.float32), floats(0, 1), shape=(1, 3)
    ),
    "Slice": lambda opset: one_node(
        opset, "Slice", ints(0, 5), ints(4, 0), ints(1, -1), ints(2, -2)
    ),
    "Compress": lambda opset: one_node(opset, "Compress", np.array([1, 0, 1], np.bool_), axis=1),
    "Einsum": lambda opset: one_node(opset, "Einsum", _SQUARE, equation="nchw,wk->nchk"),
    "LSTM": _recurrent("LSTM", 4),
    "GRU": _recurrent("GRU", 3),
    "RNN": _recurrent("RNN", 1),
}
# The first opset that has a form, where an older one of the operator has another.
_FIRST = {
    "MaxPool to above": 10,
    "AveragePool to above": 10,
    "Slice": 10,
    "Equal": 11,
    # without broadcasting before
    **dict.fromkeys(("Max", "Min", "Sum", "Mean"), 8),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_operator_computes_the_same_from_its_first_opset_on(name: str):
    op = name.split()[0]
    known = [s.since_version for s in defs.get_all_schemas_with_history() if s.name == op]
    first = _FIRST.get(name, max(7, min(known)))
    for source in sorted({first, 11, 12, 16, 19, 22} - set(range(first))):
        for target in (17, 20):
            assert_same(MODELS[name](source), target)
