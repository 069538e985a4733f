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
from edge_scnet.core.feeds import as_taken, random_batch
from edge_scnet.core.spec import ModelSpec, engine_spec, takes_codes
from edge_scnet.errors import ParityError, TargetError
from edge_scnet.machine.linux import cpu_quota_cores, quota_threads, usable_cores
from edge_scnet.machine.load import MachineLoad
from edge_scnet.profiler.measure import Measurement, MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile, engine_process
from edge_scnet.stats.figures import SweepRow
from edge_scnet.stats.timing import paired_ratio

# Each is a process of its own, and all are alive at once.
_MOST_ENGINES = 32
_MOST_BATCH = 1024
_KERNELS = frozenset({"Convolution", "FullyConnected"})
# Sums in another order, in FP32 by so much of the outputs' range. Quantized or in BF16 each of them
# may round to another code, and two right engines of a deep network can be 13 dB apart
# (compile/quality.py).
_MAX_DIFFERENCE, _LEAST_SQNR_DB = 1e-3, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What was timed."""

    rows: tuple[SweepRow, ...]
    # what else the machine did meanwhile
    load: MachineLoad | None
    # False: interrupted
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One engine at one batch and number of threads."""

    engine: EngineFile
    batch: int
    # 0: the runtime's default
    threads: int


def plan(
    engines: Sequence[EngineFile],
    *,
    batches: Sequence[int],
    threads: Sequence[int],
    built: int,
    spec: ModelSpec,
) -> tuple[Cell, ...]:
    """Every engine at every batch with every number of threads.

    At another batch than the built one each is compared with itself as it was built.

    Args:
        built: the batch that the engines were built for; taken where no `batches` are given.

    Raises:
        TargetError: more threads than cores, too many cells, or a runtime whose engines have a
            fixed batch or own threads.
        ParityError: an engine computes something else at another batch.
    """
    if threads:
        _check_fit(max(threads))
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
        if threads:
            _check_threads(engine, max(threads), spec)
        if others:
            _check_batches(engine, others, built, spec)
    return tuple(Cell(engine=engine, batch=batch, threads=count) for batch, count, engine in asked)


def _check_fit(threads: int) -> None:
    """Refuses more threads than this process has cores, or than it is granted the time of.

    Raises:
        TargetError: says how many there can be.
    """
    cores = usable_cores()
    granted = quota_threads(cores) or cores
    if threads > cores:
        raise TargetError(
            f"{threads} threads are asked for, and this process may run on {cores} cores",
            hint=f"--threads {granted}",
        )
    if threads > granted:
        raise TargetError(
            f"{threads} threads are asked for, and the control group grants the time of"
            f" {cpu_quota_cores():g} of {cores} cores: the kernel would stop them for a part of the"
            " time",
            hint=f"--threads {granted}; or a larger quota: docker run --cpus {threads}",
        )


def run(cells: Sequence[Cell], spec: ModelSpec, *, seconds: float, events: Events) -> Sweep:
    """Times all cells in turn, on random images.

    The speedup of an engine is to the first of its batch and threads.

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
    # by batch and threads: the first engine's figures
    references: dict[tuple[int, int], Measurement] = {}
    for cell, measurement in zip(cells, measured.engines, strict=True):
        reference = references.setdefault((cell.batch, cell.threads), measurement)
        rows.append(_row(cell, measurement, reference))
    events.done(f"{len(cells)} engines", reused=False)
    return Sweep(rows=tuple(rows), load=measured.load, complete=measured.complete)


def _row(cell: Cell, measurement: Measurement, reference: Measurement) -> SweepRow:
    latency, is_reference = measurement.latency, measurement is reference
    return SweepRow(
        engine=cell.engine.name,
        batch=cell.batch,
        threads=cell.threads,
        p50_ms=latency.p50_ms,
        p90_ms=latency.p90_ms,
        p99_ms=latency.p99_ms,
        p50_low_ms=latency.p50_low_ms,
        p50_high_ms=latency.p50_high_ms,
        steadiness=latency.steadiness,
        throughput_per_second=measurement.throughput_per_second,
        steady_bytes=measurement.memory.steady_bytes,
        speedup=None if is_reference else paired_ratio(reference.blocks, measurement.blocks),
    )


def _as_engine(cell: Cell) -> EngineFile:
    options = replace(
        cell.engine.options, batch=cell.batch, threads=cell.threads or cell.engine.options.threads
    )
    return replace(cell.engine, name=f"{cell.engine.name}, batch {cell.batch}", options=options)


def _check_threads(engine: EngineFile, threads: int, spec: ModelSpec) -> None:
    """Refuses a runtime that does not take the number of threads that it is given."""
    options = replace(engine.options, threads=threads)
    with engine_process(replace(engine, options=options), spec) as child:
        if child.call("settings").get("threads") != str(threads):
            raise TargetError(
                f"{engine.path.name}: its runtime ({engine.runtime}) takes no number of threads",
                hint="leave --threads out",
            )


def _check_batches(engine: EngineFile, batches: Sequence[int], built: int, spec: ModelSpec) -> None:
    """Compares an engine at other batches with itself as it was built.

    Each is loaded in a process of its own, as everything that is measured.
    """
    taken = engine_spec(spec, engine.input)
    images = _different_images(min(max(2, *batches), 16), taken)
    as_built = _answers(engine, images, spec)
    for batch in batches:
        options = replace(engine.options, batch=batch)
        reshaped = _answers(replace(engine, options=options), images, spec)
        difference = _difference(reshaped, as_built)
        if difference is not None:
            raise ParityError(
                f"{engine.path.name} at batch {batch} differs from itself at batch"
                f" {built}{difference}",
                hint=f"edge-scnet build --batch {batch}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """What an engine computes, and how."""

    outputs: list[np.ndarray]
    names: tuple[str, ...]
    # how many convolutions and products execute in which precision; copies around them may be
    # others at another batch
    precisions: Counter[str]


def _answers(engine: EngineFile, images: np.ndarray, spec: ModelSpec) -> _Answers:
    with engine_process(engine, spec) as child:
        return _Answers(
            outputs=child.call("evaluate", images),
            names=child.call("output_names"),
            precisions=Counter(
                layer.precision for layer in child.call("layers") if layer.kind in _KERNELS
            ),
        )


def _difference(reshaped: _Answers, as_built: _Answers) -> str | None:
    """In what an engine differs from itself, as the end of a sentence; None: in nothing."""
    if reshaped.precisions != as_built.precisions:
        return (
            f": it executes {dict(reshaped.precisions)} operations, built"
            f" {dict(as_built.precisions)}"
        )
    is_exact = set(as_built.precisions) <= {"f32"}
    outputs = zip(as_built.names, as_built.outputs, reshaped.outputs, strict=True)
    for name, expected, output in outputs:
        if is_exact:
            # written so that NaN is a difference
            limit = _MAX_DIFFERENCE * max(float(np.ptp(expected)), 1e-12)
            if not float(np.abs(output - expected).max()) <= limit:
                return f" by more than {_MAX_DIFFERENCE:g} of the range of {name}"
        else:
            noise, signal = _power(output - expected), _power(expected)
            if not noise <= signal / 10 ** (_LEAST_SQNR_DB / 10):
                return f": {name} keeps less than {_LEAST_SQNR_DB:g} dB"
    return None


def _power(array: np.ndarray) -> float:
    return float(np.square(array.astype(np.float64)).sum())


def _different_images(count: int, spec: ModelSpec) -> np.ndarray:
    """Coarse patterns, each lighter and stronger than the one before.

    Noise alone would look all alike to a classifier. What is no picture is noise all the same.
    """
    if not spec.takes_pictures:
        return random_batch(spec, count, seed=0)
    rng, height, width = np.random.default_rng(0), spec.height, spec.width
    coarse = (
        rng.standard_normal((count, spec.channels, 4, 4))
        .repeat(-(-height // 4), axis=2)
        .repeat(-(-width // 4), axis=3)
    )
    steps = np.linspace(-1, 1, count).reshape(-1, 1, 1, 1)
    images: np.ndarray = (coarse[:, :, :height, :width] * np.exp(steps) + steps).astype(np.float32)
    if takes_codes(spec):
        images = images * 32 + 128
    return as_taken(images, spec)
