"""profile: a build's engines measured once more, concluded, written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.config.target import TargetSpec, with_max_drop
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.manifest import MANIFEST, Artifact, Manifest
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.pipeline.assemble import MeasuredRun, conclude
from edge_scnet.pipeline.build_folder import (
    check_unchanged,
    chosen_engines,
    engine_files,
    open_build,
    target_of,
)
from edge_scnet.pipeline.by_workers import TASKS, judged_by
from edge_scnet.pipeline.cuda_graph import refuse_graph, with_graph
from edge_scnet.pipeline.expected import check_rows, read_expected
from edge_scnet.pipeline.foreign import is_foreign, suffixes
from edge_scnet.pipeline.judging import judging_of
from edge_scnet.pipeline.measuring import measure_engines, take_board_times
from edge_scnet.pipeline.module_noise import with_noise
from edge_scnet.pipeline.profile_foreign import ForeignRequest, profile_engines
from edge_scnet.pipeline.result import BuildResult, result_of, save_run
from edge_scnet.pipeline.samples import open_evaluation_set
from edge_scnet.profiler import sweep, trtexec
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.scale.executors import Workers

_COMMAND = "edge_scnet.profile(...)"


def profile(  # noqa: PLR0913  the public function's options, by keyword
    path: Path | str,
    *,
    evaluation: Path | str | None = None,
    seconds: float = 3.0,
    max_drop_pp: float | None = None,
    expect: float | str | Iterable[float | str] | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    cuda_graph: bool | None = None,
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    workers: Workers | None = None,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
    beside: Sequence[Path | str] = (),
    model_options: ModelOptions | None = None,
) -> BuildResult:
    """Measures a build folder's engines, one file of it beside its FP32 twin, or any engine.

    A folder's report.json is renewed; of files nothing is written. Interrupted after engines were
    timed, the result is partial: its exit code is 130, and report.partial.json has it. An engine
    that no manifest lists is measured and not judged, on random inputs where no evaluation set is
    given.

    Args:
        path: a build folder, an engine or ONNX file in one, or an engine without a manifest.
        evaluation: a folder of images; default: the build's.
        seconds: timed seconds per engine.
        max_drop_pp: highest loss of top-1 in percentage points, default the target's gate.
        expect: of a build: FP32's own figures, as `build`.
        skip_bad: leave out images that cannot be read.
        ignore_labels: judge by the reference's classes alone.
        cuda_graph: plans enqueue an inference as one CUDA graph, or do not; None: they are timed in
            both ways in turn, and the faster is taken.
        batches, threads: time the engines also at each of these batches and numbers of threads, all
            in turn.
        workers: who finds the accuracy, after all is timed here; None: the processes that time it.
            They are machines like this one.
        wait: where another run writes into the build folder, until it has ended; otherwise that is
            an error.
        events: told of the progress.
        command: the command line that called this, for the report.
        beside: engines without a manifest to measure beside one: ratios and outputs are to the
            first.
        model_options: the task; of engines without a manifest also the preprocessing, and sizes
            that are open.

    Raises:
        ArtifactError: a folder without a manifest, or a file that is not what was built, or was
            replaced while it was measured.
        StorageError: another run writes into the folder, or it cannot be written.
        TargetError: the engine was built for a higher instruction set than this machine has; a CUDA
            graph of what is no plan; workers for a plan.
        BackendError: workers cannot be reached, or are other machines.
    """
    events = events or Silent()
    command, expected = command or _COMMAND, read_expected(expect)
    paths = (Path(path), *map(Path, beside))
    if all(map(is_foreign, paths)):
        request = ForeignRequest(
            paths=paths,
            evaluation=str(evaluation) if evaluation else None,
            options=model_options or ModelOptions(),
            seconds=seconds,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            cuda_graph=cuda_graph,
            batches=tuple(batches),
            threads=tuple(threads),
            workers=workers,
            command=command,
        )
        return _result_of_foreign(request, events)
    options = model_options or ModelOptions()
    _refuse_of_builds(paths, replace(options, task=None, task_args=None, decode=None))
    folder, chosen = open_build(Path(path))
    program = trtexec.program_for(folder.manifest)
    with contextlib.ExitStack() as lock:
        if chosen is None or program is not None:  # of one file, timed here, nothing is written
            lock.enter_context(locked(folder.path, command=command, wait=wait, events=events))
            folder, chosen = open_build(Path(path))
        target = with_max_drop(target_of(folder), max_drop_pp)
        if program is not None:
            _refuse_for_trtexec({"--batch": batches, "--threads": threads, "--workers": workers})
            if TENSORRT.unavailable() is None:
                events.warn(
                    "TensorRT's Python package cannot run the plans, trtexec times them:"
                    f" {TENSORRT.unavailable_to_run()}"
                )
            if evaluation is not None:
                events.warn(
                    "--eval is not used: trtexec measures no accuracy, TensorRT's Python package"
                    " would"
                )
            timed = trtexec.profile_plans(
                program, folder, seconds=seconds, cuda_graph=cuda_graph, events=events
            )
            measured = take_board_times(folder, timed, target)
            report = _concluded(measured, folder, target, command)
            check_unchanged(folder, report)
            if chosen is None:
                save_run(report, folder.path)
            return result_of(folder, report)
        engines = _engines(folder, chosen, target, cuda_graph=cuda_graph)
        spec = folder.manifest.model
        samples = open_evaluation_set(
            folder,
            str(evaluation) if evaluation else None,
            skip_bad=skip_bad,
            ignore_labels=ignore_labels,
            events=events,
        )
        cells = (
            sweep.plan(engines, batches=batches, threads=threads, built=target.batch, spec=spec)
            if batches or threads
            else ()
        )
        judging = judging_of(folder, samples, events, said=options)
        kept = folder.path / TASKS if chosen is None else None
        with judged_by(workers, judging, engines, kept, events) as judging:
            measured = measure_engines(
                engines, judging, spec, target, seconds=seconds, events=events
            )
        check_rows(measured.rows, expected if measured.complete else (), spec, samples)
        report = _concluded(measured, folder, target, command)
        check_unchanged(folder, report)
        if chosen is None:
            save_run(report, folder.path)
        if cells and report.complete:
            swept = sweep.run(cells, spec, seconds=seconds, events=events)
            measured = replace(measured, sweep=swept)
            report = _concluded(measured, folder, target, command)
            check_unchanged(folder, report)
            if chosen is None:
                save_run(report, folder.path)
        return result_of(folder, report)


def _concluded(
    measured: MeasuredRun, folder: BuildFolder, target: TargetSpec, command: str
) -> RunReport:
    """The report of a run that ends now, with what is known of the folder's graph."""
    return with_noise(conclude(measured, folder.manifest, target, command=command), folder)


def _result_of_foreign(request: ForeignRequest, events: Events) -> BuildResult:
    """The report of engines without a manifest, which is written nowhere."""
    report = profile_engines(request, events)
    unknown = Manifest(
        model=ModelSpec(
            name=report.model,
            arch="",
            input_shape=(),
            preprocessing=Preprocessing(mean=(), std=()),
        ),
        target={},
        floor="",
        precision_hint="default",
        rebuild="",
    )
    return result_of(BuildFolder(path=request.paths[0].parent, manifest=unknown), report)


def _refuse_of_builds(paths: Sequence[Path], options: ModelOptions) -> None:
    """Refuses what is for engines without a manifest, where one has it.

    Raises:
        ArtifactError: several paths, or options of a model; or a file of another kind.
    """
    known = next(path for path in paths if not is_foreign(path))
    if known.is_file() and not (known.parent / MANIFEST).is_file():
        raise ArtifactError(
            f"{known} is no engine that can be measured; allowed are"
            f" {', '.join(suffixes())}, and build folders",
            hint="convert it: ovc MODEL for OpenVINO, or export it to ONNX",
        )
    if len(paths) > 1:
        raise ArtifactError(
            f"{known} has a manifest: it is not measured beside other engines' files",
            hint="time them together: add --interleave",
        )
    if options != ModelOptions():
        given = [f"--{name.replace('_', '-')}" for name, value in asdict(options).items() if value]
        raise ArtifactError(
            f"{known}: its manifest says how it is fed; {', '.join(given)} cannot change that",
            hint=f"leave {' and '.join(given)} out",
        )


def _refuse_for_trtexec(options: Mapping[str, object]) -> None:
    """Refuses the options that trtexec does not take, where they were set."""
    for option, value in options.items():
        if value:
            raise TargetError(
                f"{option} is not for plans that trtexec times", hint=f"leave {option} out"
            )


def _engines(
    folder: BuildFolder, chosen: Artifact | None, target: TargetSpec, *, cuda_graph: bool | None
) -> list[EngineFile]:
    """The engines to measure: the folder's, or the chosen one after its reference.

    Raises:
        ArtifactError, TargetError: as `profile`.
    """
    engines = engine_files(folder)
    if chosen is not None:
        engines = chosen_engines(folder, chosen, engines)
    if not all(runtime_named(engine.runtime).takes_cuda_graph for engine in engines):
        refuse_graph(cuda_graph, target.name)
    return [with_graph(engine, cuda_graph) for engine in engines]


def _as_timed(engine: EngineFile, row: EngineReport) -> EngineFile:
    """The engine, opened as it was when it was timed: with its CUDA graph, or without."""
    used = {"yes": True, "no": False}.get(row.settings.get("CUDA graph", ""))
    return engine if used is None else with_graph(engine, used)


def time_again(
    path: Path, report: RunReport, *, factor: float, events: Events | None = None
) -> RunReport | None:
    """The report with the times of its engines measured once more.

    Args:
        path: the build folder that holds the report.
        factor: how much longer than at first.

    Returns:
        None where the folder holds other engines by now.

    Raises:
        ArtifactError, TargetError: as `profile`. BackendError: an engine fails.
    """
    events = events or Silent()
    folder = BuildFolder.open(path)
    rows = {row.name: row for row in report.engines if row.latency is not None}
    engines = [
        _as_timed(engine, rows[engine.name])
        for engine in engine_files(folder)
        if engine.name in rows
    ]
    if any(engine.sha256 != rows[engine.name].sha256 for engine in engines) or len(engines) < 2:
        return None
    timed_ns = sum(sum(row.latency.samples_ns) for row in rows.values() if row.latency)
    events.stage(
        "profile",
        f"{', '.join(engine.name for engine in engines)} once more, for they look slower than the"
        " baseline's",
    )
    measured = measure(
        engines,
        None,
        folder.manifest.model,
        MeasureSettings(seconds=factor * timed_ns / 1e9 / len(rows)),
        progress=events.progress,
    )
    events.done(f"{len(engines)} engines", reused=False)
    renewed = {
        engine.name: replace(
            rows[engine.name],
            latency=measurement.latency,
            speedup=measurement.ratio,
            throughput_per_second=measurement.throughput_per_second,
            throughput_ratio=measurement.throughput_ratio,
            throughput_windows=measurement.windows,
            memory=measurement.memory,
        )
        for engine, measurement in zip(engines, measured.engines, strict=True)
    }
    return replace(report, engines=tuple(renewed.get(row.name, row) for row in report.engines))
