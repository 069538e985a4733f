"""Measures engines: each in a fresh child process of its own, timed blocks alternated between the children.

Owns the child (`python -m edge_scnet.profiling FD`), the timed loop and the memory figures. A child's peak memory belongs
to its engine alone; the children stay alive while the parent alternates short blocks between them, so that drift of the
machine (20 to 30 % within minutes on shared ones) cancels in ratios. Nothing else runs while a block is timed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet import errors
from edge_scnet.backends import usable_backend
from edge_scnet.backends.base import ExecutedLayer, OpenOptions, Session
from edge_scnet.dataset import SampleSet, batches
from edge_scnet.errors import BackendError, EdgeError
from edge_scnet.metrics import LatencyStats, RatioStats, latency_stats, paired_ratio
from edge_scnet.zoo import ModelSpec

MIN_RUNS = 100
# Warm-up ends when the median of a block is within 5 % of the block before, or after this long.
_WARM_UP_LIMIT_S = 3.0
_BLOCK_S = 0.15
_WARM_BLOCK_S = 0.1
_ROUNDS = 12
_TIMED_IMAGES = 16
_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFile:
    """An engine to measure: the row's name, the runtime, the file, and how to load it."""

    name: str
    runtime: str
    path: Path
    options: OpenOptions
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryStats:
    """Resident memory of the engine's process, in bytes. `before_load` is Python and the runtime's library."""

    before_load_bytes: int
    load_peak_bytes: int
    steady_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What an engine gave for the evaluation set. Feature maps are too large to keep: of them the power is."""

    logits: np.ndarray | None  # [images, classes] where the first output is such, else None
    signal_power: float  # sum of squares of the first engine's outputs
    noise_power: float  # sum of squares of the difference from them
    finite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one child measured."""

    load_seconds: float
    warm_up_seconds: float
    latency: LatencyStats
    ratio: RatioStats | None  # of the first engine's time over this one's: above 1 is faster than it
    throughput_per_second: float
    memory: MemoryStats
    layers: tuple[ExecutedLayer, ...]
    outputs: Outputs | None  # over the evaluation set; None without one


class _Child:
    """The parent's end of one engine's process."""

    def __init__(self, engine: EngineFile) -> None:
        self.engine = engine
        parent, child = socket.socketpair()
        # its own session: Ctrl-C reaches the parent alone, which then ends the children in order
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_scnet.profiling", str(child.fileno())],
            pass_fds=[child.fileno()], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        child.close()
        self._connection = Connection(parent.detach())

    def start(self, method: str, *args: Any) -> None:
        try:
            self._connection.send((method, args))
        except OSError as error:
            raise self._died() from error

    def result(self) -> Any:
        try:
            status, value = self._connection.recv()
        except (EOFError, OSError) as error:  # OSError: it died in the middle of its answer
            raise self._died() from error
        if status == "error":
            name, message, hint = value
            kind = getattr(errors, name, BackendError)
            raise kind(f"{self.engine.name}: {message}", hint=hint)
        return value

    def call(self, method: str, *args: Any) -> Any:
        self.start(method, *args)
        return self.result()

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.close()

    def close(self) -> None:
        self.hang_up()
        try:
            self._process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _died(self) -> BackendError:
        code = self._process.wait(timeout=10)
        cause = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        hint = "the machine may be out of memory: free -h" if code == -signal.SIGKILL else None
        return BackendError(f"{self.engine.name}: the process measuring {self.engine.path.name} ended with {cause}", hint=hint)


def measure(
    engines: Sequence[EngineFile],
    samples: SampleSet | None,
    spec: ModelSpec,
    *,
    seconds: float = 3.0,
    progress: Callable[[str, float], None] = lambda what, share: None,
) -> list[Measurement]:
    """Measures engines together; ratios are relative to the first.

    Args:
        samples: the evaluation set, or None: then timed on random images, and no logits.
        seconds: timed seconds per engine for latency, and again for throughput.
        progress: called with what is being done and the share of it that is done, 0 to 1.

    Raises:
        BackendError: an engine cannot be loaded, fails, or its process died.
        DataError: an evaluation image cannot be read.
    """
    with contextlib.ExitStack() as stack:
        children: list[_Child] = []
        for engine in engines:
            children.append(_Child(engine))
            stack.callback(children[-1].close)
        # first all connections, then the waiting: busy children end side by side
        stack.callback(lambda: [child.hang_up() for child in children])
        timed = _timed_images(samples, spec)
        loads = []
        for i, child in enumerate(children):
            loads.append(child.call("load", child.engine.runtime, child.engine.path, child.engine.options, timed))
            progress("load", (i + 1) / len(children))
        warm = [child.call("warm_up") for child in children]
        blocks = _alternate(children, seconds, progress)
        memory = [child.call("memory") for child in children]
        layers = [child.call("layers") for child in children]
        rates = []
        for i, child in enumerate(children):
            rates.append(child.call("throughput", seconds))
            progress("throughput", (i + 1) / len(children))
        outputs = _evaluate(children, samples, spec, progress) if samples is not None else [None] * len(children)
    return [
        Measurement(
            load_seconds=loads[i]["seconds"],
            warm_up_seconds=warm[i],
            latency=latency_stats([ns for block in blocks[i] for ns in block]),
            ratio=paired_ratio(blocks[0], blocks[i]) if i else None,
            throughput_per_second=rates[i],
            memory=MemoryStats(
                before_load_bytes=loads[i]["before_bytes"], load_peak_bytes=loads[i]["peak_bytes"], steady_bytes=memory[i]
            ),
            layers=layers[i],
            outputs=outputs[i],
        )
        for i in range(len(children))
    ]


def _timed_images(samples: SampleSet | None, spec: ModelSpec) -> np.ndarray:
    if samples is None:
        shape = (_TIMED_IMAGES, spec.channels, spec.input_size, spec.input_size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return next(batches(samples, spec, batch=_TIMED_IMAGES))


def _alternate(children: Sequence[_Child], seconds: float, progress: Callable[[str, float], None]) -> list[list[list[int]]]:
    """Blocks of run times by child and round; the order of the children turns from round to round."""
    blocks: list[list[list[int]]] = [[] for _ in children]
    rounds = max(_ROUNDS, round(seconds / _BLOCK_S))
    for number in range(rounds):
        for i in np.roll(np.arange(len(children)), number).tolist():
            blocks[i].append(children[i].call("block", seconds / rounds, -(-MIN_RUNS // rounds)))
        progress("latency", (number + 1) / rounds)
    return blocks


def _evaluate(
    children: Sequence[_Child], samples: SampleSet, spec: ModelSpec, progress: Callable[[str, float], None]
) -> list[Outputs | None]:
    """The outputs of every engine for every image: decoded once here, in chunks, and given to all children."""
    image_bytes = spec.channels * spec.input_size**2 * 4
    chunk = max(1, min(1000, _CHUNK_BYTES // image_bytes))
    logits: list[list[np.ndarray]] = [[] for _ in children]
    signal, noise, finite = 0.0, [0.0] * len(children), [True] * len(children)
    done = 0
    for images in batches(samples, spec, batch=chunk):
        for child in children:
            child.start("evaluate", images)
        results: list[list[np.ndarray]] = [child.result() for child in children]
        signal += _power(results[0])
        for i, arrays in enumerate(results):
            finite[i] &= all(bool(np.isfinite(array).all()) for array in arrays)
            noise[i] += _power([a - b for a, b in zip(arrays, results[0], strict=True)]) if i else 0.0
            if arrays[0].ndim == 2:
                logits[i].append(arrays[0])
        done += len(images)
        progress("accuracy", done / len(samples))
    return [
        Outputs(
            logits=np.concatenate(logits[i]) if logits[i] else None, signal_power=signal, noise_power=noise[i], finite=finite[i]
        )
        for i in range(len(children))
    ]


def _power(arrays: Sequence[np.ndarray]) -> float:
    return sum(float(np.vdot(flat, flat)) for flat in (array.astype(np.float64).ravel() for array in arrays))


class _Server:
    """The child's end: one engine, one session, answers to the parent's calls."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()

    def load(self, runtime: str, path: Path, options: OpenOptions, timed: np.ndarray) -> dict[str, Any]:
        self._backend, self._path, self._options = usable_backend(runtime), path, options
        self._backend.versions()
        if runtime == "openvino":
            import openvino  # noqa: F401  the library's own memory is not the engine's
        before = _resident("VmRSS")
        _reset_peak()
        started = time.perf_counter_ns()
        self._session: Session = self._stack.enter_context(self._backend.open(path, options))
        seconds = (time.perf_counter_ns() - started) / 1e9
        batch = self._session.input_shape[0]
        self._timed = [np.ascontiguousarray(timed[np.arange(i, i + batch) % len(timed)]) for i in range(len(timed))]
        self._session.infer(self._timed[0])
        return {"seconds": seconds, "before_bytes": before, "peak_bytes": _resident("VmHWM")}

    def warm_up(self) -> float:
        started, previous = time.perf_counter(), np.inf
        while time.perf_counter() - started < _WARM_UP_LIMIT_S:
            median = float(np.median(self.block(_WARM_BLOCK_S, 5)))
            if abs(median - previous) < 0.05 * previous:
                break
            previous = median
        return time.perf_counter() - started

    def block(self, seconds: float, min_runs: int) -> list[int]:
        """Run times in nanoseconds, round `Session.infer` only, host to host."""
        infer, images, clock = self._session.infer, self._timed, time.perf_counter_ns
        times: list[int] = []
        end = clock() + int(seconds * 1e9)
        while len(times) < min_runs or clock() < end:
            image = images[len(times) % len(images)]
            started = clock()
            infer(image)
            times.append(clock() - started)
        return times

    def memory(self) -> int:
        return _resident("VmRSS")

    def layers(self) -> tuple[ExecutedLayer, ...]:
        return tuple(self._session.executed_precisions())

    def throughput(self, seconds: float) -> float:
        """Images per second with the runtime's asynchronous requests."""
        # the latency session is closed first: two compiled engines would share caches and threads
        self._stack.close()
        options = OpenOptions(precision=self._options.precision, mode="throughput", threads=self._options.threads)
        self._session = self._stack.enter_context(self._backend.open(self._path, options))
        self._session.infer_many(self._until(min(seconds, 0.3)), lambda i, outputs: None)
        started = time.perf_counter()
        done = 0

        def count(_: int, __: list[np.ndarray]) -> None:
            nonlocal done
            done += 1

        self._session.infer_many(self._until(seconds), count)
        return done * self._session.input_shape[0] / (time.perf_counter() - started)

    def _until(self, seconds: float) -> Iterator[np.ndarray]:
        end, i = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            yield self._timed[i % len(self._timed)]
            i += 1

    def evaluate(self, images: np.ndarray) -> list[np.ndarray]:
        batch = self._session.input_shape[0]
        padded = images if len(images) % batch == 0 else np.concatenate([images, images[: -len(images) % batch]])
        if len(padded) % batch:  # fewer images than one batch holds
            padded = images[np.arange(-(-len(images) // batch) * batch) % len(images)]
        results: list[list[np.ndarray] | None] = [None] * (len(padded) // batch)

        def keep(i: int, outputs: list[np.ndarray]) -> None:
            results[i] = outputs

        self._session.infer_many((padded[i : i + batch] for i in range(0, len(padded), batch)), keep)
        complete = [outputs for outputs in results if outputs is not None]
        if len(complete) < len(results):
            raise BackendError(f"{self._path.name}: {len(results) - len(complete)} of {len(results)} batches gave no output")
        return [np.concatenate(parts)[: len(images)] for parts in zip(*complete, strict=True)]


def _resident(field: str) -> int:
    """VmRSS or VmHWM of this process in bytes (Linux's /proc)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


def _reset_peak() -> None:
    """Sets VmHWM back to the present, so that importing libraries does not count as loading the engine."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def serve(connection: Connection) -> None:
    """Answers calls until the parent closes the connection."""
    server = _Server()
    while True:
        try:
            method, args = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[str, Any] = ("ok", getattr(server, method)(*args))
        except EdgeError as error:
            answer = ("error", (type(error).__name__, error.message, error.hint))
        except Exception as error:
            answer = ("error", ("BackendError", f"{type(error).__name__}: {error}", None))
        try:
            connection.send(answer)
        except OSError:
            return


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
    os._exit(0)  # runtimes' threads must not hold the process up
