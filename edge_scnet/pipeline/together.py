"""Engines of any builds timed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.core.clock import now_utc
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.machine import environment
from edge_scnet.pipeline import build_folder as engines
from edge_scnet.profiler.process import EngineFile
from edge_scnet.profiler.rounds import ratio_of_rounds, time_in_rounds
from edge_scnet.report import comparison
from edge_scnet.report.comparison import Answer
from edge_scnet.stats.figures import LatencyStats, MemoryStats, RatioStats
from edge_scnet.stats.timing import latency_stats


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


def time_together(
    paths: Sequence[Path | str], *, seconds: float = 3.0, events: Events | None = None
) -> TimedTogether:
    """Times engines in alternated blocks.

    Args:
        paths: build folders (their INT8 engine is taken) or engine files in them; of the same input
            shape.
        seconds: timed seconds per engine for latency, and again for throughput.

    Raises:
        ArtifactError: fewer than two, no engines, or inputs of different shapes.
        TargetError: an engine is of another device. BackendError: an engine fails.
    """
    events = events or Silent()
    if len(paths) < 2:
        raise ArtifactError(
            "--interleave compares two or more engines", hint="edge-scnet profile A B --interleave"
        )
    found = [_engine(Path(path), chr(ord("A") + i)) for i, path in enumerate(paths)]
    shapes = {(spec.channels, spec.input_size) for _, spec in found}
    if len(shapes) > 1:
        listed = ", ".join(f"{c} x {size} x {size}" for c, size in sorted(shapes))
        raise ArtifactError(
            f"the engines take inputs of different shapes ({listed}): their times cannot be"
            " compared"
        )
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
                name=engine.name,
                path=str(engine.path),
                sha256=engine.sha256,
                precision=engine.options.precision,
                latency=latency_stats([block for m in own for block in m.blocks]),
                ratio=ratio,
                faster=None if ratio is None else comparison.faster(ratio),
                throughput_per_second=own[0].throughput_per_second,
                memory=own[0].memory,
                message=(
                    "the first"
                    if ratio is None
                    else comparison.ratio_words(ratio, "A", engine.name)
                ),
            )
        )
    now = now_utc()
    return TimedTogether(
        created_utc=now,
        engines=tuple(rows),
        environment=environment.collect().to_dict(),
        complete=complete,
    )


def _engine(path: Path, name: str) -> tuple[EngineFile, ModelSpec]:
    folder, chosen = engines.open_build(path)
    file = engines.engine_of(folder, chosen or engines.first_engine(folder))
    return replace(file, name=name), folder.manifest.model
