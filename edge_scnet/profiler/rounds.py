"""Engines of any builds timed together, and an answer for each.

Blocks in turn, so that drift of the machine cancels, and in new processes again and again: where an engine's memory happens to
lie makes one process 1 to 2 % faster than another of the very same engine, for as long as it lives. The ratio of each round of
processes is one value, and the interval is of those, not of the blocks within them.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.core.events import Events, Silent
from edge_scnet.errors import ArtifactError
from edge_scnet.machine import environment
from edge_scnet.models.zoo import ModelSpec
from edge_scnet.pipeline import build_folder as engines
from edge_scnet.profiler.measure import EngineFile, Measurement, measure
from edge_scnet.report import comparison
from edge_scnet.report.comparison import Answer
from edge_scnet.stats.accuracy import latency_stats, paired_ratio, ratio_of
from edge_scnet.stats.figures import LatencyStats, MemoryStats, RatioStats

ROUNDS = 12  # the fewest of which a 99 % interval of the median leaves out the lowest and the highest: one may be disturbed


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEngine:
    """One engine's figures, and how it compares with the first."""

    name: str  # "A", "B", ...
    path: str
    sha256: str
    precision: str
    latency: LatencyStats
    ratio: RatioStats | None  # the first's time over this one's
    faster: Answer | None  # "A": the first is, "B": this one is
    throughput_per_second: float | None  # None where it was interrupted before
    memory: MemoryStats
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTogether:
    """What was timed, on which machine."""

    created_utc: str
    engines: tuple[TimedEngine, ...]
    environment: dict[str, Any]
    complete: bool  # False: interrupted


def time_together(paths: Sequence[Path | str], *, seconds: float = 3.0, events: Events | None = None) -> TimedTogether:
    """Times engines in alternated blocks.

    Args:
        paths: build folders (their INT8 engine is taken) or engine files in them; of the same input shape.
        seconds: timed seconds per engine for latency, and again for throughput.

    Raises:
        ArtifactError: fewer than two, no engines, or inputs of different shapes.
        TargetError: an engine is of another device. BackendError: an engine fails.
    """
    events = events or Silent()
    if len(paths) < 2:
        raise ArtifactError("--interleave compares two or more engines", hint="edge-scnet profile A B --interleave")
    found = [_engine(Path(path), chr(ord("A") + i)) for i, path in enumerate(paths)]
    shapes = {(spec.channels, spec.input_size) for _, spec in found}
    if len(shapes) > 1:
        listed = ", ".join(f"{c} x {size} x {size}" for c, size in sorted(shapes))
        raise ArtifactError(f"the engines take inputs of different shapes ({listed}): their times cannot be compared")
    files = [engine for engine, _ in found]
    events.stage("profile", ", ".join(f"{engine.name} {engine.path}" for engine in files))
    rounds, complete = time_in_rounds(files, found[0][1], seconds=seconds, events=events)
    events.done(f"{len(files)} engines, {len(rounds)} rounds of new processes", reused=False)
    rows = []
    for i, engine in enumerate(files):
        own = [figures[i] for figures in rounds]
        ratio = ratio_of_rounds(rounds, i) if i else None
        rows.append(
            TimedEngine(
                name=engine.name, path=str(engine.path), sha256=engine.sha256, precision=engine.options.precision,
                latency=latency_stats([block for m in own for block in m.blocks]), ratio=ratio,
                faster=None if ratio is None else comparison.faster(ratio),
                throughput_per_second=own[0].throughput_per_second, memory=own[0].memory,
                message="the first" if ratio is None else comparison.ratio_words(ratio, "A", engine.name),
            )
        )  # fmt: skip
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return TimedTogether(created_utc=now, engines=tuple(rows), environment=environment.collect().to_dict(), complete=complete)


def time_in_rounds(
    files: Sequence[EngineFile], spec: ModelSpec, *, seconds: float, events: Events
) -> tuple[list[tuple[Measurement, ...]], bool]:
    """The engines' figures by round, each of new processes that are started in another order; whether all rounds were made.

    Args:
        seconds: timed seconds per engine for latency, all rounds together; throughput is measured in the first.

    Raises:
        BackendError: an engine fails. KeyboardInterrupt: interrupted before anything was timed.
    """
    rounds: list[tuple[Measurement, ...]] = []
    for number in range(ROUNDS):

        def progress(what: str, share: float, count: int = 0, unit: str = "", *, done: int = number) -> None:
            if what == "latency":
                events.progress("rounds", (done + share) / ROUNDS)

        order = list(range(len(files)))[:: -1 if number % 2 else 1]
        try:
            measured = measure(
                [files[i] for i in order], None, spec, seconds=seconds / ROUNDS, progress=progress, keep_partial=True,
                by_layer=False, throughput=not number,
            )  # fmt: skip
        except KeyboardInterrupt:
            if not rounds:
                raise
            return rounds, False
        rounds.append(tuple(measured.engines[order.index(i)] for i in range(len(files))))
        if not measured.complete:
            return rounds, False
    return rounds, True


def ratio_of_rounds(rounds: Sequence[tuple[Measurement, ...]], i: int) -> RatioStats:
    """The first engine's time over that of engine `i`: the median of the rounds'."""
    return ratio_of([paired_ratio(figures[0].blocks, figures[i].blocks).ratio for figures in rounds])


def _engine(path: Path, name: str) -> tuple[EngineFile, ModelSpec]:
    folder, manifest, chosen = engines.open_build(path)
    file = engines.engine_of(folder, manifest, chosen or engines.first_engine(folder, manifest))
    return replace(file, name=name), manifest.model
