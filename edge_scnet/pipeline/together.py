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
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build
from edge_scnet.profiler.measure import Measurement
from edge_scnet.profiler.process import EngineFile
from edge_scnet.profiler.rounds import ratio_of_rounds, time_in_rounds
from edge_scnet.report import comparison
from edge_scnet.report.comparison import Answer
from edge_scnet.stats.figures import LatencyStats, MemoryStats, RatioStats
from edge_scnet.stats.timing import latency_stats


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedEngine:
    """One engine's figures, and how it compares with the first."""

    # "A", "B", ...
    name: str
    path: str
    sha256: str
    precision: str
    latency: LatencyStats
    # the first's time over this one's
    ratio: RatioStats | None
    # "A": the first is, "B": this one is
    faster: Answer | None
    # None where it was interrupted before
    throughput_per_second: float | None
    memory: MemoryStats
    # one sentence for people
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTogether:
    """What was timed, on which machine."""

    created_utc: str
    engines: tuple[TimedEngine, ...]
    environment: dict[str, Any]
    # False: interrupted
    complete: bool


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
    builds = [_engine(Path(path), chr(ord("A") + i)) for i, path in enumerate(paths)]
    shapes = {spec.input_shape for _, spec in builds}
    if len(shapes) > 1:
        listed = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise ArtifactError(
            f"the engines take inputs of different shapes ({listed}): their times cannot be"
            " compared"
        )
    engines = [engine for engine, _ in builds]
    events.stage("profile", ", ".join(f"{engine.name} {engine.path}" for engine in engines))
    rounds, complete = time_in_rounds(engines, builds[0][1], seconds=seconds, events=events)
    events.done(f"{len(engines)} engines, {len(rounds)} rounds of new processes", reused=False)
    return TimedTogether(
        created_utc=now_utc(),
        engines=tuple(
            _timed(
                engine,
                [measurements[i] for measurements in rounds],
                ratio_of_rounds(rounds, i) if i else None,
            )
            for i, engine in enumerate(engines)
        ),
        environment=environment.collect().to_dict(),
        complete=complete,
    )


def _engine(path: Path, name: str) -> tuple[EngineFile, ModelSpec]:
    """The engine of a build folder, or an engine's file, under another name."""
    folder, chosen = open_build(path)
    engine = engine_of(folder, chosen or first_engine(folder))
    return replace(engine, name=name), folder.manifest.model


def _timed(
    engine: EngineFile, measurements: Sequence[Measurement], ratio: RatioStats | None
) -> TimedEngine:
    """The figures of an engine over all rounds.

    Args:
        ratio: the first engine's time over this one's; None: this is the first.
    """
    return TimedEngine(
        name=engine.name,
        path=str(engine.path),
        sha256=engine.sha256,
        precision=engine.options.precision,
        latency=latency_stats([block for m in measurements for block in m.blocks]),
        ratio=ratio,
        faster=None if ratio is None else comparison.faster(ratio),
        throughput_per_second=measurements[0].throughput_per_second,
        memory=measurements[0].memory,
        message=("the first" if ratio is None else comparison.ratio_words(ratio, "A", engine.name)),
    )
