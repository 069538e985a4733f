"""profile of engines without a manifest: measured like others, and not judged."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.clock import now_utc
from edge_scnet.core.events import Events
from edge_scnet.core.files import sha256_file
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.codes import refuse_codes
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.machine.board_watch import watching
from edge_scnet.pipeline.assemble import INTERRUPTED, evaluation_set, this_machine
from edge_scnet.pipeline.by_workers import judged_by
from edge_scnet.pipeline.context import heads_of_file
from edge_scnet.pipeline.cuda_graph import refuse_graph, with_graph
from edge_scnet.pipeline.foreign import ForeignEngine, open_foreign, runtimes_of
from edge_scnet.pipeline.input_line import say_input
from edge_scnet.pipeline.judging import Judging, judging_with
from edge_scnet.pipeline.numbers_taken import numbers_of
from edge_scnet.pipeline.rows import row_of_engine
from edge_scnet.profiler import sweep
from edge_scnet.profiler.measure import Measured, MeasureSettings, measure
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.report.run_report import SCHEMA, EngineReport, RunReport
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.shared import check_shareable
from edge_scnet.scale.executors import Workers
from edge_scnet.scale.pool import with_workers

# A report's target where there is none.
NO_TARGET = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRequest:
    """What is to be measured of engines without a manifest."""

    paths: tuple[Path, ...]
    evaluation: str | None = None
    options: ModelOptions = field(default_factory=ModelOptions)
    seconds: float = 3.0
    skip_bad: bool = False
    ignore_labels: bool = False
    # None: plans are timed with and without one
    cuda_graph: bool | None = None
    batches: tuple[int, ...] = ()
    threads: tuple[int, ...] = ()
    # who finds the accuracy; None: the processes that time the engines
    workers: Workers | None = None
    # the command line or the call, for the report
    command: str = ""


def profile_engines(request: ForeignRequest, events: Events) -> RunReport:
    """Measures engines together, each in a process of its own; ratios are to the first.

    With an evaluation set the outputs of the others are compared with the first one's, and labels
    are used where these are images x classes. There is no verdict: a single engine is compared with
    nothing, and of several nobody said which is right.

    Raises:
        ArtifactError: engines that take different inputs, or sizes that are open.
        TargetError: workers for a plan.
        DataError: images that cannot be used, or whose preprocessing is not said.
        MissingRuntimeError, BackendError: a runtime is missing, or refuses an engine.
    """
    if request.workers is not None:
        check_shareable(runtimes_of(request.paths))
    engines = _open(request)
    spec = engines[0].spec
    samples = _samples(request, engines[0], events)
    if samples is not None:
        say_input(spec, events, samples)
    files = [engine.file for engine in engines]
    sweeps = bool(request.threads) or (bool(request.batches) and not engines[0].has_open_batch)
    cells = (
        sweep.plan(
            files,
            batches=request.batches,
            threads=request.threads,
            built=engines[0].batch,
            spec=spec,
        )
        if sweeps
        else ()
    )
    judged = _judging(engines[0], samples)
    names = ", ".join(file.name for file in files)
    where = f"on {len(samples):,} samples of {samples.name}" if samples else "on random inputs"
    events.stage("profile", f"{names} {where}, no manifest")
    started = time.perf_counter()
    with (
        judged_by(request.workers, judged, files, None, events) as judging,
        watching() as watch,
    ):
        try:
            measured = measure(
                files,
                samples,
                spec,
                MeasureSettings(
                    seconds=request.seconds,
                    evaluator=judging.evaluator if judging else None,
                    graphs=True,
                    keep_partial=True,
                    pool=judging.pool if judging else None,
                ),
                progress=events.progress,
                timed=watch.timed,
            )
            rows = _rows(engines, measured, samples, judging)
        except ValueError as error:
            raise ArtifactError(
                f"the outputs of {names} differ in number or shape: {error}",
                hint="they cannot be compared: leave --eval out to time them together",
            ) from error
    samples = with_fitting_labels(samples, measured.engines[0].outputs)
    spent = {"profile": round(time.perf_counter() - started, 2)}
    if measured.complete:
        words = f"{len(rows)} engines" if len(rows) > 1 else "1 engine"
        events.done(with_workers(words, judging.pool if judging else None), reused=False)
    swept = (
        sweep.run(cells, spec, seconds=request.seconds, events=events)
        if cells and measured.complete
        else None
    )
    for file in files:
        if sha256_file(file.path) != file.sha256:
            raise ArtifactError(
                f"{file.path} was replaced while it was measured", hint="measure it again"
            )
    return RunReport(
        schema=SCHEMA,
        created_utc=now_utc(),
        command=request.command,
        model=spec.name,
        target=NO_TARGET,
        batch=engines[0].batch,
        engines=rows,
        evaluation=evaluation_set(samples) if samples is not None else None,
        findings=(),
        verdict=verdict_of(engines, samples) if measured.complete else INTERRUPTED,
        stage_seconds=spent,
        environment=this_machine(),
        complete=measured.complete and (swept is None or swept.complete),
        board=watch.state(),
        seconds=request.seconds,
        load=measured.load,
        task=judging.told.words if judging else None,
        sweep=() if swept is None else swept.rows,
        sweep_load=None if swept is None else swept.load,
        classes=spec.classes,
    )


def verdict_of(engines: Sequence[ForeignEngine], samples: SampleSet | None) -> str:
    """The headline: nothing is judged, and what is not known."""
    listed = any(engine.beside_manifest for engine in engines)
    unknown = ["the manifest beside it does not list it" if listed else "no manifest"]
    if samples is None:
        unknown += ["the preprocessing is unknown", "random inputs"]
    elif samples.arrays is None:
        unknown.append("the preprocessing is the one that the options say")
    if any(engine.has_open_batch for engine in engines):
        unknown.append(f"the batch is open, {engines[0].batch} is taken")
    unknown.append("the runtime's default precision is taken")
    if len(engines) == 1:
        unknown.append("no reference to compare with")
    elif samples is not None:
        unknown.append(f"compared with {engines[0].file.name}, which nobody said is right")
    return f"measured, not judged: {'; '.join(unknown)}"


def _open(request: ForeignRequest) -> list[ForeignEngine]:
    """The engines, which take the same inputs.

    Raises:
        ArtifactError: they do not, or one cannot be fed. TargetError: options of other runtimes.
    """
    names = names_of(request.paths)
    one_batch = request.batches[0] if len(request.batches) == 1 else None
    engines = [
        open_foreign(
            path,
            request.options,
            name=name,
            role="other" if i else "reference",
            batch=one_batch,
        )
        for i, (path, name) in enumerate(zip(request.paths, names, strict=True))
    ]
    for engine in engines:
        if engine.has_open_batch and len(request.batches) > 1:
            raise TargetError(
                f"{engine.file.path}: its batch is open, and is fixed to one number",
                hint=f"--batch {request.batches[0]}",
            )
        if not runtime_named(engine.file.runtime).takes_cuda_graph:
            refuse_graph(request.cuda_graph, str(engine.file.path))
    check_same_inputs(engines)
    return [replace(engine, file=with_graph(engine.file, request.cuda_graph)) for engine in engines]


def names_of(paths: Sequence[Path]) -> list[str]:
    """Names of rows: the files', with as many folders in front as tell them apart."""
    for depth in range(1, max(len(path.resolve().parts) for path in paths)):
        names = ["/".join(path.resolve().parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    # one file twice
    return [f"{path.name} {chr(ord('A') + i)}" for i, path in enumerate(paths)]


def check_same_inputs(engines: Sequence[ForeignEngine]) -> None:
    """Refuses engines that cannot be fed with the same arrays.

    Raises:
        ArtifactError: names the first that takes others than the first engine.
    """
    for engine in engines[1:]:
        first = engines[0]
        if _taken(engine) != _taken(first):
            raise ArtifactError(
                f"{engine.file.path} takes {_words(engine)}, {first.file.path} takes"
                f" {_words(first)}: they cannot be fed with the same samples",
                hint="profile them one by one: edge-scnet profile ENGINE",
            )


def _taken(engine: ForeignEngine) -> tuple[object, ...]:
    return fed_with(engine.spec, engine.batch, engine.spec.dtype)


def fed_with(spec: ModelSpec, batch: int, dtype: str = "float32") -> tuple[object, ...]:
    """What engines must have in common to be fed with the same arrays."""
    # the name matters where samples are given by name
    name = spec.input_name if spec.more_inputs else None
    return (batch, spec.input_shape, dtype, name, spec.more_inputs)


def _words(engine: ForeignEngine) -> str:
    spec = engine.spec
    shape = " x ".join(map(str, (engine.batch, *spec.input_shape)))
    others = "".join(f" and {item.name}" for item in spec.more_inputs)
    return f"{spec.dtype} {shape}{others}"


def open_for_engine(
    where: Path | str,
    engine: ForeignEngine,
    options: ModelOptions,
    *,
    skip_bad: bool = False,
    ignore_labels: bool = False,
) -> SampleSet:
    """The samples to evaluate an engine without a manifest on.

    Raises:
        DataError: they cannot be used, are pictures and nobody said how they are preprocessed, or
            hold codes of pixels and somebody said that they are normalised.
    """
    samples = open_samples(
        where,
        model=engine.spec,
        role="evaluation",
        skip_bad=skip_bad,
        ignore_labels=ignore_labels,
    )
    said = (options.mean is not None and options.std is not None) or not (
        options.preprocess is None and options.pixel_max is None
    )
    if samples.arrays is None and not said and engine.spec.dtype != "uint8":
        raise DataError(
            f"{engine.file.path} has no manifest: how pictures are preprocessed for it is unknown",
            hint="pass --mean and --std, of pixels from 0 to 1 (--mean 0 --std 1 leaves them so),"
            " or --preprocess imagenet, pixels, yolo, ...",
        )
    if samples.arrays is not None and said and engine.spec.dtype != "uint8":
        wanted = numbers_of(engine.spec.preprocessing)
        if wanted is not None and engine.spec.takes_pictures:
            refuse_codes(samples.arrays, wanted, where=samples.name)
    return samples


def _samples(request: ForeignRequest, engine: ForeignEngine, events: Events) -> SampleSet | None:
    """The evaluation set; None without one.

    Raises:
        DataError: as `open_for_engine`.
    """
    if request.evaluation is None:
        return None
    samples = open_for_engine(
        request.evaluation,
        engine,
        request.options,
        skip_bad=request.skip_bad,
        ignore_labels=request.ignore_labels,
    )
    if samples.skipped:
        total = len(samples) + samples.skipped
        events.warn(f"{samples.skipped} of {total} evaluation images are unreadable and left out")
    return samples


def _judging(engine: ForeignEngine, samples: SampleSet | None) -> Judging | None:
    """What outputs are compared by: what the options, the samples or the engine's graph say.

    Where nothing says it, outputs are features: two columns and more may be anything.

    Raises:
        DataError: the samples do not fit the task.
    """
    if samples is None:
        return None
    return judging_with(engine.spec, samples, heads_of_file(engine.file.path))


def _rows(
    engines: Sequence[ForeignEngine],
    measured: Measured,
    samples: SampleSet | None,
    judging: Judging | None,
) -> tuple[EngineReport, ...]:
    """The rows; the first has an accuracy only where ground truth tells it."""
    reference = measured.engines[0]
    samples = with_fitting_labels(samples, reference.outputs)
    rows = [
        row_of_engine(
            engine.file, measurement, reference, samples, judging.evaluator if judging else None
        )
        for engine, measurement in zip(engines, measured.engines, strict=True)
    ]
    if samples is None or (samples.labels is None and samples.targets is None):
        rows[0] = replace(rows[0], accuracy=None)
    return tuple(rows)


def with_fitting_labels(samples: SampleSet | None, outputs: Outputs | None) -> SampleSet | None:
    """The evaluation set, without its labels where the outputs are no classes."""
    if samples is None or outputs is None or outputs.logits is not None:
        return samples
    if outputs.kept is not None:  # the task's evaluator takes them
        return samples
    return replace(samples, labels=None, label_rule=None, class_names=None)
