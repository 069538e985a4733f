"""A session of a plan, with CUDA replaced by a record of the calls."""

from __future__ import annotations

from typing import Any


def test_layer_times_of_a_session_are_medians_by_layer() -> None:
    """Without TensorRT: a context that reports as IProfiler's caller does, one call a layer and
    run.
    """
    from types import SimpleNamespace

    import numpy as np

    from edge_scnet.runtimes.tensorrt.session import PlanSession

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
    from types import SimpleNamespace

    import numpy as np

    from edge_scnet.runtimes.tensorrt.session import PlanSession

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
    session._context = SimpleNamespace(
        execute_async_v3=lambda handle: log.append("execute") or True
    )
    run = ["upload 10", "execute", "download 20"]
    session.infer(np.ones(2, np.float32))
    assert log == [*run, "wait"]
    log.clear()
    session.use_graph()
    assert log == [*run, "wait", "begin", *run, "end"]
    log.clear()
    outputs = session.infer(np.full(2, 3.0, np.float32))
    assert log == ["launch", "wait"] and session._host["x"].tolist() == [3.0, 3.0]
    assert outputs[0] is session._host["y"]
