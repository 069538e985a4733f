"""Measures engines: each in a fresh child process of its own, timed blocks alternated between the children.

Owns the parent's end: starting the children (`child.py`), whose turn it is, and what the figures become. The children stay
alive while the parent alternates short blocks between them, so that drift of the machine (20 to 30 % within minutes on shared
ones) cancels in ratios. Nothing else runs while a block is timed.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet import errors
from edge_scnet.core.events import Progress
from edge_scnet.data.samples import SampleSet, batches, subset
from edge_scnet.errors import BackendError
from edge_scnet.machine.load import LoadWatch
from edge_scnet.models.zoo import ModelSpec
from edge_scnet.profiler.child import STAGES, WarmUp
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions
from edge_scnet.stats.accuracy import end_to_end, latency_stats, paired_ratio
from edge_scnet.stats.figures import EndToEnd, LatencyStats, MachineLoad, MemoryStats, RatioStats
from edge_scnet.stats.steadiness import memory_growth

MIN_RUNS = 100
_BLOCK_S = 0.15
_THROUGHPUT_WARM_UP_S = 0.3
_ROUNDS = 12
_WINDOWS = 3  # throughput
_TIMED_IMAGES = 16
_CHUNK_BYTES = 32 << 20
_END_TO_END_IMAGES = 64
# what a child was asked for, in a user's words
_STAGES = {
    "timed_block": "latency", "warm_up": "warm-up", "evaluate": "accuracy", "end_to_end": "end to end",
    "open_throughput": "throughput", "layers": "load", "settings": "load", "layer_times": "time by layer",
}  # fmt: skip
# not -m: that puts the working directory first on sys.path, where a user's random.py would break the child and not the parent
_CHILD = "import sys; sys.path[:] = {path!a}; import edge_scnet.profiler.child; edge_scnet.profiler.child.main({fd})"


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
    own_power: tuple[float, ...] = ()  # by output: sum of squares of this engine's
    names: tuple[str, ...] = ()  # of the outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one child measured. Of an interrupted run what came before: then throughput and what follows it may be missing."""

    load_seconds: float
    warm_up: WarmUp
    blocks: tuple[tuple[int, ...], ...]  # run times in ns
    latency: LatencyStats
    ratio: RatioStats | None  # of the first engine's time over this one's: above 1 is faster than it
    memory: MemoryStats
    layers: tuple[ExecutedLayer, ...]
    settings: dict[str, str]  # how the runtime runs it: threads, streams, hints
    layer_times_ms: dict[str, float]  # median by layer name; empty where the runtime does not tell
    end_to_end: EndToEnd | None  # None without images
    throughput_per_second: float | None
    outputs: Outputs | None  # over the evaluation set; None without one


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All engines' figures, in the order given."""

    engines: tuple[Measurement, ...]
    load: MachineLoad | None  # what else the machine did while they were timed
    complete: bool  # False: interrupted


class _Child:
    """The parent's end of one engine's process."""

    def __init__(self, engine: EngineFile) -> None:
        self.engine = engine
        self.batch = 1
        self._doing = "start"
        parent, child = socket.socketpair()
        # its own session: Ctrl-C reaches the parent alone, which then ends the children in order
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD.format(path=sys.path, fd=child.fileno())],
            pass_fds=[child.fileno()], start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        child.close()
        self._connection = Connection(parent.detach())

    def start(self, method: str, *args: Any) -> None:
        self._doing = method
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

    @property
    def process_id(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()

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
        stage = _STAGES.get(self._doing, self._doing)
        what = f"{self.engine.name}: the process measuring {self.engine.path.name}"
        return BackendError(f"{what} ended with {cause} in stage '{stage}'", hint=hint)


class _Figures:
    """What is known so far of all children: what an interrupted run keeps."""

    def __init__(self, count: int) -> None:
        self.blocks: list[list[list[int]]] = [[] for _ in range(count)]
        self.resident: list[list[int]] = [[] for _ in range(count)]  # bytes after each block
        self.layer_times: list[dict[str, float]] = [{} for _ in range(count)]
        self.end_to_end: list[EndToEnd | None] = [None] * count
        self.rates: list[float | None] = [None] * count
        self.outputs: list[Outputs | None] = [None] * count
        self.load: MachineLoad | None = None

    @property
    def rounds(self) -> int:
        """That every child has ended."""
        return min(map(len, self.resident))


@contextlib.contextmanager
def engine_process(engine: EngineFile, spec: ModelSpec) -> Iterator[_Child]:
    """A process with the engine loaded; its `call` reaches `child.Server`.

    Raises:
        EdgeError: the engine cannot be loaded, or its process died.
    """
    child = _Child(engine)
    try:
        child.call("load", engine.runtime, engine.path, engine.options, _timed_images(None, spec))
        yield child
    finally:
        child.close()


def measure(
    engines: Sequence[EngineFile],
    samples: SampleSet | None,
    spec: ModelSpec,
    *,
    seconds: float = 3.0,
    progress: Progress = lambda what, share, count=0, unit="": None,
    timed: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
    keep_partial: bool = False,
    by_layer: bool = True,
    throughput: bool = True,
) -> Measured:
    """Measures engines together; ratios are relative to the first.

    Args:
        samples: the evaluation set, or None: then timed on random images, no logits and nothing end to end.
        seconds: timed seconds per engine for latency, and again for throughput; a tenth of them end to end.
        progress: called with what is being done and the share of it that is done, 0 to 1.
        timed: entered when all are warm and left when all are timed.
        by_layer, throughput: measure these too.
        keep_partial: where it is interrupted after a round of timed blocks, return what there is instead of raising.

    Raises:
        BackendError: an engine cannot be loaded, fails, or its process died.
        DataError: an evaluation image cannot be read.
        KeyboardInterrupt: interrupted, and nothing to keep.
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
            child.batch = loads[-1]["batch"]
            progress("load", (i + 1) / len(children))
        warm: list[WarmUp] = _each(children, "warm_up", "warm-up", progress)
        layers = [child.call("layers") for child in children]
        settings = [child.call("settings") for child in children]
        figures, complete = _Figures(len(children)), True
        try:
            watch = LoadWatch([child.process_id for child in children])
            with timed():
                _alternate(children, seconds, progress, figures)
                figures.load = watch.load()
                if samples is not None:
                    few = subset(samples, _END_TO_END_IMAGES)
                    figures.end_to_end = _end_to_end(children, few, spec, seconds / 10, progress)
                if by_layer:
                    figures.layer_times = _each(children, "layer_times", "layers", progress)
                if throughput:
                    figures.rates = _throughput(children, seconds, progress)
            if samples is not None:
                figures.outputs = _evaluate(children, samples, spec, progress)
        except KeyboardInterrupt:
            if not keep_partial or not figures.rounds:
                raise
            complete = False
            figures.load = figures.load or watch.load()
            for child in children:  # in the middle of a call, and nobody waits for its answer
                child.kill()
    rows = [_measurement(figures, i, loads[i], warm[i], layers[i], settings[i]) for i in range(len(children))]
    return Measured(engines=tuple(rows), load=figures.load, complete=complete)


def _measurement(
    figures: _Figures, i: int, load: dict[str, Any], warm_up: WarmUp, layers: tuple[ExecutedLayer, ...],
    settings: dict[str, str],
) -> Measurement:  # fmt: skip
    blocks, first = (figures.blocks[k][: figures.rounds] for k in (i, 0))
    resident = figures.resident[i][: figures.rounds]
    per_run, growth, p = memory_growth(list(itertools.accumulate(map(len, blocks))), resident)
    return Measurement(
        load_seconds=load["seconds"], warm_up=warm_up, blocks=tuple(map(tuple, blocks)), latency=latency_stats(blocks),
        ratio=paired_ratio(first, blocks) if i else None,
        memory=MemoryStats(
            **load["memory"], steady_bytes=resident[-1], growth_bytes_per_run=per_run, growth_bytes=growth, growth_p=p
        ),
        layers=layers, settings=settings, layer_times_ms=figures.layer_times[i], end_to_end=figures.end_to_end[i],
        throughput_per_second=figures.rates[i], outputs=figures.outputs[i],
    )  # fmt: skip


def _hang_up(children: Sequence[_Child]) -> None:
    for child in children:
        child.hang_up()


def _timed_images(samples: SampleSet | None, spec: ModelSpec) -> np.ndarray:
    if samples is None:
        shape = (_TIMED_IMAGES, spec.channels, spec.input_size, spec.input_size)
        return np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    return next(batches(samples, spec, batch=_TIMED_IMAGES))


def _alternate(children: Sequence[_Child], seconds: float, progress: Progress, figures: _Figures) -> None:
    """Blocks of run times by child and round, the children in another order each round."""
    rounds = max(_ROUNDS, round(seconds / _BLOCK_S))
    for number in range(rounds):
        for i in _order(len(children), number):
            times, resident = children[i].call("timed_block", seconds / rounds, -(-MIN_RUNS // rounds))
            figures.blocks[i].append(times)
            figures.resident[i].append(resident)
        progress("latency", (number + 1) / rounds, sum(map(len, figures.blocks[0])), "runs each")


def _order(count: int, number: int) -> list[int]:
    """The order of the children in a round: turned every second round, reversed in between.

    Turning alone keeps the cyclic order, so that a child would always run after the same one. Turning at every round and
    reversing at odd ones would cancel where there are two.
    """
    order: list[int] = np.roll(np.arange(count), number // 2).tolist()
    return order[::-1] if number % 2 else order


def _each(children: Sequence[_Child], method: str, what: str, progress: Progress) -> list[Any]:
    """One child's answer after the other's."""
    answers = []
    for child in children:
        answers.append(child.call(method))
        progress(what, len(answers) / len(children))
    return answers


def _end_to_end(
    children: Sequence[_Child], samples: SampleSet, spec: ModelSpec, seconds: float, progress: Progress
) -> list[EndToEnd | None]:
    """Windows in turn, as of the throughput: so many seconds of each child in all."""
    spent: list[list[tuple[int, ...]]] = [[] for _ in children]
    for number in range(_WINDOWS):
        for i in _order(len(children), number):
            spent[i] += children[i].call("end_to_end", samples, spec, seconds / _WINDOWS)
        progress("end to end", (number + 1) / _WINDOWS)
    return [end_to_end(rows, STAGES, images=child.batch) for child, rows in zip(children, spent, strict=True)]


def _throughput(children: Sequence[_Child], seconds: float, progress: Progress) -> list[float | None]:
    """Images per second by child: the median of a few windows, alternated as the blocks are."""
    for child in children:
        child.call("open_throughput", min(seconds, _THROUGHPUT_WARM_UP_S))
    rates: list[list[float]] = [[] for _ in children]
    for number in range(_WINDOWS):
        for i in _order(len(children), number):
            rates[i].append(children[i].call("throughput", seconds / _WINDOWS))
        progress("throughput", (number + 1) / _WINDOWS)
    return [float(np.median(windows)) for windows in rates]


def _evaluate(children: Sequence[_Child], samples: SampleSet, spec: ModelSpec, progress: Progress) -> list[Outputs | None]:
    """The outputs of every engine for every image: decoded once here, in chunks, and given to all children.

    The next chunk is decoded and preprocessed while the children work on this one, so that they do not wait for it.
    """
    image_bytes = spec.channels * spec.input_size**2 * 4
    chunk = max(1, min(1000, _CHUNK_BYTES // image_bytes))
    logits: list[list[np.ndarray]] = [[] for _ in children]
    # by chunk and output
    signal: list[list[float]] = []
    own: list[list[list[float]]] = [[] for _ in children]
    noise: list[list[list[float]]] = [[] for _ in children]
    finite = [True] * len(children)
    done = 0
    names = [child.call("output_names") for child in children]
    with ThreadPoolExecutor(1) as ahead:
        prepared = batches(samples, spec, batch=chunk)
        images = next(prepared, None)
        _start_all(children, images)
        while images is not None:
            count, following = len(images), ahead.submit(next, prepared, None)
            results: list[list[np.ndarray]] = [child.result() for child in children]
            images = following.result()
            _start_all(children, images)  # what follows is done while they work
            signal.append(_powers(results[0]))
            for i, arrays in enumerate(results):
                finite[i] &= all(bool(np.isfinite(array).all()) for array in arrays)
                own[i].append(_powers(arrays) if i else signal[-1])
                noise[i].append(_powers([a - b for a, b in zip(arrays, results[0], strict=True)]) if i else [0.0] * len(arrays))
                if arrays[0].ndim == 2:
                    logits[i].append(arrays[0])
            done += count
            progress("accuracy", done / len(samples), done, "images")
    return [
        Outputs(
            logits=np.concatenate(logits[i]) if logits[i] else None, signal_power=_sums(signal), own_power=_sums(own[i]),
            noise_power=_sums(noise[i]), finite=finite[i], names=names[i],
        )
        for i in range(len(children))
    ]  # fmt: skip


def _start_all(children: Sequence[_Child], images: np.ndarray | None) -> None:
    if images is not None:
        for child in children:
            child.start("evaluate", images)


def _powers(arrays: Sequence[np.ndarray]) -> list[float]:
    return [float(np.vdot(flat, flat)) for flat in (array.astype(np.float64).ravel() for array in arrays)]


def _sums(chunks: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """By output, over the chunks."""
    return tuple(sum(powers) for powers in zip(*chunks, strict=True))
