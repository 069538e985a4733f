"""The process that measures one engine, at the other end of the connection of `process.py`.

Owns the timed loop and the memory figures: this process is started for one engine, so its peak
memory belongs to that engine. It is started with the parent's own `sys.path`, and answers calls
until the parent hangs up.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import inputs_of, load_pixels
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError, EdgeError
from edge_scnet.machine.memory import (
    peak_resident_bytes,
    reset_peak,
    resident_bytes,
    used_memory_bytes,
)
from edge_scnet.profiler.ahead import time_window
from edge_scnet.profiler.whole_batches import by_image, cycled
from edge_scnet.runtimes import usable_runtime
from edge_scnet.runtimes.base import ExecutedLayer, OpenOptions, Session
from edge_scnet.stats.accuracy import top_k

# Warm-up ends when the median of a block is within 5 % of the block before, or after this long.
WARM_UP_LIMIT_S, _STABLE_WITHIN = 3.0, 0.05
_WARM_BLOCK_S, _WARM_RUNS = 0.1, 5
# The stages that `Server.end_to_end` times.
STAGES = ("decode", "preprocess", "infer", "top-k")
# Untimed before a window of throughput, at most: after a switch caches and requests are empty. An
# engine of which no inference fits into it fills them within the first.
_REFILL_S = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUp:
    """How an engine came to a steady speed."""

    seconds: float
    runs: int
    # False: its time still changed when the limit was up
    stable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """An engine as it was loaded, and what memory that took."""

    seconds: float
    batch: int
    # resident memory of the process with the runtime's libraries, before the engine
    before_load_bytes: int
    # the highest resident memory until the first inference was done
    load_peak_bytes: int
    # what the engine takes on the GPU; None for an engine on the CPU
    device_activation_bytes: int | None
    # of the whole machine, from before the engine to after its first inference; None for an engine
    # on the CPU, whose all is in the process's memory
    ram_delta_bytes: int | None


class Server:
    """The child's end: one engine, one session, answers to the parent's calls."""

    def __init__(self) -> None:
        """Begins without an engine; `load` comes before everything else."""
        self._stack = contextlib.ExitStack()

    def load(self, runtime: str, path: Path, options: OpenOptions, timed: np.ndarray) -> Loaded:
        """Loads the engine, and runs it once.

        Args:
            timed: a batch of any number of images to time it with.

        Raises:
            BackendError: the runtime cannot load it. TargetError: it cannot run `options.batch`.
        """
        self._runtime, self._path, self._options = usable_runtime(runtime), path, options
        self._graph = options.cuda_graph is True
        self._runtime.preload()
        before, used = resident_bytes(), used_memory_bytes()
        # importing libraries must not count as loading the engine
        reset_peak()
        started = time.perf_counter_ns()
        self._session: Session = self._stack.enter_context(self._runtime.open(path, options))
        seconds = (time.perf_counter_ns() - started) / 1e9
        batch = self._session.input_shape[0]
        first = self._session.infer(cycled(timed, batch))
        peak = peak_resident_bytes()
        # a session may write its next outputs over these
        self._first = ([np.array(output) for output in first], min(batch, len(timed)))
        # now, not after timing: by then the other engines are loaded too
        activations = self._session.device_bytes()
        used_now = None if activations is None else used_memory_bytes()
        # views of one array, made after the peak is read: the measuring's own copies are not the
        # engine's memory
        extended = cycled(timed, len(timed) + batch - 1)
        self._timed = [extended[i : i + batch] for i in range(len(timed))]
        return Loaded(
            seconds=seconds,
            batch=batch,
            before_load_bytes=before,
            load_peak_bytes=peak,
            device_activation_bytes=activations,
            ram_delta_bytes=None if used_now is None or used is None else used_now - used,
        )

    def close(self) -> None:
        """Lets go of the engine."""
        self._stack.close()

    def warm_up(self) -> WarmUp:
        """Runs the engine untimed until its speed is steady, or the limit is up."""
        started, runs = time.perf_counter(), 0
        medians: list[float] = []
        stable = False
        while len(medians) < 2 or (not stable and time.perf_counter() - started < WARM_UP_LIMIT_S):
            times = self.block(_WARM_BLOCK_S, _WARM_RUNS)
            medians.append(float(np.median(times)))
            runs += len(times) + 1
            stable = (
                len(medians) > 1 and abs(medians[-1] - medians[-2]) < _STABLE_WITHIN * medians[-2]
            )
        return WarmUp(seconds=time.perf_counter() - started, runs=runs, stable=stable)

    def record_graph(self) -> str | None:
        """Records an inference as a CUDA graph and warms it up; why it cannot be, or None."""
        fault = self._session.record_graph()
        if fault is None:
            self.use_graph(on=True)
            self.block(_WARM_BLOCK_S, _WARM_RUNS)
            self.use_graph(on=False)
        return fault

    def use_graph(self, on: bool) -> None:
        """Chooses how every further inference is enqueued, those of throughput too."""
        self._graph = on
        self._session.use_graph(on=on)

    def timed_block(
        self, seconds: float, min_runs: int, graph: bool | None = None
    ) -> tuple[list[int], int]:
        """`block`, and the resident memory after it in bytes.

        Args:
            graph: with the recorded CUDA graph or without; None: as it is.
        """
        if graph is not None:
            self.use_graph(on=graph)
        return self.block(seconds, min_runs), resident_bytes()

    def block(self, seconds: float, min_runs: int) -> list[int]:
        """Times runs for so long, at least so many.

        Returns:
            Run times in nanoseconds, round `Session.infer` only, host to host.
        """
        infer, images, clock = self._session.infer, self._timed, time.perf_counter_ns
        times: list[int] = []
        infer(images[-1])  # untimed: after a switch the caches hold another engine
        with _no_gc():
            end = clock() + int(seconds * 1e9)
            while len(times) < min_runs or clock() < end:
                image = images[len(times) % len(images)]
                started = clock()
                infer(image)
                times.append(clock() - started)
        return times

    def settings(self) -> dict[str, str]:
        """What the runtime says of how it runs: threads, streams, hints."""
        return self._session.settings()

    def output_names(self) -> tuple[str, ...]:
        """The names of the outputs, in their order."""
        return self._session.output_names

    def open_outputs(self) -> tuple[bool, ...]:
        """By output, whether its size depends on the data."""
        return self._session.open_outputs

    def first_outputs(self) -> list[np.ndarray]:
        """By output, what the engine gave for the first timed images as it was loaded."""
        outputs, count = self._first
        batch = self._session.input_shape[0]
        return [
            by_image([output], batch, is_open=is_open)[:count]
            for output, is_open in zip(outputs, self._session.open_outputs, strict=True)
        ]

    def layers(self) -> tuple[ExecutedLayer, ...]:
        """The layers as they execute; empty where the runtime does not tell."""
        return tuple(self._session.executed_precisions())

    def layer_times(self) -> dict[str, float]:
        """Median ms by layer, where the session can tell; it is of no other use after this."""
        return self._session.layer_times(self._timed)

    def end_to_end(
        self, samples: SampleSet, spec: ModelSpec, seconds: float
    ) -> list[tuple[int, ...]]:
        """Times batch after batch from the file to the first classes, at least two.

        Args:
            seconds: for so long.

        Returns:
            By batch: ns of each of `STAGES`.

        Raises:
            DataError: an image cannot be read.
        """
        batch, clock = self._session.input_shape[0], time.perf_counter_ns
        spent: list[tuple[int, ...]] = []
        end = clock() + int(seconds * 1e9)
        while len(spent) < 3 or clock() < end:
            indices = [(len(spent) * batch + i) % len(samples) for i in range(batch)]
            marks = [clock()]
            pixels = [load_pixels(samples, i, spec) for i in indices]
            marks.append(clock())
            images = inputs_of(pixels, spec)
            marks.append(clock())
            scores = self._session.infer(images)[0]
            marks.append(clock())
            if scores.ndim == 2:
                top_k(scores, 5)
            marks.append(clock())
            spent.append(tuple(b - a for a, b in itertools.pairwise(marks)))
        return spent[1:]  # the first follows another engine's, and the very first imports Pillow

    def open_ahead(self, threads: int) -> None:
        """Opens the engine again for `ahead`, and runs it in.

        Args:
            threads: of the engine; 0: its own.
        """
        options = replace(self._options, cuda_graph=self._graph)
        if threads:  # the blob was compiled for others
            options = replace(options, threads=threads, blob=None)
        self._reopen(options)
        self.block(_WARM_BLOCK_S, _WARM_RUNS)

    def ahead(self, samples: SampleSet, spec: ModelSpec, seconds: float) -> tuple[float, float]:
        """`ahead.time_window` with the engine as `open_ahead` opened it."""
        return time_window(self._session, samples, spec, seconds)

    def _reopen(self, options: OpenOptions) -> None:
        """Opens the engine another way."""
        # the session is freed first: two compiled engines would share caches and threads
        del self._session
        self._stack.close()
        self._session = self._stack.enter_context(self._runtime.open(self._path, options))

    def open_throughput(self, warm_up_seconds: float) -> float:
        """Opens the engine again for `throughput`, and runs it in.

        Returns:
            Seconds that an inference took.
        """
        self._reopen(replace(self._options, mode="throughput", cuda_graph=self._graph))
        runs, seconds = self._infer_for(warm_up_seconds)
        self._run_seconds = seconds / runs
        return self._run_seconds

    def throughput(self, seconds: float) -> float:
        """Images per second with the runtime's asynchronous requests, after `open_throughput`."""
        refill = min(_REFILL_S, seconds / 2)
        if self._run_seconds <= refill:
            self._infer_for(refill)
        with _no_gc():
            runs, spent = self._infer_for(seconds)
        return runs * self._session.input_shape[0] / spent

    def _infer_for(self, seconds: float) -> tuple[int, float]:
        """Infers the timed batches in turn for so long, at least one.

        Returns:
            The number of inferences, and the seconds until the last was done.
        """
        done = 0

        def count(_: int, __: list[np.ndarray]) -> None:
            nonlocal done
            done += 1

        started = time.perf_counter()
        self._session.infer_many(self._until(seconds), count)
        return done, time.perf_counter() - started

    def _until(self, seconds: float) -> Iterator[np.ndarray]:
        """The timed batches in turn for so long, at least one."""
        end = time.perf_counter() + seconds
        for batch in itertools.cycle(self._timed):
            yield batch
            if time.perf_counter() >= end:
                return

    def open_evaluation(self) -> None:
        """Opens the engine again where its figures would depend on the number of cores.

        Then each inference has one thread, and as many run side by side as there are cores.
        """
        if self._runtime.sums_by_threads:
            del self._session
            self._stack.close()
            options = replace(self._options, mode="shared", threads=1)
            self._session = self._stack.enter_context(self._runtime.open(self._path, options))

    def evaluate(self, images: np.ndarray) -> list[np.ndarray]:
        """The outputs for a batch of any number of images N: by output, N along the first axis.

        An output without a batch axis counts as one image's, or one batch's where the engine takes
        several at once.

        Raises:
            BackendError: a batch gave no output.
        """
        batch = self._session.input_shape[0]
        padded = cycled(images, -(-len(images) // batch) * batch)
        results: list[list[np.ndarray] | None] = [None] * (len(padded) // batch)

        def keep(i: int, outputs: list[np.ndarray]) -> None:
            results[i] = outputs

        self._session.infer_many(
            (padded[i : i + batch] for i in range(0, len(padded), batch)), keep
        )
        complete = [outputs for outputs in results if outputs is not None]
        if len(complete) < len(results):
            raise BackendError(
                f"{self._path.name}: {len(results) - len(complete)} of {len(results)} batches gave"
                " no output"
            )
        outputs = zip(*complete, strict=True)
        return [
            by_image(parts, batch, is_open=is_open)[: len(images)]
            for parts, is_open in zip(outputs, self._session.open_outputs, strict=True)
        ]


@contextlib.contextmanager
def _no_gc() -> Iterator[None]:
    """Switches garbage collection off.

    A full one takes milliseconds, which would be counted as the engine's.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def serve(connection: Connection) -> None:
    """Answers calls until the parent closes the connection."""
    server = Server()
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


def main(fd: int) -> NoReturn:
    """The child: serves the parent at the other end of the socket `fd`."""
    serve(Connection(fd))
    os._exit(0)  # runtimes' threads must not hold the process up
