"""Graphs run in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx_ir as ir
import onnxruntime
from onnx import helper

from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.graph.run import Observer, ort_session
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


def test_an_observer_of_the_input_alone_gives_the_images(tmp_path: Path) -> None:
    """The sources of a network of which only the stem is quantized."""
    images = np.random.default_rng(0).standard_normal((3, 1, 6, 6)).astype(np.float32)
    found = list(Observer(ir.load(tiny_onnx(tmp_path / "tiny.onnx")), ["x"]).run([images]))
    assert [list(values) for values in found] == [["x"]] * 3
    assert np.array_equal(np.stack([values["x"] for values in found]), images)


def test_an_observer_takes_batches_of_several_inputs() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["n"], ["f"], to=1),
            helper.make_node("Add", ["x", "f"], ["y"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("x", 1, [2, 3]),
            helper.make_tensor_value_info("n", 7, [2, 3]),
        ],
        [helper.make_tensor_value_info("y", 1, [2, 3])],
    )
    model = ir.serde.deserialize_model(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    )
    arrays = {
        "x": np.arange(9, dtype=np.float32).reshape(3, 3),
        "n": np.full((3, 3), 10, np.int64),
    }
    found = list(Observer(model, ["n", "y"]).run([batch_of_arrays(arrays)]))
    assert len(found) == 3  # the last group is filled up
    for i, values in enumerate(found):
        assert np.array_equal(values["n"], arrays["n"][i])
        assert np.array_equal(values["y"], arrays["x"][i] + 10)
