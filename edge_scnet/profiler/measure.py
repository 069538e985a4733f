"""Measures engines: each in a fresh child process of its own, timed blocks alternated between the
children.

Owns the parent's end: starting the children (`child.py`), whose turn it is, and what the figures
become. The children stay alive while the parent alternates short blocks between them, so that drift
of the machine (20 to 30 % within minutes on shared ones) cancels in ratios. Nothing else runs while
a block is timed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet, subset
from edge_scnet.machine.load import LoadWatch, MachineLoad
from edge_scnet.profiler.child import STAGES, WarmUp
from edge_scnet.profiler.outputs import Outputs, evaluate
from edge_scnet.profiler.process import Child, EngineFile, timed_images
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.stats.figures import EndToEnd, LatencyStats, MemoryStats, RatioStats
from edge_scnet.stats.steadiness import memory_growth
from edge_scnet.stats.timing import end_to_end, latency_stats, paired_ratio

MIN_RUNS = 100
_BLOCK_S = 0.15
_THROUGHPUT_WARM_UP_S = 0.3
_ROUNDS = 12
_WINDOWS = 3  # throughput
_END_TO_END_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one child measured. Of an interrupted run what came before: then throughput and what
    follows it may be missing.
    """

    load_seconds: float
    warm_up: WarmUp
    blocks: tuple[tuple[int, ...], ...]  # run times in ns
    latency: LatencyStats
    ratio: (
        RatioStats | None
    )  # of the first engine's time over this one's: above 1 is faster than it
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


class _Figures:
    """What is known so far of all children: what an interrupted run keeps."""

    def __init__(self, count: int) -> None:
        self.blocks: list[list[list[int]]] = [[] for _ in range(count)]
        self.resident: list[list[int]] = [[] for _ in range(count)]  # bytes after each block
        self.layer_times: list[dict[str, float]] = [{} for _ in range(count)]
        self.end_to_end: list[EndToEnd | None] = [None] * count
        self.rates: list[float | None] = [None] * count
        self.outputs: Sequence[Outputs | None] = [None] * count
        self.load: MachineLoad | None = None

    @property
    def rounds(self) -> int:
        """That every child has ended."""
        return min(map(len, self.resident))


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
        samples: the evaluation set, or None: then timed on random images, no logits and nothing end
            to end.
        seconds: timed seconds per engine for latency, and again for throughput; a tenth of them end
            to end.
        progress: called with what is being done and the share of it that is done, 0 to 1.
        timed: entered when all are warm and left when all are timed.
        by_layer, throughput: measure these too.
        keep_partial: where it is interrupted after a round of timed blocks, return what there is
            instead of raising.

    Raises:
        BackendError: an engine cannot be loaded, fails, or its process died.
        DataError: an evaluation image cannot be read.
        KeyboardInterrupt: interrupted, and nothing to keep.
    """
    with contextlib.ExitStack() as stack:
        children: list[Child] = []
        for engine in engines:
            children.append(Child(engine))
            stack.callback(children[-1].close)
        # first all connections, then the waiting: busy children end side by side
        stack.callback(_hang_up, children)
        images = timed_images(samples, spec)
        loads = []
        for i, child in enumerate(children):
            loads.append(
                child.call(
                    "load", child.engine.runtime, child.engine.path, child.engine.options, images
                )
            )
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
                figures.outputs = evaluate(children, samples, spec, progress)
        except KeyboardInterrupt:
            if not keep_partial or not figures.rounds:
                raise
            complete = False
            figures.load = figures.load or watch.load()
            for child in children:  # in the middle of a call, and nobody waits for its answer
                child.kill()
    rows = [
        _measurement(figures, i, loads[i], warm[i], layers[i], settings[i])
        for i in range(len(children))
    ]
    return Measured(engines=tuple(rows), load=figures.load, complete=complete)


def _measurement(
    figures: _Figures,
    i: int,
    load: dict[str, Any],
    warm_up: WarmUp,
    layers: tuple[ExecutedLayer, ...],
    settings: dict[str, str],
) -> Measurement:
    blocks, first = (figures.blocks[k][: figures.rounds] for k in (i, 0))
    resident = figures.resident[i][: figures.rounds]
    per_run, growth, p = memory_growth(list(itertools.accumulate(map(len, blocks))), resident)
    return Measurement(
        load_seconds=load["seconds"],
        warm_up=warm_up,
        blocks=tuple(map(tuple, blocks)),
        latency=latency_stats(blocks),
        ratio=paired_ratio(first, blocks) if i else None,
        memory=MemoryStats(
            **load["memory"],
            steady_bytes=resident[-1],
            growth_bytes_per_run=per_run,
            growth_bytes=growth,
            growth_p=p,
        ),
        layers=layers,
        settings=settings,
        layer_times_ms=figures.layer_times[i],
        end_to_end=figures.end_to_end[i],
        throughput_per_second=figures.rates[i],
        outputs=figures.outputs[i],
    )


def _hang_up(children: Sequence[Child]) -> None:
    for child in children:
        child.hang_up()


def _alternate(
    children: Sequence[Child], seconds: float, progress: Progress, figures: _Figures
) -> None:
    """Blocks of run times by child and round, the children in another order each round."""
    rounds = max(_ROUNDS, round(seconds / _BLOCK_S))
    for number in range(rounds):
        for i in _order(len(children), number):
            times, resident = children[i].call(
                "timed_block", seconds / rounds, -(-MIN_RUNS // rounds)
            )
            figures.blocks[i].append(times)
            figures.resident[i].append(resident)
        progress("latency", (number + 1) / rounds, sum(map(len, figures.blocks[0])), "runs each")


def _order(count: int, number: int) -> list[int]:
    """The order of the children in a round: turned every second round, reversed in between.

    Turning alone keeps the cyclic order, so that a child would always run after the same one.
    Turning at every round and reversing at odd ones would cancel where there are two.
    """
    order: list[int] = np.roll(np.arange(count), number // 2).tolist()
    return order[::-1] if number % 2 else order


def _each(children: Sequence[Child], method: str, what: str, progress: Progress) -> list[Any]:
    """One child's answer after the other's."""
    answers = []
    for child in children:
        answers.append(child.call(method))
        progress(what, len(answers) / len(children))
    return answers


def _end_to_end(
    children: Sequence[Child],
    samples: SampleSet,
    spec: ModelSpec,
    seconds: float,
    progress: Progress,
) -> list[EndToEnd | None]:
    """Windows in turn, as of the throughput: so many seconds of each child in all."""
    spent: list[list[tuple[int, ...]]] = [[] for _ in children]
    for number in range(_WINDOWS):
        for i in _order(len(children), number):
            spent[i] += children[i].call("end_to_end", samples, spec, seconds / _WINDOWS)
        progress("end to end", (number + 1) / _WINDOWS)
    return [
        end_to_end(rows, STAGES, images=child.batch)
        for child, rows in zip(children, spent, strict=True)
    ]


def _throughput(
    children: Sequence[Child], seconds: float, progress: Progress
) -> list[float | None]:
    """Images per second by child: the median of a few windows, alternated as the blocks are."""
    for child in children:
        child.call("open_throughput", min(seconds, _THROUGHPUT_WARM_UP_S))
    rates: list[list[float]] = [[] for _ in children]
    for number in range(_WINDOWS):
        for i in _order(len(children), number):
            rates[i].append(children[i].call("throughput", seconds / _WINDOWS))
        progress("throughput", (number + 1) / _WINDOWS)
    return [float(np.median(windows)) for windows in rates]
