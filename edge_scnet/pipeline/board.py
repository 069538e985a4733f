"""A bundle compiled on its board; a board's results as a report."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from edge_scnet.compile.board import check_board
from edge_scnet.compile.bundle import PLAIN_NAME, REFERENCE, unpack
from edge_scnet.compile.plans import PlanSource, build_pair, summary_of_plans
from edge_scnet.compile.reference import load
from edge_scnet.config.target import TargetSpec, from_dict, with_max_drop
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.files import make_folder, sha256_file
from edge_scnet.core.manifest import (
    FP16_FORM,
    INT8_FORM,
    PLAN_STEMS,
    QDQ_ONNX,
    REPORT,
    Artifact,
    load_manifest,
)
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline.assemble import new_report
from edge_scnet.pipeline.layers import row_facts
from edge_scnet.pipeline.result import BuildResult, save_run
from edge_scnet.profiler.board_results import TimedBoard, read_results
from edge_scnet.report import verdict as gate
from edge_scnet.report.run_report import EngineReport
from edge_scnet.report.store import load_report
from edge_scnet.report.verdict import explained, judge
from edge_scnet.runtimes.tensorrt import layers as trt_layers
from edge_scnet.runtimes.tensorrt.backend import TENSORRT
from edge_scnet.stats.timing import latency_stats, paired_ratio


def compile_bundle(path: Path, out: Path, *, events: Events | None = None) -> BuildFolder:
    """Unpacks a bundle into its build folder under `out`, and builds both plans there.

    Raises:
        ArtifactError: no bundle, damaged, or of another schema.
        TargetError: this is not the board or the TensorRT that it is for.
        MissingRuntimeError: no TensorRT. StorageError: too little memory. BackendError: the builder
            refused a file.
        ParityError: a convolution is not INT8, or a plan does not compute the reference outputs.
    """
    events = events or Silent()
    with tempfile.TemporaryDirectory() as temporary:
        unpacked = unpack(path, Path(temporary))
        manifest = load_manifest(unpacked)
        target = from_dict(manifest.target)
        check_board(target)
        for name in (manifest.model.name, target.name):
            if not PLAIN_NAME.fullmatch(name):
                raise ArtifactError(
                    f"{path}: {name!r} is no plain name for a folder", hint="build the bundle again"
                )
        path_of_build = out / manifest.model.name / target.name
        make_folder(path_of_build)
        for file in sorted(unpacked.iterdir()):
            shutil.copyfile(file, path_of_build / file.name)
    folder = BuildFolder(path=path_of_build, manifest=manifest)
    events.stage("compile", f"{TENSORRT.title}, INT8 and its FP16 twin")
    entry = folder.entry(QDQ_ONNX)
    source = PlanSource(
        folder=folder.path,
        int8_convolutions=entry.facts["int8_convolutions"],
        reference=load(folder.path / REFERENCE),
    )
    facts = build_pair(TENSORRT, target, source, events.progress)
    for name, found in facts.items():
        file = folder.path / name
        folder = folder.with_artifact(
            Artifact(
                file=name,
                kind=TENSORRT.artifact_kind,
                stage="compile",
                sha256=sha256_file(file),
                size_bytes=file.stat().st_size,
                key=entry.key,
                facts=found,
                parents=folder.hashes((INT8_FORM, FP16_FORM)),
                versions=TENSORRT.versions(),
            )
        )
    folder.save()
    events.done(summary_of_plans(folder.manifest), reused=False)
    return folder


def profile_results(path: Path, *, max_drop_pp: float | None = None) -> BuildResult:
    """Judges the INT8 plan by a board's figures, and renews the report of the build folder that the
    archive lies in.

    Raises:
        ArtifactError: no results of this build, damaged, or a figure is missing.
    """
    folder = BuildFolder.open(path.parent)
    return report_times(folder, read_results(path, folder.manifest), max_drop_pp=max_drop_pp)


def report_times(
    folder: BuildFolder,
    timed: TimedBoard,
    *,
    max_drop_pp: float | None,
    save: bool = True,
) -> BuildResult:
    """The report and the verdict of a board's plans."""
    target = with_max_drop(from_dict(folder.manifest.target), max_drop_pp)
    known = load_report(folder.path / REPORT) if (folder.path / REPORT).is_file() else None
    simulated = [row for row in known.engines if row.latency is None] if known else []
    rows = [_row(precision, timed, target) for precision in PLAN_STEMS]
    findings = judge(simulated, target)
    speeds = [
        gate.Speed(
            name=row.name,
            speedup=row.speedup,
            throughput_per_second=row.throughput_per_second or 0.0,
        )
        for row in rows
    ]
    speed = gate.judge_speed(speeds[1], speeds[:1], batch=target.batch, reference="FP16")
    findings.append(
        explained(speed, copies=rows[1].copies, float_convolutions=rows[1].float_convolutions)
    )
    report, code = new_report(
        folder.manifest, [*simulated, *rows], None, findings, target=target, stage_seconds={}
    )
    report = replace(report, environment=timed.environment, board=timed.state)
    if known is not None:
        report = replace(report, evaluation=known.evaluation, flips=known.flips)
    if save:
        save_run(report, folder.path)
    return BuildResult(folder=folder.path, manifest=folder.manifest, report=report, exit_code=code)


def _row(precision: str, timed: TimedBoard, target: TargetSpec) -> EngineReport:
    plan = timed.fp16 if precision == "fp16" else timed.int8
    times = plan.times
    layers = trt_layers.executed(times.layers)
    facts = row_facts(layers, TENSORRT, int8=precision == "int8", times_ms=times.layer_times_ms)
    return EngineReport(
        name=precision,
        runtime=TENSORRT.name,
        file=f"{PLAN_STEMS[precision]}.plan",
        sha256=plan.sha256,
        size_bytes=plan.size_bytes,
        precision_hint="f32",
        load_seconds=None,
        warm_up_seconds=None,
        latency=latency_stats(times.rounds_ns),
        speedup=(
            None
            if precision == "fp16"
            else paired_ratio(timed.fp16.times.rounds_ns, times.rounds_ns)
        ),
        throughput_per_second=times.queries_per_second * target.batch,
        memory=None,
        accuracy=None,
        **facts,
    )
