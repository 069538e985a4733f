"""Three ways to measure a build: engines in processes, graphs in simulation, trtexec's times."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_scnet.compile.executed import WantedLayers, wanted_layers
from edge_scnet.config.target import TargetSpec
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.manifest import FLOAT_ONNX, FP16_GRAPH, QDQ_ONNX, REPORT
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.machine.board_watch import watching
from edge_scnet.pipeline import flips
from edge_scnet.pipeline.assemble import (
    MeasuredRun,
    evaluation_set,
    this_machine,
    truth_words,
)
from edge_scnet.pipeline.dequantized import ROW
from edge_scnet.pipeline.judging import Judging
from edge_scnet.pipeline.rows import (
    SIMULATED_NAMES,
    check_finite,
    doubted_inputs,
    role_of,
    row_of_engine,
    row_of_graph,
    row_of_plan,
    stats_of,
)
from edge_scnet.pipeline.worst import engine_source, graph_source, worst_samples
from edge_scnet.profiler.board_results import TimedBoard
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.profiler.process import EngineFile
from edge_scnet.profiler.simulated import evaluate_graphs
from edge_scnet.report.run_report import EngineReport, Flips, WorstSample
from edge_scnet.report.store import load_report
from edge_scnet.report.verdict import judge
from edge_scnet.scale.pool import Pool, with_workers
from edge_scnet.stats.figures import EngineRole


def measure_engines(
    engines: Sequence[EngineFile],
    judging: Judging | None,
    spec: ModelSpec,
    target: TargetSpec,
    *,
    seconds: float,
    events: Events,
) -> MeasuredRun:
    """Measures engines together, each in a process of its own; the first is the reference.

    Interrupted after a round of timed blocks, the run holds what was measured up to then.

    Args:
        judging: the evaluation set and what it is judged by; None: no accuracy is measured.
        seconds: timed seconds per engine.

    Raises:
        BackendError: an engine cannot be loaded or fails.
        DataError: an image that cannot be read, or labels that do not fit.
    """
    started = time.perf_counter()
    samples, evaluator = (judging.samples, judging.evaluator) if judging else (None, None)
    pool = judging.pool if judging else None
    names = ", ".join(engine.name for engine in engines)
    labels = f", {truth_words(samples) or 'no labels'}" if samples else ""
    events.stage(
        "profile",
        (
            f"{names} on {len(samples):,} images{labels}"
            if samples
            else f"{names}, no evaluation images"
        ),
    )
    for engine in engines:
        if engine.cold:
            events.warn(engine.cold)
    with watching() as watch:
        measured = measure(
            engines,
            samples,
            spec,
            MeasureSettings(
                seconds=seconds, evaluator=evaluator, graphs=True, keep_partial=True, pool=pool
            ),
            progress=events.progress,
            timed=watch.timed,
        )
    reference = measured.engines[0]
    rows = tuple(
        doubted_inputs(
            row_of_engine(engine, measurement, reference, samples, evaluator), spec, samples
        )
        for engine, measurement in zip(engines, measured.engines, strict=True)
    )
    findings = tuple(judge(rows, target)) if measured.complete else ()
    environment = this_machine()
    if any(engine.options.cuda_graph for engine in engines):
        environment["timing"] = "host to host, one CUDA graph an inference"
    elif any(row.cuda_graph is not None for row in rows):
        environment["timing"] = "host to host, with or without a CUDA graph, the faster of both"
    spent = {"profile": round(time.perf_counter() - started, 2)}
    flipped = None
    worst: tuple[WorstSample, ...] = ()
    if measured.complete:
        for engine, measurement in zip(engines, measured.engines, strict=True):
            if engine.role == "int8":
                flipped = _flips_of(measurement.outputs, reference.outputs, samples, spec)
        worst = _worst_of_engines(rows, engines, judging, spec, events)
        events.done(with_workers(f"{len(rows)} engines", pool), reused=False)
    return MeasuredRun(
        rows=rows,
        findings=findings,
        environment=environment,
        spent=spent,
        seconds=seconds,
        evaluation=evaluation_set(samples) if samples is not None else None,
        flips=flipped,
        worst=worst,
        task=judging.told.words if judging else None,
        board=watch.state(),
        load=measured.load,
        complete=measured.complete,
    )


def simulate(
    folder: BuildFolder,
    judging: Judging,
    target: TargetSpec,
    *,
    events: Events,
    pool: Pool | None = None,
) -> MeasuredRun:
    """Runs both graphs on the evaluation set in ONNX Runtime: accuracy before there is an engine.

    Args:
        pool: whose workers run them; None: this process.

    Raises:
        DataError: an image that cannot be read, labels that do not fit the model.
    """
    started = time.perf_counter()
    samples = judging.samples
    labels = truth_words(samples) or "no labels"
    is_int8 = target.precision == "int8"
    graph = "Q/DQ" if is_int8 else "FP16"
    events.stage(
        "simulate", f"float and {graph} graph in ONNX Runtime on {len(samples):,} images, {labels}"
    )
    entries = [folder.entry(FLOAT_ONNX), folder.entry(QDQ_ONNX if is_int8 else FP16_GRAPH)]
    roles: tuple[EngineRole, ...] = ("reference", role_of(target.precision))
    files = [folder.verified_entry(entry) for entry in entries]
    outputs = evaluate_graphs(
        files,
        samples,
        folder.manifest.model,
        events.progress,
        judging.evaluator,
        pool,
    )
    rows = []
    for entry, role, own in zip(entries, roles, outputs, strict=True):
        check_finite(SIMULATED_NAMES[role], entry.file, own)
        stats = stats_of(own, outputs[0], samples, judging.evaluator)
        row = row_of_graph(entry, role, stats, own, samples)
        row = doubted_inputs(row, folder.manifest.model, samples)
        is_stand_in = folder.manifest.dequantized and role == "reference"
        rows.append(replace(row, name=ROW) if is_stand_in else row)
    findings = tuple(judge(rows, target))
    worst = _worst_of_graphs(rows, files, judging, folder.manifest.model, events)
    events.done(with_workers("simulated, not executed", pool), reused=False)
    return MeasuredRun(
        rows=tuple(rows),
        findings=findings,
        environment=this_machine(),
        spent={"simulate": round(time.perf_counter() - started, 2)},
        evaluation=evaluation_set(samples),
        flips=_flips_of(outputs[1], outputs[0], samples, folder.manifest.model),
        worst=worst,
        task=judging.told.words,
    )


def take_board_times(folder: BuildFolder, timed: TimedBoard, target: TargetSpec) -> MeasuredRun:
    """Takes both plans' times through trtexec; accuracy is that of the folder's simulated report.

    Raises:
        ArtifactError: the folder's report is damaged.
    """
    file = folder.path / REPORT
    earlier = load_report(file) if file.is_file() else None
    simulated = [row for row in earlier.engines if row.simulated] if earlier else []
    # plans may lie in a folder without the graph that they were made of
    wanted = WantedLayers(convolutions=())
    if QDQ_ONNX in folder.manifest.artifacts:
        wanted = wanted_layers(folder.facts(QDQ_ONNX, QdqFacts))
    plans = [row_of_plan(precision, timed, target.batch, wanted) for precision in timed.precisions]
    return MeasuredRun(
        rows=(*simulated, *plans),
        findings=tuple(judge([*simulated, *plans], target)),
        environment=timed.environment,
        evaluation=earlier.evaluation if earlier else None,
        flips=earlier.flips if earlier else None,
        worst=earlier.worst if earlier else (),
        task=earlier.task if earlier else None,
        board=timed.state,
    )


def _worst_of_engines(
    rows: Sequence[EngineReport],
    engines: Sequence[EngineFile],
    judging: Judging | None,
    spec: ModelSpec,
    events: Events,
) -> tuple[WorstSample, ...]:
    if judging is None:
        return ()
    sources = [engine_source(engine, judging.samples, spec) for engine in engines]
    return worst_samples(rows, sources, judging, spec, events)


def _worst_of_graphs(
    rows: Sequence[EngineReport],
    files: Sequence[Path],
    judging: Judging,
    spec: ModelSpec,
    events: Events,
) -> tuple[WorstSample, ...]:
    sources = [
        graph_source(row.name, file, judging.samples, spec)
        for row, file in zip(rows, files, strict=True)
    ]
    return worst_samples(rows, sources, judging, spec, events)


def _flips_of(
    outputs: Outputs | None, reference: Outputs | None, samples: SampleSet | None, spec: ModelSpec
) -> Flips | None:
    """The images that an engine takes for another class than the reference does.

    None where they were not measured, or outputs are no classes.
    """
    if (
        samples is None
        or outputs is None
        or reference is None
        or outputs.logits is None
        or reference.logits is None
    ):
        return None
    return flips.find(outputs.logits, reference.logits, samples, spec)
