"""The measuring child as its parent sees it: killed, silent, orphaned."""

from __future__ import annotations

import socket
import struct
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import BackendError
from edge_scnet.profiler.process import Child
from edge_scnet.runtimes.base import OpenOptions
from tests.helpers.engines import engine_file
from tests.helpers.graphs import tiny_onnx
from tests.helpers.tool import Built


def test_the_child_does_not_import_from_the_working_directory(
    tmp_path: Path, children: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "queue", "numpy", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')\n")
    monkeypatch.chdir(tmp_path)
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    child = Child(engine)
    loaded = child.call(
        "load", engine.runtime, engine.path, engine.options, np.zeros((4, 1, 6, 6), np.float32)
    )
    assert loaded.seconds > 0
    command = Path(f"/proc/{child.process_id}/cmdline").read_bytes()
    assert b"edge_scnet.profiler.child" in command
    child.close()


def test_a_child_that_dies_in_the_middle_of_its_answer(tmp_path: Path, children: list[Any]) -> None:
    child = Child(engine_file(tiny_onnx(tmp_path / "one.onnx")))
    child._connection.close()
    parent, end = socket.socketpair()
    end.sendall(
        struct.pack("!i", 1000) + b"x" * 10
    )  # Connection's header: 1,000 bytes follow; 10 do
    end.close()
    child._connection = Connection(parent.detach())
    child._process.kill()
    with pytest.raises(BackendError, match=r"tiny: the process measuring one\.onnx ended with"):
        child.result()
    child.close()


def test_a_failing_call_is_a_backend_error_and_the_child_goes_on(
    tmp_path: Path, children: list[Any]
) -> None:
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    child = Child(engine)
    with pytest.raises(BackendError, match="tiny: AttributeError: "):
        child.call("no_such_method")
    child.call(
        "load", engine.runtime, engine.path, engine.options, np.zeros((4, 1, 6, 6), np.float32)
    )
    assert child.call("timed_block", 0.0, 3)[1] > 0
    child.close()


def test_the_child_serves_until_its_parent_is_gone(built: Built) -> None:
    """The real engine in a child whose parent closes the connection without a word: it ends by
    itself, in order.
    """
    child = Child(engine_file(built.folder / "model.xml", runtime="openvino"))
    images = np.zeros((1, 28, 28, 1), np.uint8)
    child.call("load", "openvino", built.folder / "model.xml", OpenOptions(), images)
    layers = child.call("layers")
    assert (
        sum(layer.kind == "Convolution" and layer.precision in ("u8", "i8") for layer in layers)
        == 46
    )
    child._connection.close()
    assert child._process.wait(timeout=10) == 0
