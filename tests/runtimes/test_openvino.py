"""What OpenVINO tells of an engine."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edge_scnet.config.target import load_target
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.machine import isa
from edge_scnet.runtimes import openvino, runtime_named
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


def test_an_output_whose_size_depends_on_the_data_is_that_of_the_last_inference(
    tmp_path: Path,
) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Neg", ["x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2, 2])],
        [
            helper.make_tensor_value_info("places", TensorProto.INT64, [4, None]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 2, 2]),
        ],
    )
    path = tmp_path / "m.onnx"
    opsets = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    data = np.zeros((3, 1, 3, 2, 2), np.float32)
    data[1, 0, 1], data[2, 0, 0, 0, 0] = 1, 1
    with runtime_named("openvino").open(path, OpenOptions()) as session:
        for image, count in zip(data, (0, 4, 1), strict=True):
            places, negative = session.infer(image)
            assert places.shape == (4, count)
            np.testing.assert_array_equal(negative, -image)
        shapes: dict[int, tuple[int, ...]] = {}
        session.infer_many(data, lambda i, outputs: shapes.update({i: outputs[0].shape}))
    assert shapes == {0: (4, 0), 1: (4, 4), 2: (4, 1)}


def test_what_openvino_does_not_know_is_named_before_anything_is_built(tmp_path: Path) -> None:
    graph = onnx.parser.parse_graph(
        """
        g (float[1, 3, 8, 8] x) => (float[1, 3, 4, 4] y)
        <float[8] part = {0, 0, 0.1, 0.1, 1, 1, 0.9, 0.9}, int64[4] sizes = {1, 3, 4, 4}>
        {
            y = Resize <mode = "linear", coordinate_transformation_mode = "tf_crop_and_resize">
                (x, part, , sizes)
        }
        """
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), path)
    with pytest.raises(ArtifactError, match=r"OpenVINO does not know.*Resize.*tf_crop_and_resize"):
        runtime_named("openvino").check_graph(path)
    runtime_named("openvino").check_graph(tiny_onnx(tmp_path / "m.onnx"))


def test_bf16_is_refused_where_the_processor_has_none_and_asked_for_where_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, bf16 = tiny_onnx(tmp_path / "m.onnx"), OpenOptions(precision="bf16")
    target = replace(load_target("cpu"), rest="bf16")
    monkeypatch.setattr(openvino, "provides_bf16", lambda: False)
    with (
        pytest.raises(TargetError, match="AVX512-BF16 or AMX") as refused,
        openvino.OPENVINO.open(path, bf16),
    ):
        pass
    assert 'rest = "fp32"' in refused.value.hint
    with pytest.raises(TargetError, match='cpu: rest = "bf16": layers in BF16 need'):
        openvino.OPENVINO.check_target(target)
    has_bf16 = isa.provides_bf16()
    monkeypatch.setattr(openvino, "provides_bf16", lambda: True)
    openvino.OPENVINO.check_target(target)
    # OpenVINO takes the hint on every processor: what it computes in is looked at too
    opened = contextlib.nullcontext() if has_bf16 else pytest.raises(TargetError, match="neither")
    with opened, openvino.OPENVINO.open(path, bf16):
        pass
