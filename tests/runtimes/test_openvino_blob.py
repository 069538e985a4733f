"""An engine loaded as OpenVINO compiled it: the same outputs, layers and times; what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.target import load_target
from edge_scnet.errors import BackendError
from edge_scnet.machine import isa
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.base import OpenOptions, Runtime
from tests.helpers.graphs import tiny_onnx


@pytest.fixture
def openvino() -> Runtime:
    return runtime_named("openvino")


@pytest.fixture
def engine(openvino: Runtime, tmp_path: Path) -> Path:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    return openvino.build(source, load_target("cpu"), tmp_path / "model.xml").engine


def test_an_engine_loaded_from_its_blob_is_the_engine(openvino: Runtime, engine: Path) -> None:
    plain = OpenOptions()
    blob = engine.with_suffix(".blob")
    openvino.save_blob(engine, plain, blob)
    seen = []
    expected: list[np.ndarray] = []
    for options in (plain, replace(plain, blob=blob), replace(plain, blob=blob, threads=1)):
        with openvino.open(engine, options) as session:
            images = np.random.default_rng(0).normal(size=session.input_shape).astype(np.float32)
            outputs = [output.copy() for output in session.infer(images)]
            layers = [(layer.kind, layer.precision) for layer in session.executed_precisions()]
            nodes = {node for layer in session.executed_precisions() for node in layer.nodes}
            times = set(session.layer_times([images]))
            seen.append((session.input_shape, session.output_names, layers, nodes, times))
            expected = expected or outputs
            for output, own in zip(expected, outputs, strict=True):
                np.testing.assert_array_equal(output, own)
    assert seen[0] == seen[1] == seen[2]


def test_its_precision_is_what_the_options_say_and_not_the_machine_s(
    openvino: Runtime, engine: Path
) -> None:
    if not isa.provides_bf16():
        pytest.skip("this processor has no BF16")
    blob = engine.with_suffix(".blob")
    openvino.save_blob(engine, OpenOptions(), blob)
    with openvino.open(engine, OpenOptions(blob=blob)) as session:
        assert {layer.precision for layer in session.executed_precisions()} == {"f32"}


def test_another_batch_and_throughput_are_compiled(openvino: Runtime, engine: Path) -> None:
    gone = engine.with_suffix(".gone")
    for options in (OpenOptions(blob=gone, mode="throughput"), OpenOptions(blob=gone, batch=2)):
        assert not options.loads_blob
        with openvino.open(engine, options) as session:
            assert session.input_shape[0] == (options.batch or 1)


def test_what_openvino_cannot_load_is_named_with_what_helps(
    openvino: Runtime, engine: Path
) -> None:
    blob = engine.with_suffix(".blob")
    blob.write_bytes(b"no blob")
    with (
        pytest.raises(BackendError, match=r"OpenVINO cannot load model\.blob") as refused,
        openvino.open(engine, OpenOptions(blob=blob)),
    ):
        pass
    assert refused.value.hint == f"without it model.xml is compiled: rm {blob}"


def test_what_a_blob_is_good_for_is_this_machine(openvino: Runtime) -> None:
    here = openvino.blob_facts("model.xml", OpenOptions())
    assert here is not None and here.difference(here) is None
    other = replace(here, version="2020.1")
    assert other.difference(here) == f"version 2020.1, here {here.version}"
    assert "precision bf16, here f32" in str(replace(here, precision="bf16").difference(here))
    fewer = replace(here, features=("avx2",))
    assert str(fewer.difference(here)).startswith("features avx2, here ")


def test_runtimes_without_blobs_say_so(tmp_path: Path) -> None:
    onnxruntime = runtime_named("onnxruntime")
    assert onnxruntime.blob_facts("model.onnx", OpenOptions()) is None
    with pytest.raises(BackendError, match=r"ONNX Runtime writes no compiled blobs: model\.onnx"):
        onnxruntime.save_blob(tmp_path / "model.onnx", OpenOptions(), tmp_path / "model.blob")
