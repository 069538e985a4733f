"""The measuring itself: children, their order, their death, and every image's own logits."""

from __future__ import annotations

import gc
import os
import signal
import socket
import struct
import subprocess
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.files import sha256_file
from edge_scnet.data.batches import batches, load
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import BackendError
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.profiler import child as child_module
from edge_scnet.profiler import outputs as profiler_outputs
from edge_scnet.profiler import process as profiler_process
from edge_scnet.profiler import turns
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile
from edge_scnet.runtimes.base import BaseSession, OpenOptions
from tests.helpers.graphs import tiny_logits, tiny_onnx
from tests.helpers.images import idx_folder
from tests.helpers.tool import Built

SPEC = replace(FASHION_MNIST, name="tiny", input_size=6, classes=(), num_classes=4, dataset=None)


def quiet(what: str, share: float, count: int = 0, unit: str = "") -> None: ...


def engine_file(path: Path, name: str = "tiny", *, runtime: str = "onnxruntime") -> EngineFile:
    return EngineFile(
        name=name,
        runtime=runtime,
        path=path,
        options=OpenOptions(threads=1),
        size_bytes=path.stat().st_size,
        sha256=sha256_file(path),
    )


@pytest.fixture
def samples(tmp_path: Path) -> SampleSet:
    pixels = np.random.default_rng(0).integers(0, 256, (13, 6, 6), np.uint8)
    folder = idx_folder(tmp_path / "eval", pixels, np.arange(13) % 4)
    return open_samples(folder, model=SPEC, role="evaluation")


@pytest.fixture
def children(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The processes started by the test; none may outlive it."""
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen

    def record(*args: Any, **kwargs: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **kwargs))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", record)
    yield started
    assert started and all(process.returncode is not None for process in started), (
        "a child is still there"
    )


class FakeChild:
    """Answers blocks and writes down when it was asked."""

    def __init__(self, name: str, asked: list[tuple[str, float, int]]) -> None:
        self.name, self.asked = name, asked

    def call(self, method: str, seconds: float, min_runs: int) -> tuple[list[int], int]:
        assert method == "timed_block"
        self.asked.append((self.name, seconds, min_runs))
        return [len(self.asked)] * min_runs, 1000 + len(self.asked)


def test_blocks_alternate_and_the_order_turns() -> None:
    asked: list[tuple[str, float, int]] = []
    fakes: Any = [FakeChild(name, asked) for name in "abc"]
    blocks = [turns.TimedBlocks() for _ in fakes]
    turns.time_blocks(fakes, 3.0, quiet, blocks)
    order = "".join(name for name, _, _ in asked)
    rounds = [order[i : i + 3] for i in range(0, len(order), 3)]
    assert len(rounds) >= 12 and all(sorted(turn) == list("abc") for turn in rounds)
    assert all([turn[0] for turn in rounds].count(name) >= len(rounds) // 3 for name in "abc"), (
        "each is first equally often"
    )
    for i, name in enumerate("abc"):
        mine = [entry for entry in asked if entry[0] == name]
        assert sum(seconds for _, seconds, _ in mine) == pytest.approx(3.0)
        assert sum(len(block) for block in blocks[i].times_ns) >= turns.MIN_RUNS
        # block by block in the order measured: the ratios pair the blocks of one round
        assert [block[0] for block in blocks[i].times_ns] == [
            k + 1 for k, entry in enumerate(asked) if entry[0] == name
        ]
        assert [resident - 1000 for resident in blocks[i].resident_bytes] == [
            block[0] for block in blocks[i].times_ns
        ]
        before = [order[k - 1] for k in range(1, len(order)) if order[k] == name]
        assert all(before.count(other) >= 5 for other in set("abc") - {name}), (
            "each follows both others"
        )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_everyone_has_every_place_equally_often(count: int) -> None:
    orders = [turns.turn_order(count, number) for number in range(2 * count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    for place in range(count):
        assert sorted(order[place] for order in orders) == [
            i for i in range(count) for _ in range(2)
        ]


def test_throughput_windows_alternate_and_the_median_counts() -> None:
    asked: list[tuple[str, str, float]] = []

    class Fake:
        def __init__(self, name: str, rates: list[float]) -> None:
            self.name, self.rates = name, iter(rates)

        def call(self, method: str, seconds: float) -> float | None:
            asked.append((self.name, method, seconds))
            return next(self.rates) if method == "throughput" else None

    fakes: Any = [Fake("a", [10, 90, 20]), Fake("b", [5, 7, 6])]
    shares: list[float] = []
    assert turns.measure_throughput(
        fakes, 3.0, lambda what, share, *counted: shares.append(share)
    ) == [20, 6]
    assert [(name, method) for name, method, _ in asked[:2]] == [
        ("a", "open_throughput"),
        ("b", "open_throughput"),
    ]
    assert [(name, method, seconds) for name, method, seconds in asked[2:]] == [
        (name, "throughput", 1.0) for name in "abbaba"
    ]
    assert shares == sorted(shares) and shares[-1] == 1


def test_measure_two_engines(
    tmp_path: Path, samples: SampleSet, children: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # three chunks of 5, 5 and 3 images: none a multiple of the second engine's batch
    monkeypatch.setattr(profiler_outputs, "_CHUNK_BYTES", 5 * 6 * 6 * 4)
    engines = [
        engine_file(tiny_onnx(tmp_path / "one.onnx"), "one"),
        engine_file(tiny_onnx(tmp_path / "eight.onnx", batch=8), "eight"),
    ]
    shares: dict[str, list[float]] = {}
    measured_together = measure(
        engines,
        samples,
        SPEC,
        MeasureSettings(seconds=0.1),
        progress=lambda what, share, *counted: shares.setdefault(what, []).append(share),
    )
    assert measured_together.complete
    one, eight = measured_together.engines
    assert len(children) == 2
    assert one.ratio is None and eight.ratio is not None and eight.ratio.ratio > 0
    expected = tiny_logits(load(samples, SPEC))
    for measured in (one, eight):
        outputs = measured.outputs
        assert outputs is not None and outputs.logits is not None and outputs.finite
        np.testing.assert_allclose(outputs.logits, expected, atol=1e-5)
        # each output by itself: the logits and twice the logits
        power = float((expected**2).sum())
        assert outputs.signal_power == pytest.approx((power, 4 * power), rel=1e-5)
        assert len(outputs.noise_power) == 2 and max(outputs.noise_power) < 1e-9 * power
        assert outputs.own_power == pytest.approx(outputs.signal_power) and outputs.names == (
            "logits",
            "twice",
        )
        assert measured.latency.count == len(measured.latency.samples_ns) >= turns.MIN_RUNS
        assert sum(measured.latency.samples_ns) <= 1e9 * 10
        assert (
            measured.throughput_per_second is not None
            and measured.throughput_per_second > 0
            and measured.load_seconds > 0
        )
        assert (
            measured.warm_up.seconds > 0
            and measured.warm_up.runs > 10
            and measured.settings == {"threads": "1"}
        )
        assert [len(block) for block in measured.blocks] == list(measured.latency.blocks)
        memory = measured.memory
        assert 0 < memory.before_load_bytes <= memory.load_peak_bytes and memory.steady_bytes > 0
        assert memory.growth_bytes is not None and memory.growth_bytes < 32 << 20
        whole = measured.end_to_end
        assert whole is not None and list(whole.stages_ms) == [
            "decode",
            "preprocess",
            "infer",
            "top-k",
        ]
        assert min(whole.stages_ms.values()) > 0 and 0 < whole.p50_ms <= whole.p90_ms
        assert whole.images_per_second == pytest.approx(
            1e3 * (8 if measured is eight else 1) / sum(whole.stages_ms.values())
        )
    assert list(shares) == [
        "load",
        "warm-up",
        "latency",
        "end to end",
        "layers",
        "throughput",
        "accuracy",
    ]
    assert all(values == sorted(values) and values[-1] == 1 for values in shares.values())


def test_powers_are_by_output_and_over_all_chunks(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small output that is wrong does not hide behind a large one that is right."""
    monkeypatch.setattr(profiler_outputs, "_CHUNK_BYTES", 5 * 6 * 6 * 4)

    class Fake:
        def __init__(self, small: float) -> None:
            self.small = small

        def call(self, method: str) -> tuple[str, ...]:
            assert method == "output_names"
            return ("large", "small")

        def start(self, method: str, images: np.ndarray) -> None:
            assert method == "evaluate"
            self.count = len(images)

        def result(self) -> list[np.ndarray]:
            return [
                np.full((self.count, 2), 1000, np.float32),
                np.full((self.count, 1), self.small, np.float32),
            ]

    fakes: Any = [Fake(1), Fake(-1)]
    right, wrong = profiler_outputs.evaluate(fakes, samples, SPEC, quiet)
    assert right is not None and wrong is not None
    assert right.signal_power == wrong.signal_power == (13 * 2e6, 13)
    assert wrong.own_power == right.own_power == (13 * 2e6, 13) and wrong.names == (
        "large",
        "small",
    )
    assert right.noise_power == (0, 0) and wrong.noise_power == (0, 13 * 4)


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
) -> tuple[child_module.Server, FakeBackend]:
    backend = FakeBackend(batch)
    monkeypatch.setattr(child_module, "usable_runtime", lambda runtime: backend)
    for name in ("resident_bytes", "peak_resident_bytes"):
        read = getattr(child_module, name)
        monkeypatch.setattr(
            child_module, name, lambda name=name, read=read: backend.log.append(name) or read()
        )
    server = child_module.Server()
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
        child_module,
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
    server._stack.close()


def test_a_plans_memory_and_layer_times_are_told_where_the_session_knows_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = iter([1000, 5000, 2000, 9000])
    monkeypatch.setattr(child_module, "used_memory_bytes", lambda: next(used))
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
    monkeypatch.setattr(child_module, "used_memory_bytes", lambda: None)
    unknown = server.load("fake", Path("engine"), OpenOptions(), np.zeros((1, 1, 6, 6), np.float32))
    assert (unknown.device_activation_bytes, unknown.ram_delta_bytes) == (77, None)
    server._stack.close()


def test_on_the_cpu_all_is_in_the_processs_own_memory(tmp_path: Path) -> None:
    server = child_module.Server()
    images = np.zeros((1, 1, 6, 6), np.float32)
    loaded = server.load("onnxruntime", tiny_onnx(tmp_path / "one.onnx"), OpenOptions(), images)
    assert (loaded.device_activation_bytes, loaded.ram_delta_bytes) == (None, None)
    assert server.layer_times() == {} and 0 < loaded.before_load_bytes <= loaded.load_peak_bytes
    server._stack.close()


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
    server._stack.close()


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
    server._stack.close()


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
    server._stack.close()


def test_the_child_does_not_import_from_the_working_directory(
    tmp_path: Path, children: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("random", "queue", "numpy", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file')\n")
    monkeypatch.chdir(tmp_path)
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    child = profiler_process.Child(engine)
    loaded = child.call(
        "load", engine.runtime, engine.path, engine.options, np.zeros((4, 1, 6, 6), np.float32)
    )
    assert loaded.seconds > 0
    command = Path(f"/proc/{child._process.pid}/cmdline").read_bytes()
    assert b"edge_scnet.profiler.child" in command
    child.close()


def test_without_images_there_are_no_outputs(tmp_path: Path, children: list[Any]) -> None:
    (measured,) = measure(
        [engine_file(tiny_onnx(tmp_path / "one.onnx"))], None, SPEC, MeasureSettings(seconds=0.1)
    ).engines
    assert (
        measured.outputs is None
        and measured.end_to_end is None
        and measured.latency.count >= turns.MIN_RUNS
        and measured.ratio is None
    )


@pytest.mark.parametrize(
    ("method", "stage"), [("timed_block", "latency"), ("evaluate", "accuracy"), ("load", "load")]
)
def test_a_killed_child_is_named_and_the_others_end(
    tmp_path: Path,
    samples: SampleSet,
    children: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    stage: str,
) -> None:
    start = profiler_process.Child.start

    def kill_first(self: Any, called: str, *args: Any) -> None:
        if called == method and self.engine.name == "victim":
            os.kill(self._process.pid, signal.SIGKILL)
        start(self, called, *args)

    monkeypatch.setattr(profiler_process.Child, "start", kill_first)
    path = tiny_onnx(tmp_path / "one.onnx")
    with pytest.raises(BackendError) as caught:
        measure(
            [engine_file(path, "other"), engine_file(path, "victim")],
            samples,
            SPEC,
            MeasureSettings(seconds=0.1),
        )
    assert caught.value.exit_code == 8
    assert (
        caught.value.message
        == f"victim: the process measuring one.onnx ended with signal SIGKILL in stage '{stage}'"
    )
    assert caught.value.hint is not None and "free -h" in caught.value.hint
    assert [process.returncode for process in children] == [0, -signal.SIGKILL]


def test_a_child_that_dies_in_the_middle_of_its_answer(tmp_path: Path, children: list[Any]) -> None:
    child = profiler_process.Child(engine_file(tiny_onnx(tmp_path / "one.onnx")))
    child._connection.close()
    parent, end = socket.socketpair()
    end.sendall(
        struct.pack("!i", 1000) + b"x" * 10
    )  # Connection's header: 1,000 bytes follow; 10 do
    end.close()
    child._connection = Connection(parent.detach())
    child._process.kill()
    with pytest.raises(BackendError, match=r"tiny: the process measuring one\.onnx ended with"):
        child.result()
    child.close()


class Interrupting:
    """Progress that is interrupted, as Ctrl-C would, at a stage's share."""

    def __init__(self, stage: str, share: float) -> None:
        self.stage, self.share = stage, share

    def __call__(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        if what == self.stage and share >= self.share:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("stage", "share"), [("latency", 0.5), ("throughput", 0.3), ("accuracy", 0.3)]
)
def test_what_was_measured_before_an_interrupt_is_kept(
    tmp_path: Path,
    samples: SampleSet,
    children: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    share: float,
) -> None:
    monkeypatch.setattr(profiler_outputs, "_CHUNK_BYTES", 5 * 6 * 6 * 4)
    engines = [engine_file(tiny_onnx(tmp_path / "one.onnx"), name) for name in ("a", "b")]
    found = measure(
        engines,
        samples,
        SPEC,
        MeasureSettings(seconds=0.2, keep_partial=True),
        progress=Interrupting(stage, share),
    )
    assert not found.complete
    for m in found.engines:
        assert len(m.blocks) == (6 if stage == "latency" else 12) and m.latency.count == sum(
            map(len, m.blocks)
        )
        assert (m.throughput_per_second is None) == (stage != "accuracy") and m.outputs is None
        assert (m.end_to_end is None) == (stage == "latency") and m.memory.steady_bytes > 0
    assert found.engines[1].ratio is not None and found.engines[1].ratio.rounds == len(
        found.engines[0].blocks
    )


def test_an_interrupt_before_anything_was_timed_or_that_nobody_wants_to_keep_is_one(
    tmp_path: Path, children: list[Any]
) -> None:
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    with pytest.raises(KeyboardInterrupt):
        measure(
            [engine],
            None,
            SPEC,
            MeasureSettings(seconds=0.2, keep_partial=True),
            progress=Interrupting("load", 1),
        )
    with pytest.raises(KeyboardInterrupt):
        measure(
            [engine],
            None,
            SPEC,
            MeasureSettings(seconds=0.2),
            progress=Interrupting("latency", 0.5),
        )


def test_the_next_images_are_decoded_while_the_children_work(
    samples: SampleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A child answers only when the following chunk is there: it would wait for ever if that came
    after its answer.
    """
    monkeypatch.setattr(profiler_outputs, "_CHUNK_BYTES", 5 * 6 * 6 * 4)
    decoded = [threading.Event() for _ in range(4)]

    def counted(*args: Any, **kwargs: Any) -> Iterator[np.ndarray]:
        for event, images in zip(decoded, batches(*args, **kwargs), strict=False):
            event.set()
            yield images

    class Fake:
        given = 0

        def call(self, method: str) -> tuple[str, ...]:
            return ("out",)

        def start(self, method: str, images: np.ndarray) -> None:
            self.given, self.images = self.given + 1, images

        def result(self) -> list[np.ndarray]:
            assert self.given == 3 or decoded[self.given].wait(5), "nothing was decoded ahead"
            return [self.images.reshape(len(self.images), -1)]

    monkeypatch.setattr(profiler_outputs, "batches", counted)
    fakes: Any = [Fake()]
    (outputs,) = profiler_outputs.evaluate(fakes, samples, SPEC, quiet)
    assert outputs is not None and outputs.logits is not None
    np.testing.assert_array_equal(outputs.logits, load(samples, SPEC).reshape(13, -1))


def test_warm_up_ends_when_two_blocks_agree_and_says_when_none_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = child_module.Server()
    medians = iter([100, 50, 49])
    monkeypatch.setattr(server, "block", lambda seconds, runs: [next(medians)] * 5)
    warm = server.warm_up()
    assert warm.stable and warm.runs == 18
    restless = iter(range(1, 100))
    now = iter(np.arange(0, 100, 0.5).tolist())
    monkeypatch.setattr(child_module.time, "perf_counter", lambda: next(now))
    monkeypatch.setattr(server, "block", lambda seconds, runs: [2 ** next(restless)] * 5)
    restless_end = server.warm_up()
    assert not restless_end.stable and restless_end.seconds >= child_module._WARM_UP_LIMIT_S


def test_end_to_end_times_every_stage_and_leaves_out_the_first(
    monkeypatch: pytest.MonkeyPatch, samples: SampleSet
) -> None:
    server, _ = fake_server(monkeypatch, batch=2)
    clock = iter(range(0, 10**9, 1_000_000))
    monkeypatch.setattr(child_module.time, "perf_counter_ns", lambda: next(clock))
    # each reading of the clock is a millisecond later: four stages of 1 ms
    assert server.end_to_end(samples, SPEC, 0.0) == [(1_000_000,) * 4] * 2
    server._stack.close()


def test_end_to_end_windows_alternate_and_all_of_them_count(samples: SampleSet) -> None:
    asked: list[str] = []

    class Fake:
        batch = 2

        def __init__(self, name: str, ns: int) -> None:
            self.name, self.ns = name, ns

        def call(
            self, method: str, images: SampleSet, spec: Any, seconds: float
        ) -> list[tuple[int, ...]]:
            assert method == "end_to_end" and images is samples and seconds == pytest.approx(0.1)
            asked.append(self.name)
            return [(self.ns, self.ns, 7 * self.ns, self.ns)] * 2

    fakes: Any = [Fake("a", 1_000_000), Fake("b", 2_000_000)]
    first, second = turns.time_end_to_end(fakes, samples, SPEC, 0.3, quiet)
    assert asked == list("abbaba") and first is not None and second is not None
    assert first.stages_ms == {"decode": 1.0, "preprocess": 1.0, "infer": 7.0, "top-k": 1.0}
    assert (first.images, first.p50_ms, first.images_per_second, second.p50_ms) == (
        12,
        10.0,
        200.0,
        20.0,
    )


def test_a_damaged_engine_fails_with_the_runtimes_words(
    tmp_path: Path, children: list[Any]
) -> None:
    good, bad = tiny_onnx(tmp_path / "good.onnx"), tmp_path / "bad.onnx"
    bad.write_bytes(good.read_bytes()[:50])
    with pytest.raises(BackendError, match=r"^second: ONNX Runtime cannot load bad\.onnx: "):
        measure(
            [engine_file(good, "first"), engine_file(bad, "second")],
            None,
            SPEC,
            MeasureSettings(seconds=0.1),
        )


def test_a_failing_call_is_a_backend_error_and_the_child_goes_on(
    tmp_path: Path, children: list[Any]
) -> None:
    engine = engine_file(tiny_onnx(tmp_path / "one.onnx"))
    child = profiler_process.Child(engine)
    with pytest.raises(BackendError, match="tiny: AttributeError: "):
        child.call("no_such_method")
    child.call(
        "load", engine.runtime, engine.path, engine.options, np.zeros((4, 1, 6, 6), np.float32)
    )
    assert child.call("timed_block", 0.0, 3)[1] > 0
    child.close()


@pytest.mark.parametrize("count", [1, 7, 8, 13, 16])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_batch_that_does_not_divide_the_images(tmp_path: Path, runtime: str, count: int) -> None:
    images = np.random.default_rng(count).standard_normal((count, 1, 6, 6)).astype(np.float32)
    server = child_module.Server()
    server.load(
        runtime, tiny_onnx(tmp_path / "eight.onnx", batch=8), OpenOptions(threads=1), images
    )
    logits, twice = server.evaluate(images)
    server._stack.close()
    assert logits.shape == (count, 4)
    np.testing.assert_allclose(logits, tiny_logits(images), atol=1e-5)
    np.testing.assert_allclose(twice, 2 * tiny_logits(images), atol=1e-5)


def test_a_batch_without_output_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.zeros((4, 1, 6, 6), np.float32)
    server = child_module.Server()
    server.load("onnxruntime", tiny_onnx(tmp_path / "one.onnx"), OpenOptions(threads=1), images)
    infer_many = server._session.infer_many
    monkeypatch.setattr(
        server._session, "infer_many", lambda batches, keep: infer_many(list(batches)[1:], keep)
    )
    with pytest.raises(BackendError, match=r"1 of 4 batches gave no output"):
        server.evaluate(images)
    server._stack.close()


def test_the_child_serves_until_its_parent_is_gone(built: Built) -> None:
    """The real engine in a child whose parent closes the connection without a word: it ends by
    itself, in order.
    """
    child = profiler_process.Child(engine_file(built.folder / "model.xml", runtime="openvino"))
    images = np.zeros((1, 1, 28, 28), np.float32)
    child.call("load", "openvino", built.folder / "model.xml", OpenOptions(), images)
    layers = child.call("layers")
    assert (
        sum(layer.kind == "Convolution" and layer.precision in ("u8", "i8") for layer in layers)
        == 46
    )
    child._connection.close()
    assert child._process.wait(timeout=10) == 0
