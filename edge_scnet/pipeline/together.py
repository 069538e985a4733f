"""Engines of any builds timed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.clock import now_utc
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.files import sha256_file
from edge_scnet.core.foreign import file_fault
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import ArtifactError
from edge_scnet.machine import environment
from edge_scnet.pipeline.build_folder import engine_of, first_engine, open_build, target_of
from edge_scnet.pipeline.context import heads_in, heads_of_file
from edge_scnet.pipeline.foreign import ForeignEngine, is_foreign, open_foreign
from edge_scnet.pipeline.judging import Judging, with_said
from edge_scnet.pipeline.judging_together import JudgedEngine, judging_of_all
from edge_scnet.pipeline.numbers_taken import check_numbers
from edge_scnet.pipeline.profile_foreign import (
    check_same_inputs,
    fed_with,
    open_for_engine,
    with_fitting_labels,
)
from edge_scnet.pipeline.rows import check_finite, stats_of
from edge_scnet.profiler.measure import Measurement, MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile
from edge_scnet.profiler.rounds import ratio_of_rounds, time_in_rounds
from edge_scnet.report import comparison
from edge_scnet.report.metric_comparison import Answer, Comparison, to_first
from edge_scnet.stats.figures import AccuracyStats, LatencyStats, MemoryStats, RatioStats
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
    # its outputs against the first's, which stands where reports have FP32; None without an
    # evaluation set
    accuracy: AccuracyStats | None = None
    # the figures of it, and what they say
    figures: tuple[Comparison, ...] = ()
    # its throughput over the first's, of one round of processes: no answer follows from it
    throughput_ratio: RatioStats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedTogether:
    """What was timed, on which machine."""

    created_utc: str
    engines: tuple[TimedEngine, ...]
    environment: dict[str, Any]
    # False: interrupted
    complete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """An engine, and what it takes."""

    file: EngineFile
    spec: ModelSpec
    # of samples: `fed_with`
    taken: tuple[object, ...]
    # what is known of the outputs
    heads: tuple[OutputHead, ...]
    # of an engine without a manifest
    foreign: ForeignEngine | None = None
    # of one with
    folder: BuildFolder | None = None

    @property
    def judged(self) -> JudgedEngine:
        """What is known of its task."""
        return JudgedEngine(
            name=self.file.name,
            path=self.file.path,
            spec=self.spec,
            heads=self.heads,
            is_built=self.foreign is None,
        )


def time_together(  # noqa: PLR0913  the command's options, by keyword
    paths: Sequence[Path | str],
    *,
    seconds: float = 3.0,
    evaluation: Path | str | None = None,
    model_options: ModelOptions | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    events: Events | None = None,
) -> TimedTogether:
    """Times engines in alternated blocks.

    Args:
        paths: build folders (their INT8 engine is taken), engine files in them, or engines without
            a manifest; of the same input shape.
        seconds: timed seconds per engine for latency, and again for throughput.
        evaluation: samples on which the others' outputs are compared with the first's, by the
            task of the builds.
        model_options: the task; of engines without a manifest also the preprocessing, and sizes
            that are open.
        skip_bad: leave out images that cannot be read.
        ignore_labels: compare without labels.

    Raises:
        ArtifactError: fewer than two, no engines, inputs of different shapes, or of different
            tasks where outputs are compared.
        DataError: samples that cannot be used.
        TargetError: an engine is of another device. BackendError: an engine fails.
    """
    events = events or Silent()
    if len(paths) < 2:
        raise ArtifactError(
            "--interleave compares two or more engines", hint="edge-scnet profile A B --interleave"
        )
    options = model_options or ModelOptions()
    taken = [_engine(Path(path), chr(ord("A") + i), options) for i, path in enumerate(paths)]
    check_same_inputs([item.foreign for item in taken if item.foreign is not None])
    shapes = {item.spec.input_shape for item in taken}
    if len(shapes) > 1:
        listed = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise ArtifactError(
            f"the engines take inputs of different shapes ({listed}): their times cannot be"
            " compared",
            hint="profile them one by one: edge-scnet profile PATH",
        )
    if len({item.taken for item in taken}) > 1:
        raise ArtifactError(
            "the engines take batches, types or further inputs of different kinds: they cannot be"
            " fed with the same samples",
            hint="profile them one by one: edge-scnet profile PATH",
        )
    samples = _samples(taken[0], evaluation, options, skip_bad, ignore_labels)
    judging = None
    if samples is not None:
        judging = judging_of_all([item.judged for item in taken], samples, events)
    engines, spec = [item.file for item in taken], taken[0].spec
    for engine in engines:
        if engine.cold:
            events.warn(engine.cold)
    events.stage("profile", ", ".join(f"{engine.name} {engine.path}" for engine in engines))
    rounds, complete = time_in_rounds(engines, spec, seconds=seconds, events=events)
    events.done(f"{len(engines)} engines, {len(rounds)} rounds of new processes", reused=False)
    _check_unchanged(engines)
    compared = _compared(engines, judging, spec, events) if complete else [None] * len(engines)
    return TimedTogether(
        created_utc=now_utc(),
        engines=tuple(
            _timed(
                engine,
                [measurements[i] for measurements in rounds],
                ratio_of_rounds(rounds, i) if i else None,
                compared[i],
            )
            for i, engine in enumerate(engines)
        ),
        environment=environment.collect().to_dict(),
        complete=complete,
    )


def _check_unchanged(engines: Sequence[EngineFile]) -> None:
    """Refuses figures of engines that were replaced while they were timed.

    Raises:
        ArtifactError: names the engine.
    """
    for engine in engines:
        fault = file_fault(engine.path)
        if fault or sha256_file(engine.path) != engine.sha256:
            raise ArtifactError(
                f"{engine.path} was {'removed' if fault else 'replaced'} while it was timed",
                hint="wait until nothing builds there, and run it again",
            )


def _engine(path: Path, name: str, options: ModelOptions) -> _Taken:
    """The engine of a build folder, or an engine's file, under another name."""
    if is_foreign(path):
        engine = open_foreign(path, options, name=name, role="other")
        taken = fed_with(engine.spec, engine.batch, engine.spec.dtype)
        return _Taken(
            file=engine.file,
            spec=engine.spec,
            taken=taken,
            heads=heads_of_file(path),
            foreign=engine,
        )
    folder, chosen = open_build(path)
    built = engine_of(folder, chosen or first_engine(folder))
    spec = with_said(folder.manifest.model, options)
    taken = fed_with(spec, target_of(folder).batch)
    return _Taken(
        file=replace(built, name=name),
        spec=spec,
        taken=taken,
        heads=heads_in(folder),
        folder=folder,
    )


def _samples(
    first: _Taken,
    where: Path | str | None,
    options: ModelOptions,
    skip_bad: bool,
    ignore_labels: bool,
) -> SampleSet | None:
    """The samples that outputs are compared on, as the first engine takes them.

    Raises:
        DataError: they cannot be used.
    """
    if where is None:
        return None
    if first.foreign is not None:
        return open_for_engine(
            where, first.foreign, options, skip_bad=skip_bad, ignore_labels=ignore_labels
        )
    samples = open_samples(
        where,
        model=first.spec,
        role="evaluation",
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
    )
    if first.folder is not None:
        check_numbers(samples, first.folder)
    return samples


def _compared(
    engines: Sequence[EngineFile], judging: Judging | None, spec: ModelSpec, events: Events
) -> list[AccuracyStats | None]:
    """What the others' outputs are worth against the first's, at the task.

    Raises:
        ArtifactError: their outputs cannot be compared. DataError: they do not fit the task.
    """
    if judging is None:
        return [None] * len(engines)
    samples, evaluator = judging.samples, judging.evaluator
    settings = MeasureSettings(seconds=0.0, by_layer=False, throughput=False, evaluator=evaluator)
    try:
        measured = measure(engines, samples, spec, settings, progress=events.progress)
        outputs = [measurement.outputs for measurement in measured.engines]
        reference = outputs[0]
        fitting = with_fitting_labels(samples, reference)
        assert reference is not None and fitting is not None
        for engine, own in zip(engines, outputs, strict=True):
            if own is not None:
                check_finite(engine.name, engine.path.name, own)
        return [stats_of(own, reference, fitting, evaluator) if own else None for own in outputs]
    except ValueError as error:
        raise ArtifactError(
            f"the engines' outputs differ in number or shape: {error}",
            hint="they cannot be compared: leave --eval out",
        ) from error


def _timed(
    engine: EngineFile,
    measurements: Sequence[Measurement],
    ratio: RatioStats | None,
    accuracy: AccuracyStats | None,
) -> TimedEngine:
    """The figures of an engine over all rounds.

    Args:
        ratio: the first engine's time over this one's; None: this is the first.
        accuracy: its outputs against the first's.
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
        accuracy=accuracy,
        figures=(() if accuracy is None or ratio is None else to_first(accuracy, engine.name)),
        throughput_ratio=measurements[0].throughput_ratio,
    )
