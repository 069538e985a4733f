"""The in-memory runtime: it meets the contract, and is there only where a test registers it."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.config.target import from_dict, load_target
from edge_scnet.errors import ArtifactError, BackendError, MissingRuntimeError, TargetError
from edge_scnet.runtimes import (
    RUNTIMES,
    artifact_kinds,
    in_memory,
    runtime_named,
    runtime_of_kind,
    usable_runtime,
)
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions, Runtime, Session
from edge_scnet.runtimes.in_memory import Engine

SHAPE = (2, 1, 4, 4)
IMAGES = np.arange(32, dtype=np.float32).reshape(SHAPE)


def doubled(*inputs: np.ndarray) -> list[np.ndarray]:
    return [2 * array for array in inputs]


ENGINE = Engine(compute=doubled, input_shape=SHAPE, output_names=("twice",))


def test_its_engines_are_found_by_their_files_names() -> None:
    with in_memory.registered({"one.mem": ENGINE}) as runtime:
        checked: Runtime = runtime
        assert runtime_named("in_memory") is usable_runtime("in_memory") is checked
        with runtime.open(Path("folder", "one.mem"), OpenOptions()) as session:
            opened: Session = session
            assert opened.input_shape == SHAPE and opened.output_names == ("twice",)
            np.testing.assert_array_equal(opened.infer(IMAGES)[0], 2 * IMAGES)
            named = opened.infer_named({"a": IMAGES[:1], "b": IMAGES})
            assert [output.shape[0] for output in named] == [1, 2]
            kept: dict[int, Any] = {}
            opened.infer_many([IMAGES, IMAGES + 1], kept.__setitem__)
            np.testing.assert_array_equal(kept[1][0], 2 * (IMAGES + 1))
            with pytest.raises(ValueError, match="the input is"):
                opened.infer(IMAGES[:1])
        with pytest.raises(AssertionError, match="closed"):
            opened.infer(IMAGES)
        with (
            pytest.raises(BackendError, match=r"cannot load two\.mem"),
            runtime.open(Path("two.mem"), OpenOptions()),
        ):
            pass
    assert runtime.log == ["open one.mem latency", "close one.mem"]


def test_it_is_there_only_where_it_is_registered() -> None:
    before = dict(RUNTIMES)
    with pytest.raises(RuntimeError), in_memory.registered():
        assert "in-memory" in artifact_kinds()
        raise RuntimeError
    assert before == RUNTIMES
    with pytest.raises(KeyError):
        runtime_named("in_memory")
    with pytest.raises(ArtifactError, match="no runtime opens artifacts of kind 'in-memory'"):
        runtime_of_kind("in-memory")


def test_no_target_file_can_name_it() -> None:
    with in_memory.registered(), pytest.raises(TargetError, match="in_memory"):
        from_dict({**asdict(load_target("cpu")), "runtime": "in_memory"})


def test_an_engine_tells_what_it_was_made_to_tell() -> None:
    layer = ExecutedLayer(kind="Convolution", precision="int8", nodes=("conv1",), name="k1")
    engine = Engine(
        compute=doubled,
        input_shape=SHAPE,
        seconds=0.01,
        takes_any_batch=True,
        layers=(layer,),
        layer_times_ms={"k1": 0.5},
        settings={"threads": "1"},
        device_bytes=77,
        infer_error=BackendError("out of memory"),
        inferences_before_error=1,
    )
    with in_memory.registered({"engine": engine}) as runtime:
        with runtime.open(Path("engine"), OpenOptions(batch=3, mode="throughput")) as session:
            assert session.input_shape == (3, 1, 4, 4) and session.settings() == {"threads": "1"}
            assert session.executed_precisions() == (layer,) and session.device_bytes() == 77
            assert session.layer_times([IMAGES]) == {"k1": 0.5}
            started = time.perf_counter()
            session.infer(np.zeros((3, 1, 4, 4), np.float32))
            assert time.perf_counter() - started >= 0.01
            with pytest.raises(BackendError, match="out of memory"):
                session.infer(np.zeros((3, 1, 4, 4), np.float32))
        assert runtime.log[0] == "open engine throughput"


def test_an_engine_keeps_its_batch_where_it_is_not_told_otherwise() -> None:
    with (
        in_memory.registered({"engine": ENGINE}) as runtime,
        pytest.raises(TargetError, match="built for batch 2 and cannot run batch 8"),
        runtime.open(Path("engine"), OpenOptions(batch=8)),
    ):
        pass


def test_what_is_built_is_opened_under_any_name(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    with in_memory.registered(compiler=lambda path: ENGINE) as runtime:
        built = runtime.build(source, load_target("cpu"), tmp_path / "trial.mem")
        assert built.engine.read_text() and built.version
        path = built.engine.rename(tmp_path / "model.mem")
        with runtime.open(path, OpenOptions()) as session:
            session.infer(IMAGES)
    with in_memory.registered() as runtime, pytest.raises(BackendError, match="compiles nothing"):
        runtime.build(source, load_target("cpu"), tmp_path / "trial.mem")


def test_it_stands_in_for_another_runtime() -> None:
    replaced = runtime_named("tensorrt")
    with in_memory.registered(in_place_of="tensorrt", missing_to_run="no GPU") as runtime:
        assert runtime_named("tensorrt") is runtime_of_kind("tensorrt-plan") is runtime
        assert runtime.packs_bundle and runtime.takes_cuda_graph and runtime.suffix == ".plan"
        assert runtime.unavailable() is None and runtime.unavailable_to_run() == "no GPU"
    assert runtime_named("tensorrt") is replaced


def test_it_can_be_missing() -> None:
    with in_memory.registered(missing="it is not installed"):
        with pytest.raises(MissingRuntimeError, match="it is not installed"):
            usable_runtime("in_memory")
        assert not runtime_named("in_memory").builds_here()
        assert runtime_named("in_memory").versions() == {}
