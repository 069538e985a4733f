"""Engines at other batches and numbers of threads than they were built for, all timed in turn.

The engine of another batch is the built one, reshaped as it is loaded: what it computes is compared with the built one first.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from edge_scnet.backends import usable_backend
from edge_scnet.environment import usable_cores
from edge_scnet.errors import ParityError, TargetError
from edge_scnet.events import Events
from edge_scnet.figures import SweepRow
from edge_scnet.metrics import paired_ratio
from edge_scnet.profiling import EngineFile, measure
from edge_scnet.zoo import ModelSpec

_MOST_ENGINES = 32  # each is a process of its own, and all are alive at once
_MAX_DIFFERENCE = 1e-3  # of the outputs' range: sums in another order, no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One engine at one batch and number of threads."""

    engine: EngineFile
    batch: int
    threads: int  # 0: the runtime's default


def plan(
    engines: Sequence[EngineFile], *, batches: Sequence[int], threads: Sequence[int], built: int, spec: ModelSpec
) -> tuple[Cell, ...]:
    """Every engine at every batch with every number of threads, proven to compute what it was built to.

    Args:
        built: the batch that the engines were built for; taken where no `batches` are given.

    Raises:
        TargetError: more threads than cores, too many cells, or a runtime whose engines have a fixed batch.
        ParityError: an engine computes something else at another batch.
    """
    cores = usable_cores()
    if threads and max(threads) > cores:
        raise TargetError(
            f"{max(threads)} threads are asked for, and this process may run on {cores} cores", hint=f"--threads {cores}"
        )
    asked = list(itertools.product(dict.fromkeys(batches or (built,)), dict.fromkeys(threads or (0,)), engines))
    if len(asked) > _MOST_ENGINES:
        raise TargetError(
            f"{len(asked)} engines would be alive at once ({len(engines)} at every batch and number of threads); at most "
            f"{_MOST_ENGINES}",
            hint="sweep fewer at a time: --batch 1,4 --threads 1,2",
        )
    for engine in engines:
        _check(engine, [batch for batch in dict.fromkeys(batches) if batch != built], built, spec)
    return tuple(Cell(engine=engine, batch=batch, threads=count) for batch, count, engine in asked)


def run(cells: Sequence[Cell], spec: ModelSpec, *, seconds: float, events: Events) -> tuple[SweepRow, ...]:
    """Times all cells in turn, on random images; `speedup` is each engine's to the first of its batch and threads.

    Raises:
        BackendError: an engine fails.
    """
    events.stage("sweep", f"{len(cells)} engines in turn")
    files = [_as_engine(cell) for cell in cells]
    measured = measure(files, None, spec, seconds=seconds, progress=events.progress).engines
    rows = []
    for cell, m in zip(cells, measured, strict=True):
        first = next(i for i, other in enumerate(cells) if (other.batch, other.threads) == (cell.batch, cell.threads))
        own = cells[first] == cell
        rows.append(
            SweepRow(
                engine=cell.engine.name, batch=cell.batch, threads=cell.threads, p50_ms=m.latency.p50_ms,
                p90_ms=m.latency.p90_ms, p99_ms=m.latency.p99_ms, throughput_per_second=m.throughput_per_second,
                speedup=None if own else paired_ratio(measured[first].blocks, m.blocks), steady_bytes=m.memory.steady_bytes,
            )
        )  # fmt: skip
    events.done(f"{len(cells)} engines", reused=False)
    return tuple(rows)


def _as_engine(cell: Cell) -> EngineFile:
    options = replace(cell.engine.options, batch=cell.batch, threads=cell.threads or cell.engine.options.threads)
    return replace(cell.engine, name=f"{cell.engine.name}, batch {cell.batch}", options=options)


def _check(engine: EngineFile, batches: Sequence[int], built: int, spec: ModelSpec) -> None:
    if not batches:
        return
    shape = (-(-max(batches) // built) * built, spec.channels, spec.input_size, spec.input_size)
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    backend = usable_backend(engine.runtime)
    with backend.open(engine.path, engine.options) as session:
        parts = [[np.array(a) for a in session.infer(images[i : i + built])] for i in range(0, len(images), built)]
    expected = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    for batch in batches:
        with backend.open(engine.path, replace(engine.options, batch=batch)) as session:
            found = [np.array(a) for a in session.infer(images[:batch])]
        for name, right, value in zip(session.output_names, expected, found, strict=True):
            difference = float(np.abs(value - right[:batch]).max()) / max(float(np.ptp(right)), 1e-12)
            if not difference <= _MAX_DIFFERENCE:
                raise ParityError(
                    f"{engine.path.name} at batch {batch} differs from itself at batch {built} by {difference:.2g} of the "
                    f"range of {name}; at most {_MAX_DIFFERENCE:g}",
                    hint=f"edge-scnet build --batch {batch}",
                )
