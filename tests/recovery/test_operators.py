"""Every operator of the table against ONNX Runtime, in the forms that networks have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.recovery.attributes import UnsupportedError
from edge_scnet.recovery.executor import TorchGraph
from edge_scnet.recovery.operators import OPERATORS
from edge_scnet.recovery.parity import check_parity
from tests.helpers.onnx_nodes import floats, ints, one_node

CHANNELS = np.linspace(-1, 1, 4, dtype=np.float32)
KERNEL = np.random.default_rng(1).standard_normal((4, 2, 3, 3)).astype(np.float32)
UP = floats(1, 1, 2, 2)
CASES: dict[str, tuple[Any, ...]] = {
    "AveragePool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "AveragePool padded": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1] * 4}),
    "AveragePool counting": (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [0, 0, 1, 1], "count_include_pad": 1},
    ),
    "BatchNormalization": ("BatchNormalization", CHANNELS, CHANNELS, CHANNELS, CHANNELS**2 + 1, {}),
    "Clip": ("Clip", np.float32(-0.5), np.float32(0.5), {}),
    "Conv grouped": ("Conv", KERNEL, CHANNELS, {"group": 2, "strides": [2, 2], "pads": [1] * 4}),
    "Conv unequal pads": ("Conv", KERNEL, {"group": 2, "pads": [0, 1, 2, 1]}),
    "Conv same": ("Conv", KERNEL, {"group": 2, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "Conv dilated": ("Conv", KERNEL, {"group": 2, "dilations": [2, 2]}),
    "ConvTranspose": ("ConvTranspose", KERNEL, {"strides": [2, 2], "pads": [1] * 4}),
    "ConvTranspose same": ("ConvTranspose", KERNEL, {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "DepthToSpace": ("DepthToSpace", {"blocksize": 2}),
    "DepthToSpace CRD": ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}),
    "Expand": ("Expand", ints(2, 4, 6, 6), {}),
    "Flatten": ("Flatten", {}),
    "Gather": ("Gather", ints(2, -1), {"axis": 1}),
    "Gelu": ("Gelu", {"approximate": "tanh"}),
    "HardSigmoid": ("HardSigmoid", {"alpha": 0.3}),
    "HardSwish": ("HardSwish", {}),
    "LayerNormalization": ("LayerNormalization", np.ones(6, np.float32), {"axis": -1}),
    "LeakyRelu": ("LeakyRelu", {"alpha": 0.2}),
    "MaxPool": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    "MaxPool ceil": ("MaxPool", {"kernel_shape": [2, 2], "strides": [4, 4], "ceil_mode": 1}),
    "PRelu": ("PRelu", CHANNELS[:, None, None], {}),
    "PRelu of columns": ("PRelu", floats(0, 1, 2, 3, 4, 5), {}),
    "Pad": ("Pad", ints(0, 0, 1, 0, 0, 0, 2, 1), np.float32(3), {}),
    "Pad reflect": ("Pad", ints(0, 0, 1, 1, 0, 0, 1, 1), {"mode": "reflect"}),
    "Pad edge": ("Pad", ints(1, 1, 2, 2), "", ints(2, 3), {"mode": "edge"}),
    "Pow": ("Pow", np.float32(2), {}),
    "ReduceL2": ("ReduceL2", ints(1), {"keepdims": 0}),
    "ReduceMean": ("ReduceMean", ints(2, 3), {}),
    "ReduceSum": ("ReduceSum", {}),
    "Reshape": ("Reshape", ints(0, 2, -1, 6), {}),
    "Resize nearest": ("Resize", "", UP, {"mode": "nearest"}),
    "Resize asymmetric": (
        "Resize",
        "",
        UP,
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    "Resize linear": ("Resize", "", "", ints(1, 4, 9, 4), {"mode": "linear"}),
    "Resize corners": (
        "Resize",
        "",
        floats(1, 1, 1.5, 3),
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    "Shape": ("Shape", {"start": 1}),
    "Slice": ("Slice", ints(1, 0), ints(4, 6), ints(1, 3), ints(2, 1), {}),
    "Slice backwards": ("Slice", ints(-1), ints(-100), ints(2), ints(-1), {}),
    "Softmax": ("Softmax", {"axis": 1}),
    "SpaceToDepth": ("SpaceToDepth", {"blocksize": 2}),
    "Split": ("Split", ints(1, 3), {"axis": 1}),
    "Squeeze": ("Squeeze", ints(0), {}),
    "Tile": ("Tile", ints(1, 2, 1, 1), {}),
    "Transpose": ("Transpose", {"perm": [0, 2, 3, 1]}),
    "Transpose all": ("Transpose", {}),
    "Unsqueeze": ("Unsqueeze", ints(0, -1), {}),
}


def graph(kind: str, *inputs: Any, **attributes: Any) -> ir.Model:
    made = one_node(20, kind, *inputs, outputs=2 if kind == "Split" else 1, **attributes)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(made))


def compare(model: ir.Model) -> None:
    x = np.random.default_rng(0).standard_normal((1, 4, 6, 6)).astype(np.float32)
    check_parity(TorchGraph(model), model, {"x": x})


@pytest.mark.parametrize("name", CASES)
def test_a_node_computes_what_onnx_runtime_computes(name: str) -> None:
    kind, *inputs, attributes = CASES[name]
    compare(graph(kind, *inputs, **attributes))


ONE = (
    "Abs",
    "Ceil",
    "Cos",
    "Erf",
    "Exp",
    "Floor",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Identity",
)
ONE += ("Mish", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sin", "Softplus", "Softsign", "Tanh")


@pytest.mark.parametrize("kind", ONE)
def test_a_function_of_one_tensor(kind: str) -> None:
    compare(graph(kind))


@pytest.mark.parametrize("kind", ["Add", "Div", "Max", "Min", "Mul", "Sub", "Sum"])
def test_a_function_of_two_tensors(kind: str) -> None:
    compare(graph(kind, CHANNELS[:, None, None] + 2))


def test_a_value_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATORS, "Relu", lambda _node, x: x)
    with pytest.raises(UnsupportedError, match=r"Relu0 \(Relu\): PyTorch gives other values"):
        compare(graph("Relu"))


def test_a_shape_that_differs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPERATORS, "Relu", lambda _node, x: x[0])
    with pytest.raises(UnsupportedError, match=r"PyTorch gives \(4, 6, 6\)"):
        compare(graph("Relu"))


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"Det0 \(Det\): the operator is not known"):
        TorchGraph(graph("Det"))


def test_a_mode_that_is_not_known_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"Resize0 \(Resize\): .*mode 'cubic'"):
        compare(graph("Resize", "", UP, mode="cubic"))
