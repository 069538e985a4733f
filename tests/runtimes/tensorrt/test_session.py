"""A session of a plan, with CUDA replaced by a record of the calls."""

from __future__ import annotations

import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import BackendError
from edge_scnet.runtimes.tensorrt import cuda
from edge_scnet.runtimes.tensorrt.session import PlanSession, opened


def test_layer_times_of_a_session_are_medians_by_layer() -> None:
    """Without TensorRT: a context that reports as IProfiler's caller does, one call a layer and
    run.
    """

    class IProfiler:
        def __init__(self) -> None: ...

    session = object.__new__(PlanSession)
    session._trt, session._context = SimpleNamespace(IProfiler=IProfiler), SimpleNamespace()
    runs = iter(range(1000))

    def infer(batch: np.ndarray) -> list[np.ndarray]:
        number = next(runs)
        session._context.profiler.report_layer_time(
            "conv1", 9.0 if number == 0 else 0.5
        )  # the first run is slow
        session._context.profiler.report_layer_time("fc", 0.25)
        return []

    session.infer = infer
    assert session.layer_times([np.zeros(1), np.zeros(1)]) == {"conv1": 0.5, "fc": 0.25}


def test_a_cuda_graph_is_recorded_after_one_plain_inference_and_replayed() -> None:
    """Without a GPU: a stream that keeps what is enqueued, and a graph that is the list of it."""
    log: list[str] = []

    class Stream:
        handle = 1

        def upload(self, address: int, array: np.ndarray) -> None:
            log.append(f"upload {address}")

        def download(self, array: np.ndarray, address: int) -> None:
            log.append(f"download {address}")

        def wait(self) -> None:
            log.append("wait")

        def record(self, work: Any) -> Any:
            log.append("begin")
            work()
            log.append("end")
            return lambda: log.append("launch")

    session: Any = object.__new__(PlanSession)
    session._stream, session._replay = Stream(), None
    session._inputs, session._outputs, session._address = ["x"], ["y"], {"x": 10, "y": 20}
    session._host = {"x": np.zeros(2, np.float32), "y": np.ones(3, np.float32)}
    session._open = {}
    session._context = SimpleNamespace(
        execute_async_v3=lambda handle: log.append("execute") or True
    )
    run = ["upload 10", "execute", "download 20"]
    session.infer(np.ones(2, np.float32))
    assert log == [*run, "wait"]
    log.clear()
    session.require_graph()
    assert log == [*run, "wait", "begin", *run, "end"]
    log.clear()
    outputs = session.infer(np.full(2, 3.0, np.float32))
    assert log == ["launch", "wait"] and session._host["x"].tolist() == [3.0, 3.0]
    assert outputs[0] is session._host["y"]


def test_a_graph_is_offered_beside_plain_inferences_and_a_failed_one_leaves_the_plan_of_use() -> (
    None
):
    log: list[str] = []

    class Stream:
        handle = 1

        def wait(self) -> None:
            log.append("wait")

        def record(self, work: Any) -> Any:
            if fault:
                raise BackendError(fault)
            return lambda: log.append("launch")

    session: Any = object.__new__(PlanSession)
    session._stream, session._graph, session._replay = Stream(), None, None
    session._inputs, session._outputs, session._open = [], [], {}
    session._context = SimpleNamespace(
        execute_async_v3=lambda handle: log.append("execute") or True
    )
    fault = "cudaStreamEndCapture: 901"
    assert session.record_graph() == fault
    # once before it is recorded, once more behind the failure
    assert log == ["execute", "wait", "execute", "wait"]
    fault = ""
    assert session.record_graph() is None
    ways = []
    for on in (False, True, False):
        log.clear()
        session.use_graph(on=on)
        session.infer_named({})
        ways.append((log[0], session.settings()["CUDA graph"]))
    assert ways == [("execute", "no"), ("launch", "yes"), ("execute", "no")]
    # a plan that is of no use any more says why, and what to do
    fault = "cudaStreamEndCapture: 901"
    session._context = SimpleNamespace(execute_async_v3=lambda handle: len(log) < 3)
    log[:] = ["", ""]
    with pytest.raises(BackendError, match=r"could not enqueue .*: 901") as caught:
        session.record_graph()
    assert "--no-cuda-graph" in (caught.value.hint or "")


class _Allocator:
    def __init__(self) -> None: ...


class _Device:
    handle = 1

    def __init__(self) -> None:
        self.memory: dict[int, bytearray] = {}

    def allocate(self, size: int) -> int:
        self.memory[len(self.memory) + 1] = bytearray(size)
        return len(self.memory)

    def pinned(self, shape: tuple[int, ...], dtype: Any) -> Any:
        return np.empty(shape, dtype)

    def upload(self, address: int, array: Any) -> None: ...

    def download(self, array: Any, address: int) -> None:
        array[:] = np.frombuffer(self.memory[address], array.dtype)[: array.size]

    def wait(self) -> None: ...

    def close(self) -> None: ...


class _Context:
    """Asks for memory and tells the shape as it enqueues, as TensorRT does."""

    rows = 0

    def __init__(self, stream: _Device) -> None:
        self.stream = stream

    def set_tensor_address(self, name: str, address: int) -> None:
        assert name == "x"

    def set_output_allocator(self, name: str, allocator: Any) -> None:
        self.name, self.allocator = name, allocator

    def execute_async_v3(self, handle: int) -> bool:
        values = np.arange(self.rows * 3, dtype=np.int64)
        given = self.allocator.reallocate_output_async(self.name, 0, values.nbytes, 256, handle)
        assert given > 0  # for no bytes too
        self.stream.memory[given][: values.nbytes] = values.tobytes()
        self.allocator.notify_shape(self.name, [self.rows, 3])
        return True


def test_an_output_whose_size_depends_on_the_data_gets_memory_as_tensorrt_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a GPU: a context that asks for memory and tells the shape as it enqueues, and a
    stream whose device memory is a list of arrays.
    """
    stream = _Device()
    context = _Context(stream)
    monkeypatch.setattr(cuda, "open_stream", lambda: stream)
    modes = SimpleNamespace(INPUT=0, OUTPUT=1)
    trt = SimpleNamespace(
        IOutputAllocator=_Allocator, TensorIOMode=modes, nptype=lambda dtype: dtype
    )
    shapes, types = {"x": (1, 2), "kept": (-1, 3)}, {"x": np.float32, "kept": np.int64}
    engine = SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=["x", "kept"].__getitem__,
        get_tensor_mode={"x": 0, "kept": 1}.__getitem__,
        get_tensor_shape=shapes.__getitem__,
        get_tensor_dtype=types.__getitem__,
    )
    session = PlanSession(trt, None, engine, context)
    assert session.open_outputs == (True,) and session.output_names == ("kept",)
    for rows in (2, 0, 5, 1):
        context.rows = rows
        (output,) = session.infer(np.ones((1, 2), np.float32))
        assert output.tolist() == np.arange(rows * 3).reshape(rows, 3).tolist()
    # memory that is large enough is kept
    assert [len(memory) for memory in list(stream.memory.values())[1:]] == [48, 120]
    with pytest.raises(BackendError, match="kept depends on the data"):
        session.require_graph()
    shapes["x"] = (-1, 2)
    with pytest.raises(BackendError, match="x of the plan has open sizes"):
        PlanSession(trt, None, engine, context)


class _Native:
    """Something of TensorRT's, which notes when it goes."""

    def __init__(self, name: str, log: list[str], **made: Any) -> None:
        weakref.finalize(self, log.append, f"no {name}")
        self.__dict__.update(made)


class _LoggedStream(_Device):
    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def close(self) -> None:
        self.log.append("stream closed")


def _trt_of(log: list[str], *, context: Any) -> Any:
    """TensorRT that loads any plan, with one input and one output."""
    names = ["x", "y"]

    def engine() -> Any:
        return _Native(
            "engine",
            log,
            create_execution_context=context,
            num_io_tensors=2,
            get_tensor_name=names.__getitem__,
            get_tensor_mode={"x": 0, "y": 1}.__getitem__,
            get_tensor_shape=lambda name: (1, 2),
            get_tensor_dtype=lambda name: np.float32,
        )

    return SimpleNamespace(
        __version__="10.3.0",
        ILogger=_Allocator,
        Runtime=lambda logger: _Native(
            "runtime", log, deserialize_cuda_engine=lambda plan: engine()
        ),
        TensorIOMode=SimpleNamespace(INPUT=0, OUTPUT=1),
        nptype=lambda dtype: dtype,
    )


def test_a_session_lets_go_of_context_engine_and_runtime_before_their_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []
    (tmp_path / "engine.plan").touch()

    def context() -> Any:
        return _Native(
            "context",
            log,
            set_tensor_address=lambda name, address: True,
            execute_async_v3=lambda handle: False,
        )

    monkeypatch.setattr(cuda, "open_stream", lambda: _LoggedStream(log))
    with opened(_trt_of(log, context=context), tmp_path / "engine.plan") as session:
        assert session.input_shape == (1, 2) and log == []
    released = ["no context", "no engine", "no runtime", "stream closed"]
    assert log == released
    log.clear()
    with (
        pytest.raises(BackendError, match="could not enqueue"),
        opened(_trt_of(log, context=context), tmp_path / "engine.plan") as session,
    ):
        session.infer(np.ones((1, 2), np.float32))
    assert log == released


def test_a_session_that_cannot_be_made_closes_its_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log: list[str] = []

    class Full(_LoggedStream):
        def allocate(self, size: int) -> int:
            raise BackendError("CUDA: cudaMalloc: out of memory")

    (tmp_path / "engine.plan").touch()
    monkeypatch.setattr(cuda, "open_stream", lambda: Full(log))
    trt = _trt_of(log, context=SimpleNamespace)
    with pytest.raises(BackendError, match="out of memory"), opened(trt, tmp_path / "engine.plan"):
        pass
    assert "stream closed" in log


def test_a_runtime_that_cannot_start_is_told_in_the_loggers_words(tmp_path: Path) -> None:
    """As pybind11 does: the constructor of what gives no object raises TypeError."""
    trt = _trt_of([], context=SimpleNamespace)

    def runtime(logger: Any) -> Any:
        logger.log("Severity.ERROR", "CUDA initialization failure with error: 35")
        raise TypeError("pybind11::init(): factory function returned nullptr")

    trt.Runtime = runtime
    with (
        pytest.raises(BackendError, match=r"cannot start here: CUDA .* error: 35") as caught,
        opened(trt, tmp_path / "engine.plan"),
    ):
        pass
    assert "--runtime nvidia" in caught.value.hint
