"""The calls to CUDA, in order."""

from __future__ import annotations

from typing import Any

import pytest


def test_bindings_record_a_graph_in_the_order_that_cuda_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from types import SimpleNamespace

    from edge_scnet.runtimes.tensorrt import cuda

    calls: list[tuple[Any, ...]] = []

    def returning(name: str, *values: Any) -> Any:
        return lambda *args: calls.append((name, *args)) or (0, *values)

    runtime = SimpleNamespace(
        cudaStreamCaptureMode=SimpleNamespace(cudaStreamCaptureModeThreadLocal="thread"),
        cudaStreamCreate=returning("create", 7),
        cudaStreamBeginCapture=returning("begin"),
        cudaStreamEndCapture=returning("end", "graph"),
        cudaGraphInstantiate=returning("instantiate", "executable"),
        cudaGraphDestroy=returning("destroy"),
        cudaGraphLaunch=returning("launch"),
        cudaGraphExecDestroy=returning("exec destroy"),
        cudaStreamDestroy=returning("stream destroy"),
    )
    monkeypatch.setattr(cuda.importlib, "import_module", lambda name: runtime)
    stream = cuda._Bindings()
    launch = stream.record(lambda: calls.append(("work",)))
    launch()
    stream.close()
    assert calls == [
        ("create",),
        ("begin", 7, "thread"),
        ("work",),
        ("end", 7),
        ("instantiate", "graph", 0),
        ("destroy", "graph"),
        ("launch", "executable", 7),
        ("exec destroy", "executable"),
        ("stream destroy", 7),
    ]
