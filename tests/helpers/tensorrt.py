"""Boards, plans and a trtexec for tests without a GPU."""

from __future__ import annotations

import json
import os
import platform
import stat
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.compile import board
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Silent
from edge_scnet.graph.run import run_onnx
from edge_scnet.machine import environment
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.data import DATA

JETSON = load_target("jetson")
NO_IMAGES = np.zeros((0, 1, 28, 28), np.float32)
ON_X86_LINUX = sys.platform == "linux" and platform.machine() == "x86_64"
needs_rtx = pytest.mark.skipif(
    backend.RTX.unavailable() is not None, reason="TensorRT-RTX is not installed (extra rtx)"
)


def outputs(model: ir.Model, eval_batches: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([run[0] for run in run_onnx(model, eval_batches)])


def one_convolution(scales: np.ndarray, codes: np.ndarray, opset: int = 19) -> ir.Model:
    i8 = np.int8
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="x/Q"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], name="x/DQ"),
        helper.make_node(
            "DequantizeLinear", ["c", "ws", "wz"], ["w"], axis=0, name="conv/weight/DQ"
        ),
        helper.make_node("Conv", ["d", "w", "b"], ["y"], name="conv"),
    ]
    arrays = {
        "s": np.float32(0.02),
        "z": i8(0),
        "c": codes,
        "ws": scales,
        "wz": np.zeros(len(scales), i8),
        "b": np.ones(2, np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))


INSPECTOR_10 = {
    "Layers": [
        {
            "Name": "conv1 + relu",
            "LayerType": "CaskConvolution",
            "ParameterType": "Convolution",
            "Inputs": [
                {
                    "Name": "a",
                    "Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format",
                }
            ],
            "Outputs": [{"Name": "b", "Format/Datatype": "Row major linear FP16 format"}],
            "Metadata": "[ONNX Layer: conv1]\u001e[ONNX Layer: relu]",
        },
        {
            "Name": "Reformatting CopyNode",
            "LayerType": "Reformat",
            "Inputs": [],
            "Outputs": [],
            "Metadata": "",
        },
    ],
    "Bindings": ["a", "b"],
}


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
        return {name: file.read() for name, file in found.items() if file is not None}


PREFIX = "scnet20-fashion-mnist-jetson"


def with_tensorrt(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Acts as if this version of TensorRT's Python packages were installed, or none."""
    reason = None if version else "the package 'tensorrt' is not installed"
    monkeypatch.setattr(backend.TensorRt, "unavailable", lambda self: reason)
    monkeypatch.setattr(
        backend.TensorRt, "versions", lambda self: {self.title: version} if version else {}
    )


def on_board(
    monkeypatch: pytest.MonkeyPatch, model: str | None, version: str | None, free_mib: int = 8192
) -> None:
    """Acts a board of this model with this version of TensorRT's Python package.

    Args:
        model: as the board tells it; None: this machine is no board.
        version: None: the package is not installed.
        free_mib: free memory.
    """
    facts = replace(environment.collect(), jetson_model=model)
    monkeypatch.setattr(environment, "collect", lambda: facts)
    monkeypatch.setattr(board, "available_memory_bytes", lambda: free_mib << 20)
    with_tensorrt(monkeypatch, version)


class Silence(Silent):
    """Warnings about the few images of a test are none of it."""

    def warn(self, message: str) -> None: ...


ORIN = "NVIDIA Jetson Orin Nano Developer Kit"
# Prints and exports what trtexec does, in its words and with numbers made up.
FAKE_TRTEXEC = (DATA / "fake_trtexec.sh").read_text()
PROFILE = [
    {"count": 50},
    {"name": "conv1 + relu", "timeMs": 5.0, "averageMs": 0.1, "medianMs": 0.09, "percentage": 100},
]


def fake_trtexec(path: Path, number: str, fail: str = "") -> Path:
    text = FAKE_TRTEXEC.replace("@NUMBER@", number).replace("@FAIL@", fail)
    path.write_text(
        text.replace("@LAYERS@", json.dumps(INSPECTOR_10)).replace("@PROFILE@", json.dumps(PROFILE))
    )
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return path


TEGRASTATS = (DATA / "tegrastats.sh").read_text()


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
