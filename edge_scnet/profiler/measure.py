"""Measures engines, each in a fresh child process of its own.

Owns what is measured of them and what the figures become; `turns.py` has whose turn it is,
`process.py` and `child.py` the two ends of a child. The children stay alive while the parent
alternates short blocks between them, so that drift of the machine (20 to 30 % within minutes on
shared ones) cancels in ratios. Nothing else runs while a block is timed.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.spec import InputForm, ModelSpec, engine_spec
from edge_scnet.data.samples import SampleSet, subset
from edge_scnet.machine.load import LoadWatch, MachineLoad
from edge_scnet.profiler.child import Loaded, WarmUp
from edge_scnet.profiler.outputs import Outputs, evaluate
from edge_scnet.profiler.process import Child, EngineFile, timed_images
from edge_scnet.profiler.shared import Opened, evaluate_by, opened_by
from edge_scnet.profiler.turns import (
    measure_throughput,
    time_ahead,
    time_blocks,
    time_end_to_end,
)
from edge_scnet.profiler.ways import Ways
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.scale.pool import Pool
from edge_scnet.stats.figures import EndToEnd, GraphTimes, LatencyStats, MemoryStats, RatioStats
from edge_scnet.stats.steadiness import memory_growth
from edge_scnet.stats.timing import latency_stats, paired_ratio, rate_ratio
from edge_scnet.tasks.base import Evaluator

_END_TO_END_IMAGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureSettings:
    """What is measured of engines, and for how long."""

    # timed seconds per engine for latency, and again for throughput; a tenth of them end to end,
    # and a fifth with the next image prepared meanwhile
    seconds: float = 3.0
    # measure the time by layer
    by_layer: bool = True
    # measure the throughput
    throughput: bool = True
    # time plans of which nobody said it with and without a CUDA graph
    graphs: bool = False
    # of the task; None: the first output has classes, where it can have
    evaluator: Evaluator | None = None
    # where it is interrupted after a round of timed blocks, return what there is and do not raise
    keep_partial: bool = False
    # whose workers evaluate the engines, after all is timed; None: the processes that are timed
    pool: Pool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one child measured.

    Of an interrupted run what came before: then throughput and what follows it may be missing.
    """

    load_seconds: float
    warm_up: WarmUp
    # run times in ns
    blocks: tuple[tuple[int, ...], ...]
    latency: LatencyStats
    # of the first engine's time over this one's: above 1 is faster than it
    ratio: RatioStats | None
    memory: MemoryStats
    layers: tuple[ExecutedLayer, ...]
    # how the runtime runs it: threads, streams, hints
    settings: dict[str, str]
    # median by layer name; empty where the runtime does not tell
    layer_times_ms: dict[str, float]
    # None without pictures
    end_to_end: EndToEnd | None
    throughput_per_second: float | None
    # over the evaluation set; None without one
    outputs: Outputs | None
    # images per second by window of throughput: window i of all engines was taken in one round
    windows: tuple[float, ...] = ()
    # of this one's throughput over the first engine's: above 1 is faster than it
    throughput_ratio: RatioStats | None = None
    # of a plan that was timed with and without a CUDA graph; the faster is what is told above
    graph: GraphTimes | None = None
    # seconds that loading takes where a compiled blob is not used; None: there is none
    compiled_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All engines' figures, in the order given."""

    engines: tuple[Measurement, ...]
    # what else the machine did while they were timed
    load: MachineLoad | None
    # False: interrupted
    complete: bool


def measure(
    engines: Sequence[EngineFile],
    samples: SampleSet | None,
    spec: ModelSpec,
    settings: MeasureSettings,
    *,
    progress: Progress = lambda what, share, count=0, unit="": None,
    timed: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
) -> Measured:
    """Measures engines together; ratios are relative to the first.

    Args:
        samples: the evaluation set, or None: then timed on random images, no logits and nothing end
            to end.
        progress: called with what is being done and the share of it that is done, 0 to 1.
        timed: entered when all are warm and left when all are timed.

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
        run = _Run(children, samples, spec, settings, progress)
        run.prepare()
        complete = True
        try:
            with timed():
                run.time()
            if settings.pool is None:
                run.evaluate()
            else:
                evaluated = run.opened()
                # their memory is the workers' now
                stack.close()
                run.evaluate_by(settings.pool, evaluated)
        except KeyboardInterrupt:
            if settings.pool is not None:
                settings.pool.keep_results()
            if not settings.keep_partial or not run.rounds:
                raise
            complete = False
            run.read_machine_load()
            for child in children:  # in the middle of a call, and nobody waits for its answer
                child.kill()
    return Measured(engines=run.measurements(), load=run.machine_load, complete=complete)


class _Run:
    """What the children were asked so far, and their answers: what an interrupted run keeps."""

    def __init__(
        self,
        children: Sequence[Child],
        samples: SampleSet | None,
        spec: ModelSpec,
        settings: MeasureSettings,
        progress: Progress,
    ) -> None:
        self._children, self._samples, self._spec = children, samples, spec
        self._settings, self._progress = settings, progress
        self._loaded: list[Loaded] = []
        self._compiled: list[float | None] = []
        self._warm_ups: list[WarmUp] = []
        self._layers: list[tuple[ExecutedLayer, ...]] = []
        self._runtime_settings: list[dict[str, str]] = []
        self._ways = Ways(children)
        self._layer_times: list[dict[str, float]] = [{} for _ in children]
        self._end_to_end: Sequence[EndToEnd | None] = [None] * len(children)
        self._windows: Sequence[tuple[float, ...]] = [()] * len(children)
        self._outputs: Sequence[Outputs | None] = [None] * len(children)
        self.machine_load: MachineLoad | None = None

    @property
    def rounds(self) -> int:
        """The number of rounds of timed blocks that all children finished."""
        return self._ways.rounds

    def prepare(self) -> None:
        """Loads the engines one after the other, and warms them up."""
        images: dict[InputForm, np.ndarray] = {}
        for child in self._children:
            form = child.engine.input
            if form not in images:
                images[form] = timed_images(self._samples, engine_spec(self._spec, form))
            self._loaded.append(child.load(images[form]))
            self._compiled.append(_compiled_seconds(child.engine, images[form]))
            self._progress("load", len(self._loaded) / len(self._children))
        self._warm_ups = self._each("warm_up", "warm-up")
        if self._settings.graphs:
            self._ways.record_graphs()
        self._layers = [child.call("layers") for child in self._children]
        self._runtime_settings = [child.call("settings") for child in self._children]
        self._watch = LoadWatch([child.process_id for child in self._children])

    def time(self) -> None:
        """Times the engines: runs in blocks, then what the settings ask for."""
        seconds, children, progress = self._settings.seconds, self._children, self._progress
        ways = self._ways.all
        time_blocks(
            [children[way.engine] for way in ways],
            seconds,
            progress,
            [way.blocks for way in ways],
            graphs=[way.graph for way in ways],
        )
        self._ways.choose()
        self.read_machine_load()
        few = None
        if self._samples is not None and self._samples.arrays is None:
            few = subset(self._samples, _END_TO_END_IMAGES)
            self._end_to_end = time_end_to_end(children, few, self._spec, seconds / 10, progress)
        if self._settings.by_layer:
            self._layer_times = self._each("layer_times", "layers")
        if few is not None:  # opens the engines anew, as throughput does
            self._end_to_end = time_ahead(
                self._end_to_end, children, few, self._spec, seconds / 5, progress
            )
        if self._settings.throughput:
            self._windows = measure_throughput(children, seconds, progress)

    def evaluate(self) -> None:
        """Has the engines run on the evaluation set, where there is one."""
        if self._samples is not None:
            self._outputs = evaluate(
                self._children,
                self._samples,
                self._spec,
                self._progress,
                self._settings.evaluator,
            )

    def opened(self) -> list[Opened]:
        """What the children tell of their engines, for `evaluate_by`."""
        return [opened_by(child) for child in self._children]

    def evaluate_by(self, pool: Pool, engines: Sequence[Opened]) -> None:
        """Has workers run the engines on the evaluation set, where there is one."""
        if self._samples is not None:
            self._outputs = evaluate_by(
                pool,
                engines,
                self._samples,
                self._spec,
                self._progress,
                self._settings.evaluator,
            )

    def read_machine_load(self) -> None:
        """Reads what else the machine did since `prepare`, the first time that it can be told."""
        self.machine_load = self.machine_load or self._watch.load()

    def measurements(self) -> tuple[Measurement, ...]:
        """The figures of the finished rounds, by engine."""
        return tuple(self._measurement(i) for i in range(len(self._children)))

    def _measurement(self, i: int) -> Measurement:
        chosen, graph = self._ways.chosen(i), self._ways.graph_times(i)
        first = self._ways.chosen(0).blocks.times_ns[: self.rounds]
        blocks = chosen.blocks.times_ns[: self.rounds]
        resident = chosen.blocks.resident_bytes[: self.rounds]
        runs = list(itertools.accumulate(self._ways.runs(i)))
        per_run, growth, p = memory_growth(runs, resident)
        loaded, windows = self._loaded[i], self._windows[i]
        return Measurement(
            load_seconds=loaded.seconds,
            compiled_seconds=self._compiled[i],
            warm_up=self._warm_ups[i],
            blocks=tuple(map(tuple, blocks)),
            latency=latency_stats(blocks),
            ratio=paired_ratio(first, blocks) if i else None,
            memory=MemoryStats(
                before_load_bytes=loaded.before_load_bytes,
                load_peak_bytes=loaded.load_peak_bytes,
                device_activation_bytes=loaded.device_activation_bytes,
                ram_delta_bytes=loaded.ram_delta_bytes,
                steady_bytes=resident[-1],
                growth_bytes_per_run=per_run,
                growth_bytes=growth,
                growth_p=p,
            ),
            layers=self._layers[i],
            settings={**self._runtime_settings[i], **_graph_setting(graph)},
            graph=graph,
            layer_times_ms=self._layer_times[i],
            end_to_end=self._end_to_end[i],
            throughput_per_second=float(np.median(windows)) if windows else None,
            windows=windows,
            throughput_ratio=rate_ratio(windows, self._windows[0]) if i and windows else None,
            outputs=self._outputs[i],
        )

    def _each(self, method: str, what: str) -> list[Any]:
        """One child's answer after the other's."""
        answers = []
        for child in self._children:
            answers.append(child.call(method))
            self._progress(what, len(answers) / len(self._children))
        return answers


def _compiled_seconds(engine: EngineFile, images: np.ndarray) -> float | None:
    """Seconds that an engine with a compiled blob takes to load without it, in another process.

    None: it has none.
    """
    if not engine.options.loads_blob:
        return None
    child = Child(replace(engine, options=replace(engine.options, blob=None)))
    try:
        return child.load(images).seconds
    finally:
        child.close()


def _graph_setting(graph: GraphTimes | None) -> dict[str, str]:
    """How a plan was run whose faster way was chosen."""
    return {} if graph is None else {"CUDA graph": "yes" if graph.used else "no"}


def _hang_up(children: Sequence[Child]) -> None:
    for child in children:
        child.hang_up()
