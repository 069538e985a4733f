"""Profile: measured, concluded, written."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_scnet.config.target import TargetSpec, from_dict, with_max_drop
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.files import make_folder
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, RANGES
from edge_scnet.data import samples as dataset
from edge_scnet.data.checks import check_counts, check_size
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError, ExitCode, TargetError
from edge_scnet.machine.board_watch import watching
from edge_scnet.pipeline.assemble import flips_of, new_report, row_of_engine, row_of_graph, stats_of
from edge_scnet.pipeline.board import report_times
from edge_scnet.pipeline.build_folder import chosen_engines, engine_files, open_build
from edge_scnet.pipeline.result import BuildResult, save_partial, save_run
from edge_scnet.profiler import sweep
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile
from edge_scnet.profiler.simulated import evaluate_graphs
from edge_scnet.quantize.ranges_file import load_ranges
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.verdict import judge
from edge_scnet.runtimes import runtime_named


def simulate_and_judge(
    folder: BuildFolder,
    samples: SampleSet,
    *,
    target: TargetSpec,
    stage_seconds: dict[str, float],
    events: Events,
) -> tuple[RunReport, int]:
    """Runs both graphs on the evaluation set and judges by the target's gates: the report, and the
    exit code.

    Raises:
        DataError: an image that cannot be read, labels that do not fit the model.
    """
    started = time.perf_counter()
    labels = samples.label_rule or "no labels"
    events.stage(
        "simulate", f"float and Q/DQ graph in ONNX Runtime on {len(samples):,} images, {labels}"
    )
    entries = [folder.entry(FLOAT_ONNX), folder.entry(QDQ_ONNX)]
    outputs = evaluate_graphs(
        [folder.verified_entry(entry) for entry in entries],
        samples,
        folder.manifest.model,
        events.progress,
    )
    rows = [
        row_of_graph(
            entry, name, stats_of(name, entry.file, found, outputs[0], samples), found, samples
        )
        for entry, name, found in zip(entries, ("fp32", "int8 simulated"), outputs, strict=True)
    ]
    findings = judge(rows, target)
    events.done("simulated, not executed", reused=False)
    seconds = {**stage_seconds, "simulate": round(time.perf_counter() - started, 2)}
    report, code = new_report(
        folder.manifest, rows, samples, findings, target=target, stage_seconds=seconds
    )
    return replace(
        report, flips=flips_of(outputs[1], outputs[0], samples, folder.manifest.model)
    ), code


def measure_and_judge(
    folder: BuildFolder,
    engines: Sequence[EngineFile],
    samples: SampleSet | None,
    *,
    target: TargetSpec,
    seconds: float,
    stage_seconds: dict[str, float],
    events: Events,
    save: bool = True,
) -> tuple[RunReport, int]:
    """Measures engines together, judges the INT8 one by the target's gates, and writes the report:
    it, and the exit code.

    Raises:
        BackendError: an engine cannot be loaded or fails. DataError: an image that cannot be read,
            labels that do not fit.
    """
    started = time.perf_counter()
    spec = folder.manifest.model
    names = ", ".join(engine.name for engine in engines)
    labels = f", {samples.label_rule or 'no labels'}" if samples else ""
    events.stage(
        "profile",
        (
            f"{names} on {len(samples):,} images{labels}"
            if samples
            else f"{names}, no evaluation images"
        ),
    )
    with watching() as watch:
        measured = measure(
            engines,
            samples,
            spec,
            MeasureSettings(seconds=seconds, keep_partial=True),
            progress=events.progress,
            timed=watch.timed,
        )
    first = measured.engines[0]
    rows = [
        row_of_engine(engine, m, first, samples)
        for engine, m in zip(engines, measured.engines, strict=True)
    ]
    findings = judge(rows, target) if measured.complete else []
    seconds_by_stage = {**stage_seconds, "profile": round(time.perf_counter() - started, 2)}
    report, code = new_report(
        folder.manifest, rows, samples, findings, target=target, stage_seconds=seconds_by_stage
    )
    report = replace(report, board=watch.state(), load=measured.load, seconds=seconds)
    if any(engine.options.cuda_graph for engine in engines):
        report = replace(
            report,
            environment={
                **report.environment,
                "timing": "host to host, one CUDA graph an inference",
            },
        )
    if not measured.complete:
        report = replace(
            report,
            complete=False,
            verdict="interrupted: these are the figures up to then, and no verdict",
        )
        if save:
            save_partial(report, folder.path)
        return report, ExitCode.INTERRUPTED
    int8 = next(
        (m for row, m in zip(rows, measured.engines, strict=True) if row.name.startswith("int8")),
        None,
    )
    if int8 is not None:
        report = replace(report, flips=flips_of(int8.outputs, first.outputs, samples, spec))
    if save:
        save_run(report, folder.path)
    events.done(f"{len(rows)} engines", reused=False)
    return report, code


def profile(
    path: Path | str,
    *,
    evaluation: Path | str | None = None,
    seconds: float = 3.0,
    max_drop_pp: float | None = None,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    cuda_graph: bool = False,
    batches: Sequence[int] = (),
    threads: Sequence[int] = (),
    events: Events | None = None,
) -> BuildResult:
    """Measures a build folder's engines, which renews its report.json, or one file of it beside its
    FP32 twin.

    Args:
        path: a build folder, or an engine or ONNX file in one.
        evaluation: a folder of images; default: the build's.
        seconds: timed seconds per engine.
        cuda_graph: plans enqueue an inference as one CUDA graph, as trtexec does.
        batches, threads: time the engines also at each of these batches and numbers of threads, all
            in turn.

    Interrupted after engines were timed, the result is partial: its exit code is 130, and
    report.partial.json has it.

    Raises:
        ArtifactError: no manifest, or a file that is not what was built.
        TargetError: the engine was built for a higher instruction set than this machine has; a CUDA
            graph of what is no plan.
    """
    events = events or Silent()
    folder, chosen = open_build(Path(path))
    from edge_scnet.profiler import trtexec as trtexec_profile

    if (program := trtexec_profile.program_for(folder.manifest)) is not None:
        for option, given in (
            ("--batch", batches),
            ("--threads", threads),
            ("--cuda-graph", cuda_graph),
        ):
            if given:
                raise TargetError(
                    f"{option} is not for plans that trtexec times", hint=f"leave {option} out"
                )
        if evaluation is not None:
            events.warn(
                "--eval is not used: trtexec measures no accuracy, TensorRT's Python package would"
            )
        timed = trtexec_profile.profile_plans(program, folder, seconds=seconds, events=events)
        return report_times(folder, timed, max_drop_pp=max_drop_pp, save=chosen is None)
    if chosen is None:
        make_folder(folder.path)  # the report goes there: better refused now than after measuring
    target = with_max_drop(from_dict(folder.manifest.target), max_drop_pp)
    engines = engine_files(folder)
    if chosen is not None:
        engines = chosen_engines(folder, chosen, engines)
    if cuda_graph:
        if not all(runtime_named(engine.runtime).takes_cuda_graph for engine in engines):
            raise TargetError(
                f"{target.name}: --cuda-graph is for TensorRT's plans",
                hint="leave --cuda-graph out",
            )
        engines = [
            replace(engine, options=replace(engine.options, cuda_graph=True)) for engine in engines
        ]
    spec = folder.manifest.model
    where = (
        Path(evaluation)
        if evaluation
        else (Path(folder.manifest.evaluation) if folder.manifest.evaluation else None)
    )
    if where is None and spec.dataset:
        where = dataset.bundled_sets(spec.dataset)[1]
    samples = None
    if where is not None:
        samples = dataset.open_samples(
            where, model=spec, role="evaluation", skip_bad=skip_bad, ignore_labels=ignore_labels
        )
        for message in (
            *check_counts(samples, role="evaluation"),
            *check_size(samples, spec, role="evaluation"),
        ):
            events.warn(message)
        if evaluation is not None:
            _check_not_calibrated(folder, samples)
    if batches or threads:
        cells = sweep.plan(engines, batches=batches, threads=threads, built=target.batch, spec=spec)
    report, code = measure_and_judge(
        folder,
        engines,
        samples,
        target=target,
        seconds=seconds,
        stage_seconds={},
        events=events,
        save=chosen is None,
    )
    if report.complete and (batches or threads):
        found = sweep.run(cells, spec, seconds=seconds, events=events)
        report = replace(report, sweep=found.rows, sweep_load=found.load, complete=found.complete)
        if chosen is None:
            (save_run if found.complete else save_partial)(report, folder.path)
        code = code if found.complete else ExitCode.INTERRUPTED
    return BuildResult(folder=folder.path, manifest=folder.manifest, report=report, exit_code=code)


def time_again(
    path: Path, report: RunReport, *, factor: float, events: Events | None = None
) -> RunReport | None:
    """The report with the times of its engines measured once more; None where the folder holds
    other engines by now.

    Args:
        factor: how much longer than at first.

    Raises:
        ArtifactError, TargetError: as `profile`. BackendError: an engine fails.
    """
    events = events or Silent()
    folder = BuildFolder.open(path)
    known = {row.name: row for row in report.engines if row.latency is not None}
    found = [engine for engine in engine_files(folder) if engine.name in known]
    if any(engine.sha256 != known[engine.name].sha256 for engine in found) or len(found) < 2:
        return None
    timed = (
        sum(sum(row.latency.samples_ns) for row in known.values() if row.latency) / 1e9 / len(known)
    )
    events.stage(
        "profile",
        f"{', '.join(engine.name for engine in found)} once more, for they look slower than the"
        " baseline's",
    )
    measured = measure(
        found,
        None,
        folder.manifest.model,
        MeasureSettings(seconds=factor * timed),
        progress=events.progress,
    ).engines
    events.done(f"{len(found)} engines", reused=False)
    renewed = {
        engine.name: replace(
            known[engine.name],
            latency=m.latency,
            speedup=m.ratio,
            throughput_per_second=m.throughput_per_second,
            memory=m.memory,
        )
        for engine, m in zip(found, measured, strict=True)
    }
    return replace(report, engines=tuple(renewed.get(row.name, row) for row in report.engines))


def _check_not_calibrated(folder: BuildFolder, samples: SampleSet) -> None:
    """Raises DataError when an evaluation image was among the calibration images."""
    if RANGES not in folder.manifest.artifacts:
        return
    seen = set(load_ranges(folder.verified(RANGES)).content_hashes)
    both = [
        name for name, h in zip(samples.entries, samples.content_hashes, strict=True) if h in seen
    ]
    if both:
        raise DataError(
            f"{len(both)} of {len(samples)} evaluation images were used for calibration:"
            f" {', '.join(both[:3])}",
            hint="evaluate on images that the quantizer has not seen: --eval TEST_IMAGES",
        )
