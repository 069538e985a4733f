"""Engines at other batches and numbers of threads than they were built for, all timed in turn.

The engine of another batch is the built one, reshaped as it is loaded: what it computes is compared
with the built one first.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_scnet.core.events import Events
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ParityError, TargetError
from edge_scnet.machine.linux import usable_cores
from edge_scnet.machine.load import MachineLoad
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile, engine_process
from edge_scnet.runtimes.base import ExecutedLayer
from edge_scnet.stats.figures import SweepRow
from edge_scnet.stats.timing import paired_ratio

_MOST_ENGINES = 32  # each is a process of its own, and all are alive at once
_MOST_BATCH = 1024
_KERNELS = frozenset({"Convolution", "FullyConnected"})
# Sums in another order, in FP32 by so much of the outputs' range. Quantized or in BF16 each of them
# may round to another code, and two right engines of a deep network can be 13 dB apart
# (compile.py).
_MAX_DIFFERENCE, _LEAST_SQNR_DB = 1e-3, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What was timed."""

    rows: tuple[SweepRow, ...]
    load: MachineLoad | None  # what else the machine did meanwhile
    complete: bool  # False: interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One engine at one batch and number of threads."""

    engine: EngineFile
    batch: int
    threads: int  # 0: the runtime's default


def plan(
    engines: Sequence[EngineFile],
    *,
    batches: Sequence[int],
    threads: Sequence[int],
    built: int,
    spec: ModelSpec,
) -> tuple[Cell, ...]:
    """Every engine at every batch with every number of threads, proven to compute what it was built
    to.

    Args:
        built: the batch that the engines were built for; taken where no `batches` are given.

    Raises:
        TargetError: more threads than cores, too many cells, or a runtime whose engines have a
            fixed batch or own threads.
        ParityError: an engine computes something else at another batch.
    """
    cores = usable_cores()
    if threads and max(threads) > cores:
        raise TargetError(
            f"{max(threads)} threads are asked for, and this process may run on {cores} cores",
            hint=f"--threads {cores}",
        )
    if batches and max(batches) > _MOST_BATCH:
        raise TargetError(
            f"a batch of {max(batches)} is asked for; at most {_MOST_BATCH}", hint="--batch 1,2,4,8"
        )
    asked = list(
        itertools.product(
            dict.fromkeys(batches or (built,)), dict.fromkeys(threads or (0,)), engines
        )
    )
    if len(asked) > _MOST_ENGINES:
        raise TargetError(
            f"{len(asked)} engines would be alive at once ({len(engines)} at every batch and number"
            f" of threads); at most {_MOST_ENGINES}",
            hint="sweep fewer at a time: --batch 1,4 --threads 1,2",
        )
    others = [batch for batch in dict.fromkeys(batches) if batch != built]
    for engine in engines:
        _check(engine, others, built, max(threads, default=0), spec)
    return tuple(Cell(engine=engine, batch=batch, threads=count) for batch, count, engine in asked)


def run(cells: Sequence[Cell], spec: ModelSpec, *, seconds: float, events: Events) -> Sweep:
    """Times all cells in turn, on random images; `speedup` is each engine's to the first of its
    batch and threads.

    Raises:
        BackendError: an engine fails.
        KeyboardInterrupt: interrupted before anything was timed.
    """
    events.stage("sweep", f"{len(cells)} engines in turn")
    files = [_as_engine(cell) for cell in cells]
    measured = measure(
        files,
        None,
        spec,
        MeasureSettings(seconds=seconds, by_layer=False, keep_partial=True),
        progress=events.progress,
    )
    rows = []
    for cell, m in zip(cells, measured.engines, strict=True):
        first = next(
            i
            for i, other in enumerate(cells)
            if (other.batch, other.threads) == (cell.batch, cell.threads)
        )
        own = cells[first] == cell
        rows.append(
            SweepRow(
                engine=cell.engine.name,
                batch=cell.batch,
                threads=cell.threads,
                p50_ms=m.latency.p50_ms,
                p90_ms=m.latency.p90_ms,
                p99_ms=m.latency.p99_ms,
                p50_low_ms=m.latency.p50_low_ms,
                p50_high_ms=m.latency.p50_high_ms,
                steadiness=m.latency.steadiness,
                throughput_per_second=m.throughput_per_second,
                steady_bytes=m.memory.steady_bytes,
                speedup=None if own else paired_ratio(measured.engines[first].blocks, m.blocks),
            )
        )
    events.done(f"{len(cells)} engines", reused=False)
    return Sweep(rows=tuple(rows), load=measured.load, complete=measured.complete)


def _as_engine(cell: Cell) -> EngineFile:
    options = replace(
        cell.engine.options, batch=cell.batch, threads=cell.threads or cell.engine.options.threads
    )
    return replace(cell.engine, name=f"{cell.engine.name}, batch {cell.batch}", options=options)


def _check(
    engine: EngineFile, batches: Sequence[int], built: int, threads: int, spec: ModelSpec
) -> None:
    """In processes of their own, as everything that loads an engine to measure it."""
    if threads:
        options = replace(engine.options, threads=threads)
        with engine_process(replace(engine, options=options), spec) as child:
            if child.call("settings").get("threads") != str(threads):
                raise TargetError(
                    f"{engine.path.name}: its runtime ({engine.runtime}) takes no number of"
                    " threads",
                    hint="leave --threads out",
                )
    if not batches:
        return
    images = _different_images(min(max(2, *batches), 16), spec)
    with engine_process(engine, spec) as child:
        expected, precisions = child.call("evaluate", images), _precisions(child.call("layers"))
        names = child.call("output_names")
    for batch in batches:
        reshaped = replace(engine, options=replace(engine.options, batch=batch))
        with engine_process(reshaped, spec) as child:
            found, executed = child.call("evaluate", images), _precisions(child.call("layers"))
        where = f"{engine.path.name} at batch {batch} differs from itself at batch {built}"
        hint = f"edge-scnet build --batch {batch}"
        if executed != precisions:
            raise ParityError(
                f"{where}: it executes {dict(executed)} operations, built {dict(precisions)}",
                hint=hint,
            )
        for name, right, value in zip(names, expected, found, strict=True):
            exact = set(precisions) <= {"f32"}
            if exact and not float(np.abs(value - right).max()) <= _MAX_DIFFERENCE * max(
                float(np.ptp(right)), 1e-12
            ):
                raise ParityError(
                    f"{where} by more than {_MAX_DIFFERENCE:g} of the range of {name}", hint=hint
                )
            noise, signal = (
                float(np.square(array.astype(np.float64)).sum()) for array in (value - right, right)
            )
            if not exact and not noise <= signal / 10 ** (_LEAST_SQNR_DB / 10):
                raise ParityError(
                    f"{where}: {name} keeps less than {_LEAST_SQNR_DB:g} dB", hint=hint
                )


def _different_images(count: int, spec: ModelSpec) -> np.ndarray:
    """Coarse patterns, each lighter and stronger than the one before: noise alone would look all
    alike to a classifier.
    """
    rng, side = np.random.default_rng(0), spec.input_size
    coarse = (
        rng.standard_normal((count, spec.channels, 4, 4))
        .repeat(-(-side // 4), axis=2)
        .repeat(-(-side // 4), axis=3)
    )
    steps = np.linspace(-1, 1, count).reshape(-1, 1, 1, 1)
    images: np.ndarray = (coarse[:, :, :side, :side] * np.exp(steps) + steps).astype(np.float32)
    return images


def _precisions(layers: Sequence[ExecutedLayer]) -> Counter[str]:
    """How many convolutions and products execute in which precision; copies around them may be
    others at another batch.
    """
    return Counter(layer.precision for layer in layers if layer.kind in _KERNELS)
