"""What OpenVINO tells of an engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import OpenOptions
from tests.helpers.graphs import tiny_onnx


def test_openvino_tells_the_time_of_every_executed_layer(tmp_path: Path) -> None:
    """By the names of its executed layers, which are where modules are looked up."""
    backend = runtime_named("openvino")
    path = tiny_onnx(tmp_path / "m.onnx")
    with backend.open(path, OpenOptions()) as session:
        names = {layer.name for layer in session.executed_precisions()}
        times = session.layer_times([np.zeros(session.input_shape, np.float32)])
        assert times and set(times) <= names
        assert all(milliseconds >= 0 for milliseconds in times.values())
