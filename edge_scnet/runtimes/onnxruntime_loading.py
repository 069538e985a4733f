"""How files are loaded into ONNX Runtime as engines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_scnet.core.native_path import utf8_path
from edge_scnet.core.optional import require


def load_session(artifact: Path, change: Callable[[Any], None]) -> Any:
    """Returns a session of a file, on the CPU and with all optimisations.

    `session.x64quantprecision` stays off: it makes slower products of unsigned codes of those that
    saturate where VNNI is missing. Weights of targets without it have 7 bits.

    Args:
        change: sets options, after these.
    """
    ort = require("onnxruntime", extra="quantize")
    settings = ort.SessionOptions()
    settings.log_severity_level = 3
    change(settings)
    with utf8_path(artifact) as name:
        return ort.InferenceSession(name, settings, providers=["CPUExecutionProvider"])
