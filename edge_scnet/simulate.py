"""A graph in ONNX Runtime: with optimisations off, the reference semantics that parity and fidelity are judged by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir


def run_onnx(
    model: ir.Model | Path, batches: Sequence[np.ndarray], outputs: Sequence[str] | None = None
) -> list[list[np.ndarray]]:
    """Outputs of ONNX Runtime with optimisations off, which is the reference semantics of a graph, per batch."""
    ort = require("onnxruntime", extra="quantize")
    session = ort_session(ort, model)
    name = session.get_inputs()[0].name
    return [session.run(list(outputs) if outputs else None, {name: batch}) for batch in batches]


def ort_session(ort: Any, model: ir.Model | Path, *, optimize: bool = False) -> Any:
    options = ort.SessionOptions()
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.log_severity_level = 3
    source: Any = str(model)
    if not isinstance(model, Path):
        ir = require("onnx_ir", extra="quantize")
        source = ir.serde.serialize_model(model).SerializeToString()
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
