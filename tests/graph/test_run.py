"""Graphs run in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import onnx_ir as ir
import onnxruntime

from edge_scnet.graph.run import ort_session
from tests.helpers.graphs import tiny_onnx


def test_sessions_run_with_optimisations_off_unless_asked(tmp_path: Path) -> None:
    seen = []
    recording = SimpleNamespace(
        SessionOptions=onnxruntime.SessionOptions,
        GraphOptimizationLevel=onnxruntime.GraphOptimizationLevel,
        InferenceSession=lambda source, options, providers: seen.append((options, providers)),
    )
    model = ir.load(tiny_onnx(tmp_path / "tiny.onnx"))
    ort_session(recording, model)
    ort_session(recording, model, optimize=True)
    levels = [options.graph_optimization_level for options, _ in seen]
    assert levels == [
        onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
    ]
    assert all(providers == ["CPUExecutionProvider"] for _, providers in seen)
