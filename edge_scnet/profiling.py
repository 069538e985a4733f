"""Measures engines: each in a fresh child process of its own, timed blocks alternated between the children.

Owns the parent's end: starting the children (`child.py`), whose turn it is, and what the figures become. The children stay
alive while the parent alternates short blocks between them, so that drift of the machine (20 to 30 % within minutes on shared
ones) cancels in ratios. Nothing else runs while a block is timed.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet import errors
from edge_scnet.backends.base import ExecutedLayer, OpenOptions
from edge_scnet.dataset import SampleSet, batches
from edge_scnet.errors import BackendError
from edge_scnet.figures import LatencyStats, MemoryStats, RatioStats
from edge_scnet.metrics import latency_stats, paired_ratio
from edge_scnet.zoo import ModelSpec

MIN_RUNS = 100
_BLOCK_S = 0.15
_THROUGHPUT_WARM_UP_S = 0.3
_ROUNDS = 12
_WINDOWS = 3  # throughput
_TIMED_IMAGES = 16
_CHUNK_BYTES = 32 << 20
# not -m: that puts the working directory first on sys.path, where a user's random.py would break the child and not the parent
_CHILD = "import sys; sys.path[:] = {path!a}; import edge_scnet.child; edge_scnet.child.main({fd})"


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
class Outputs:
    """What an engine gave for the evaluation set. Feature maps are too large to keep: of them the power is."""

    logits: np.ndarray | None  # [images, classes] where the first output is such, else None
    signal_power: tuple[float, ...]  # by output: sum of squares of the first engine's
    noise_power: tuple[float, ...]  # by output: sum of squares of the difference from it
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
    layer_times_ms: dict[str, float]  # median by layer name; empty where the runtime does not tell
    outputs: Outputs | None  # over the evaluation set; None without one


class _Child:
    """The parent's end of one engine's process."""

    def __init__(self, engine: EngineFile) -> None:
        self.engine = engine
        parent, child = socket.socketpair()
        # its own session: Ctrl-C reaches the parent alone, which then ends the children in order
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD.format(path=sys.path, fd=child.fileno())],
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
    timed: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> list[Measurement]:
    """Measures engines together; ratios are relative to the first.

    Args:
        samples: the evaluation set, or None: then timed on random images, and no logits.
        seconds: timed seconds per engine for latency, and again for throughput.
        progress: called with what is being done and the share of it that is done, 0 to 1.
        timed: entered when all are warm and left when all are timed.

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
        stack.callback(_hang_up, children)
        images = _timed_images(samples, spec)
        loads = []
        for i, child in enumerate(children):
            loads.append(child.call("load", child.engine.runtime, child.engine.path, child.engine.options, images))
            progress("load", (i + 1) / len(children))
        warm = [child.call("warm_up") for child in children]
        with timed():
            blocks = _alternate(children, seconds, progress)
            memory = [child.call("memory") for child in children]
            layers = [child.call("layers") for child in children]
            layer_times = [child.call("layer_times") for child in children]
            rates = _throughput(children, seconds, progress)
        outputs = _evaluate(children, samples, spec, progress) if samples is not None else [None] * len(children)
    return [
        Measurement(
            load_seconds=loads[i]["seconds"],
            warm_up_seconds=warm[i],
            latency=latency_stats([ns for block in blocks[i] for ns in block]),
            ratio=paired_ratio(blocks[0], blocks[i]) if i else None,
            throughput_per_second=rates[i],
            memory=MemoryStats(**loads[i]["memory"], steady_bytes=memory[i]),
            layers=layers[i],
            layer_times_ms=layer_times[i],
            outputs=outputs[i],
        )
        for i in range(len(children))
    ]


def _hang_up(children: Sequence[_Child]) -> None:
    for child in children:
        child.hang_up()


def _timed_images(samples: SampleSet | None, spec: ModelSpec) -> np.ndarray:
    if samples is None:
        shape = (_TIMED_IMAGES, spec.channels, spec.input_size, spec.input_size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return next(batches(samples, spec, batch=_TIMED_IMAGES))


def _alternate(children: Sequence[_Child], seconds: float, progress: Callable[[str, float], None]) -> list[list[list[int]]]:
    """Blocks of run times by child and round, the children in another order each round."""
    blocks: list[list[list[int]]] = [[] for _ in children]
    rounds = max(_ROUNDS, round(seconds / _BLOCK_S))
    for number in range(rounds):
        for i in _order(len(children), number):
            blocks[i].append(children[i].call("block", seconds / rounds, -(-MIN_RUNS // rounds)))
        progress("latency", (number + 1) / rounds)
    return blocks


def _order(count: int, number: int) -> list[int]:
    """The order of the children in a round: turned every second round, reversed in between.

    Turning alone keeps the cyclic order, so that a child would always run after the same one. Turning at every round and
    reversing at odd ones would cancel where there are two.
    """
    order: list[int] = np.roll(np.arange(count), number // 2).tolist()
    return order[::-1] if number % 2 else order


def _throughput(children: Sequence[_Child], seconds: float, progress: Callable[[str, float], None]) -> list[float]:
    """Images per second by child: the median of a few windows, alternated as the blocks are."""
    for child in children:
        child.call("open_throughput", min(seconds, _THROUGHPUT_WARM_UP_S))
    rates: list[list[float]] = [[] for _ in children]
    for number in range(_WINDOWS):
        for i in _order(len(children), number):
            rates[i].append(children[i].call("throughput", seconds / _WINDOWS))
        progress("throughput", (number + 1) / _WINDOWS)
    return [float(np.median(windows)) for windows in rates]


def _evaluate(
    children: Sequence[_Child], samples: SampleSet, spec: ModelSpec, progress: Callable[[str, float], None]
) -> list[Outputs | None]:
    """The outputs of every engine for every image: decoded once here, in chunks, and given to all children."""
    image_bytes = spec.channels * spec.input_size**2 * 4
    chunk = max(1, min(1000, _CHUNK_BYTES // image_bytes))
    logits: list[list[np.ndarray]] = [[] for _ in children]
    # by chunk and output
    signal: list[list[float]] = []
    noise: list[list[list[float]]] = [[] for _ in children]
    finite = [True] * len(children)
    done = 0
    for images in batches(samples, spec, batch=chunk):
        for child in children:
            child.start("evaluate", images)
        results: list[list[np.ndarray]] = [child.result() for child in children]
        signal.append(_powers(results[0]))
        for i, arrays in enumerate(results):
            finite[i] &= all(bool(np.isfinite(array).all()) for array in arrays)
            noise[i].append(_powers([a - b for a, b in zip(arrays, results[0], strict=True)]) if i else [0.0] * len(arrays))
            if arrays[0].ndim == 2:
                logits[i].append(arrays[0])
        done += len(images)
        progress("accuracy", done / len(samples))
    return [
        Outputs(
            logits=np.concatenate(logits[i]) if logits[i] else None,
            signal_power=_sums(signal),
            noise_power=_sums(noise[i]),
            finite=finite[i],
        )
        for i in range(len(children))
    ]


def _powers(arrays: Sequence[np.ndarray]) -> list[float]:
    return [float(np.vdot(flat, flat)) for flat in (array.astype(np.float64).ravel() for array in arrays)]


def _sums(chunks: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """By output, over the chunks."""
    return tuple(sum(powers) for powers in zip(*chunks, strict=True))
