"""What the builder refuses, through TensorRT-RTX, and a builder that crashes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.tensorrt import ON_X86_LINUX, needs_rtx, one_convolution, with_tensorrt


@pytest.mark.skipif(not ON_X86_LINUX, reason="TensorRT-RTX is for x86-64 Linux and Windows")
def test_the_builder_is_there_in_ci() -> None:
    if not os.environ.get("CI"):
        pytest.skip("outside CI it is an extra")
    assert backend.RTX.unavailable() is None, (
        "the dev extra brings TensorRT-RTX: without it the gate below would sleep"
    )


@needs_rtx
def test_what_the_parser_refuses_is_named(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    next(node for node in model.graph if node.op_type == "Conv").op_type = "Convoluted"
    ir.save(model, tmp_path / "m.onnx")
    with pytest.raises(BackendError, match=r"refuses m\.onnx:\n.*conv \(Convoluted\)") as caught:
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert caught.value.hint and list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]


@needs_rtx
def test_a_dynamic_input_without_a_profile_is_refused(tmp_path: Path) -> None:
    model = one_convolution(np.array([0.01, 0.02], np.float32), np.ones((2, 3, 1, 1), np.int8))
    proto = ir.serde.serialize_model(model)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "n"
    del proto.graph.value_info[:]
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(
        BackendError, match=r"input 'x' has the dynamic shape .* no optimization profile"
    ):
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")


def test_a_crash_of_the_builder_is_an_error_not_the_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(backend, "_BUILDER", "tests.helpers.processes:crash")
    with_tensorrt(monkeypatch, "10.3.0")
    with pytest.raises(BackendError, match=r"TensorRT-RTX crashed on m\.onnx \(signal SIGSEGV\)"):
        backend.RTX.build(tmp_path / "m.onnx", load_target("rtx"), tmp_path / "m.plan")
    assert not list(tmp_path.iterdir())
