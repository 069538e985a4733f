"""What the measuring child does with its engine."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError
from edge_scnet.profiler import child
from edge_scnet.runtimes.base import BaseSession, OpenOptions
from tests.helpers.engines import SPEC
from tests.helpers.graphs import tiny_logits, tiny_onnx


class FakeSession(BaseSession):
    """Writes down what it is given; another runtime's module in place of the real one."""

    def __init__(self, batch: int) -> None:
        self.input_shape = (batch, 1, 6, 6)
        self.output_names = ("out",)
        self.given: list[np.ndarray] = []
        self.collecting: list[bool] = []

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        self.given.append(batch)
        self.collecting.append(gc.isenabled())
        return [batch]

    def infer_many(self, batches: Any, keep: Any) -> None:
        for i, batch in enumerate(batches):
            keep(i, self.infer(batch))


class FakeBackend:
    def __init__(self, batch: int = 1) -> None:
        self.batch, self.log, self.sessions = batch, [], []

    def preload(self) -> None:
        self.log.append("preload")

    @contextmanager
    def open(self, path: Path, options: OpenOptions) -> Iterator[FakeSession]:
        session = FakeSession(self.batch)
        self.log.append(f"open {options.mode}")
        self.sessions.append(weakref.ref(session))
        yield session
        self.log.append("close")


def fake_server(
    monkeypatch: pytest.MonkeyPatch, batch: int = 1, count: int = 16
) -> tuple[child.Server, FakeBackend]:
    backend = FakeBackend(batch)
    monkeypatch.setattr(child, "usable_runtime", lambda runtime: backend)
    for name in ("resident_bytes", "peak_resident_bytes"):
        read = getattr(child, name)
        monkeypatch.setattr(
            child, name, lambda name=name, read=read: backend.log.append(name) or read()
        )
    server = child.Server()
    server.load(
        "fake",
        Path("engine"),
        OpenOptions(),
        np.arange(count * 36, dtype=np.float32).reshape(count, 1, 6, 6),
    )
    return server, backend


def test_memory_is_read_between_preload_and_the_engine_and_before_the_timed_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        child,
        "_cycled",
        lambda images, count: backend_log.append(f"cycled {count}") or images[:1],
    )
    backend_log: list[str] = []
    server, backend = fake_server(monkeypatch)
    assert backend.log == [
        "preload",
        "resident_bytes",
        "open latency",
        "peak_resident_bytes",
    ] and backend_log == [
        "cycled 1",
        "cycled 16",
    ]
    server.close()


def test_a_plans_memory_and_layer_times_are_told_where_the_session_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = iter([1000, 5000, 2000, 9000])
    monkeypatch.setattr(child, "used_memory_bytes", lambda: next(used))
    monkeypatch.setattr(FakeSession, "device_bytes", lambda self: 77, raising=False)
    monkeypatch.setattr(
        FakeSession,
        "layer_times",
        lambda self, batches: {"conv1": float(len(batches))},
        raising=False,
    )
    server, _ = fake_server(monkeypatch)
    again = server.load("fake", Path("engine"), OpenOptions(), np.zeros((16, 1, 6, 6), np.float32))
    assert (again.device_activation_bytes, again.ram_delta_bytes) == (77, 7000)
    assert server.layer_times() == {"conv1": 16.0}
    monkeypatch.setattr(child, "used_memory_bytes", lambda: None)
    unknown = server.load("fake", Path("engine"), OpenOptions(), np.zeros((1, 1, 6, 6), np.float32))
    assert (unknown.device_activation_bytes, unknown.ram_delta_bytes) == (77, None)
    server.close()


@pytest.mark.parametrize("batch", [1, 3, 16, 40])
def test_timed_batches_are_views_of_one_array(monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    server, _ = fake_server(monkeypatch, batch)
    assert len(server._timed) == 16
    bases = {id(view.base) for view in server._timed}
    assert len(bases) == 1 and all(
        view.flags.c_contiguous and view.dtype == np.float32 for view in server._timed
    )
    for i, view in enumerate(server._timed):
        assert (view[:, 0, 0, 0] / 36).tolist() == [k % 16 for k in range(i, i + batch)]
    server.close()


def test_a_block_begins_untimed_and_without_garbage_collection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, _ = fake_server(monkeypatch)
    session: Any = server._session
    session.given.clear()
    session.collecting.clear()
    assert gc.isenabled()
    times = server.block(0.0, 20)
    assert len(times) == 20 and len(session.given) == 21
    assert session.collecting == [True] + [False] * 20 and gc.isenabled()
    monkeypatch.setattr(session, "infer", lambda batch: 1 / 0 if not gc.isenabled() else None)
    with pytest.raises(ZeroDivisionError):
        server.block(0.0, 1)
    assert gc.isenabled()
    server.close()


def test_throughput_opens_once_and_frees_the_latency_session_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, backend = fake_server(monkeypatch, batch=3)
    backend.log.clear()
    opened = backend.open

    def open_when_free(path: Path, options: OpenOptions) -> Any:
        assert [session() for session in backend.sessions] == [None], (
            "the latency session is still there"
        )
        return opened(path, options)

    monkeypatch.setattr(backend, "open", open_when_free)
    server.open_throughput(0.0)
    session: Any = server._session
    assert backend.log == ["close", "open throughput"]
    rates = [server.throughput(0.01) for _ in range(3)]
    assert (
        min(rates) > 0
        and server._session is session
        and backend.log == ["close", "open throughput"]
    )
    assert session.collecting[0] and not session.collecting[-1] and gc.isenabled()
    server.close()


def test_warm_up_ends_when_two_blocks_agree_and_says_when_none_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = child.Server()
    medians = iter([100, 50, 49])
    monkeypatch.setattr(server, "block", lambda seconds, runs: [next(medians)] * 5)
    warm = server.warm_up()
    assert warm.stable and warm.runs == 18
    restless = iter(range(1, 100))
    now = iter(np.arange(0, 100, 0.5).tolist())
    monkeypatch.setattr(child.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(server, "block", lambda seconds, runs: [2 ** next(restless)] * 5)
    restless_end = server.warm_up()
    assert not restless_end.stable and restless_end.seconds >= child._WARM_UP_LIMIT_S


def test_end_to_end_times_every_stage_and_leaves_out_the_first(
    monkeypatch: pytest.MonkeyPatch, samples: SampleSet
) -> None:
    server, _ = fake_server(monkeypatch, batch=2)
    clock = iter(range(0, 10**9, 1_000_000))
    monkeypatch.setattr(child.time, "perf_counter_ns", lambda: next(clock))
    # each reading of the clock is a millisecond later: four stages of 1 ms
    assert server.end_to_end(samples, SPEC, 0.0) == [(1_000_000,) * 4] * 2
    server.close()


@pytest.mark.parametrize("count", [1, 7, 8, 13, 16])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_batch_that_does_not_divide_the_images(tmp_path: Path, runtime: str, count: int) -> None:
    images = np.random.default_rng(count).standard_normal((count, 1, 6, 6)).astype(np.float32)
    server = child.Server()
    server.load(
        runtime, tiny_onnx(tmp_path / "eight.onnx", batch=8), OpenOptions(threads=1), images
    )
    logits, twice = server.evaluate(images)
    server.close()
    assert logits.shape == (count, 4)
    np.testing.assert_allclose(logits, tiny_logits(images), atol=1e-5)
    np.testing.assert_allclose(twice, 2 * tiny_logits(images), atol=1e-5)


def test_a_batch_without_output_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((4, 1, 6, 6), np.float32)
    server = child.Server()
    server.load("onnxruntime", tiny_onnx(tmp_path / "one.onnx"), OpenOptions(threads=1), images)
    infer_many = server._session.infer_many
    monkeypatch.setattr(
        server._session, "infer_many", lambda batches, keep: infer_many(list(batches)[1:], keep)
    )
    with pytest.raises(BackendError, match=r"1 of 4 batches gave no output"):
        server.evaluate(images)
    server.close()
