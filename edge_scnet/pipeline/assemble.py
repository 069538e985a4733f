"""Measurements become rows of a report, findings by the target's gates, and an exit code.

Knows nothing of how engines are found or made.
"""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge_scnet import __version__
from edge_scnet.config.target import TargetSpec
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import PARTIAL_REPORT, QDQ_ONNX, REPORT, REPORT_PAGE, Manifest, record_from_json
from edge_scnet.core.optional import installed
from edge_scnet.core.packing import pack_classes
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import INTERRUPTED_EXIT_CODE, BackendError, DataError
from edge_scnet.graph.inventory import Provenance, Quantization
from edge_scnet.machine import environment
from edge_scnet.machine.board_watch import watching
from edge_scnet.models.zoo import ModelSpec
from edge_scnet.pipeline import flips
from edge_scnet.pipeline.flips import Flips
from edge_scnet.pipeline.layers import explained, row_facts
from edge_scnet.profiler.measure import EngineFile, Measurement, Outputs, measure
from edge_scnet.report import verdict as gate
from edge_scnet.report.run_report import SCHEMA, EngineReport, EvaluationSet, RunReport, save_report, verdict
from edge_scnet.runtimes import get_backend
from edge_scnet.stats.accuracy import accuracy_stats, output_rows, output_stats
from edge_scnet.stats.figures import AccuracyStats, OutputStats


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """Where the files are, what they are, and, after the last stage, what was measured."""

    folder: Path
    manifest: Manifest
    report: RunReport | None
    exit_code: int


def measure_and_judge(
    folder: Path, manifest: Manifest, engines: Sequence[EngineFile], samples: SampleSet | None, *, target: TargetSpec,
    seconds: float, stage_seconds: dict[str, float], events: Events, save: bool = True,
) -> tuple[RunReport, int]:  # fmt: skip
    """Measures engines together, judges the INT8 one by the target's gates, and writes the report: it, and the exit code.

    Raises:
        BackendError: an engine cannot be loaded or fails. DataError: an image that cannot be read, labels that do not fit.
    """
    started = time.perf_counter()
    spec = manifest.model
    names = ", ".join(engine.name for engine in engines)
    labels = f", {samples.label_rule or 'no labels'}" if samples else ""
    events.stage("profile", f"{names} on {len(samples):,} images{labels}" if samples else f"{names}, no evaluation images")
    with watching() as watch:
        measured = measure(
            engines, samples, spec, seconds=seconds, progress=events.progress, timed=watch.timed, keep_partial=True
        )
    first = measured.engines[0]
    rows = [_row(engine, m, first, samples) for engine, m in zip(engines, measured.engines, strict=True)]
    findings = judge(rows, target) if measured.complete else []
    seconds_by_stage = {**stage_seconds, "profile": round(time.perf_counter() - started, 2)}
    report, code = new_report(manifest, rows, samples, findings, target=target, stage_seconds=seconds_by_stage)
    report = replace(report, board=watch.state(), load=measured.load, seconds=seconds)
    if any(engine.options.cuda_graph for engine in engines):
        report = replace(report, environment={**report.environment, "timing": "host to host, one CUDA graph an inference"})
    if not measured.complete:
        report = replace(report, complete=False, verdict="interrupted: these are the figures up to then, and no verdict")
        if save:
            save_partial(report, folder)
        return report, INTERRUPTED_EXIT_CODE
    int8 = next((m for row, m in zip(rows, measured.engines, strict=True) if row.name.startswith("int8")), None)
    if int8 is not None:
        report = replace(report, flips=flips_of(int8.outputs, first.outputs, samples, spec))
    if save:
        save_run(report, folder)
    events.done(f"{len(rows)} engines", reused=False)
    return report, code


def flips_of(outputs: Outputs | None, reference: Outputs | None, samples: SampleSet | None, spec: ModelSpec) -> Flips | None:
    """The images that an engine takes for something else than the reference; None where outputs are no classes."""
    if samples is None or outputs is None or reference is None or outputs.logits is None or reference.logits is None:
        return None
    return flips.find(outputs.logits, reference.logits, samples, spec)


def save_partial(report: RunReport, folder: Path) -> None:
    """Writes report.partial.json: what an earlier, whole run measured stays as it is.

    Raises:
        StorageError: the folder cannot be written.
    """
    save_report(report, folder / PARTIAL_REPORT)


def save_run(report: RunReport, folder: Path) -> None:
    """Writes report.json, and report.html where matplotlib is installed (a board need not have it).

    Raises:
        StorageError: the folder cannot be written.
    """
    save_report(report, folder / REPORT)
    (folder / PARTIAL_REPORT).unlink(missing_ok=True)  # superseded
    page = folder / REPORT_PAGE
    if installed("matplotlib"):
        from edge_scnet.report.page import render

        artifact.write_text(page, render(report))
    else:
        page.unlink(missing_ok=True)  # an older run's would stand beside this one's figures


def new_report(
    manifest: Manifest, rows: Sequence[EngineReport], samples: SampleSet | None, findings: Sequence[gate.Finding], *,
    target: TargetSpec, stage_seconds: dict[str, float],
) -> tuple[RunReport, int]:  # fmt: skip
    """The report of a run that ends now, and its exit code."""
    facts = manifest.artifacts[QDQ_ONNX].facts if QDQ_ONNX in manifest.artifacts else {}
    report = RunReport(
        schema=SCHEMA, created_utc=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]), model=manifest.model.name, target=target.name,
        batch=target.batch, engines=tuple(rows), evaluation=_evaluation_set(samples) if samples is not None else None,
        findings=tuple(findings), verdict=verdict(findings), stage_seconds=stage_seconds,
        environment={**environment.collect().to_dict(), "edge_scnet": __version__}, gates=target.gates,
        quantization=record_from_json(Quantization | None, facts.get("quantization")),
        provenance=record_from_json(Provenance | None, facts.get("provenance")), classes=manifest.model.classes,
    )  # fmt: skip
    return report, gate.exit_code(findings)


def _evaluation_set(samples: SampleSet) -> EvaluationSet:
    order = canonical_order(samples)
    labels = None if samples.labels is None else np.asarray(samples.labels)[order]
    rows = [samples.content_hashes[i] for i in order] + ([] if labels is None else [str(label) for label in labels.tolist()])
    return EvaluationSet(
        name=samples.name, sha256=samples.hash, images=len(samples), skipped=samples.skipped, labels=samples.label_rule,
        images_sha256=artifact.sha256_bytes("\n".join(rows).encode()),
        truth=None if labels is None else pack_classes(labels.tolist()),
    )  # fmt: skip


def canonical_order(samples: SampleSet) -> list[int]:
    """Indices that sort images by content, then label: the same for the same images under any names and in any order."""
    labels = samples.labels or (0,) * len(samples)
    return sorted(range(len(samples)), key=lambda i: (samples.content_hashes[i], labels[i]))


def packed_first_classes(outputs: Outputs | None, samples: SampleSet | None) -> str | None:
    """What an engine takes each image for, in canonical order; None for outputs that are no classes."""
    if outputs is None or samples is None or outputs.logits is None:
        return None
    return pack_classes(outputs.logits.argmax(axis=1)[canonical_order(samples)].tolist())


def judge(rows: Sequence[EngineReport], target: TargetSpec) -> list[gate.Finding]:
    """Findings on the INT8 row: accuracy where it was measured, then speed; none where there is no such row."""
    speeds = {
        row.name: gate.Speed(name=row.name, speedup=row.speedup, throughput_per_second=row.throughput_per_second)
        for row in rows
        if row.throughput_per_second is not None
    }
    int8 = next((row for row in rows if row.name.startswith("int8")), None)
    if int8 is None:
        return []
    findings = []
    if int8.accuracy is not None:
        gates = target.gates
        findings.append(
            gate.judge_accuracy(
                int8.accuracy,
                max_drop_pp=gates.max_drop_pp,
                min_agreement_percent=gates.min_agreement_percent,
                min_sqnr_db=gates.min_sqnr_db,
            )
        )
    if int8.name not in speeds:
        return findings
    others = [speed for name, speed in speeds.items() if name != int8.name]
    speed = gate.judge_speed(speeds[int8.name], others, batch=target.batch, reference=rows[0].name.upper())
    return [*findings, explained(speed, copies=int8.copies, float_convolutions=int8.float_convolutions)]


def _row(engine: EngineFile, measured: Measurement, reference: Measurement, samples: SampleSet | None) -> EngineReport:
    accuracy = None
    if samples is not None and measured.outputs is not None and reference.outputs is not None:
        accuracy = stats_of(engine.name, engine.path.name, measured.outputs, reference.outputs, samples)
    int8 = engine.name.startswith("int8")
    facts = row_facts(measured.layers, get_backend(engine.runtime), int8=int8, times_ms=measured.layer_times_ms)
    return EngineReport(
        name=engine.name, runtime=engine.runtime, file=engine.path.name, sha256=engine.sha256, size_bytes=engine.size_bytes,
        precision_hint=engine.options.precision, load_seconds=measured.load_seconds, warm_up_seconds=measured.warm_up.seconds,
        warm_up_runs=measured.warm_up.runs, warm_up_stable=measured.warm_up.stable, settings=measured.settings,
        latency=measured.latency, speedup=measured.ratio, throughput_per_second=measured.throughput_per_second,
        end_to_end=measured.end_to_end, memory=measured.memory, accuracy=accuracy,
        first_classes=packed_first_classes(measured.outputs, samples), outputs=rows_of_outputs(measured.outputs), **facts,
    )  # fmt: skip


def rows_of_outputs(outputs: Outputs | None) -> tuple[OutputStats, ...]:
    """What each output is worth against the reference's; nothing where they are not finite."""
    if outputs is None or not outputs.finite:
        return ()
    return output_rows(outputs.names, outputs.signal_power, outputs.own_power, outputs.noise_power)


def stats_of(name: str, file: str, outputs: Outputs, reference: Outputs, samples: SampleSet) -> AccuracyStats:
    """What outputs are worth against the reference's.

    Raises:
        BackendError: they are not finite. DataError: the labels do not fit them.
    """
    if not outputs.finite:
        raise BackendError(f"{name}: {file} gives NaN or infinity on the evaluation images")
    if outputs.logits is None or reference.logits is None:
        if samples.labels is not None:
            raise DataError(
                "the evaluation set has labels, but the model is no classifier: its first output is not images x classes",
                hint="pass --ignore-labels",
            )
        return output_stats(len(samples), signal_power=outputs.signal_power, noise_power=outputs.noise_power)
    classes = outputs.logits.shape[1]
    if samples.labels is not None and (max(samples.labels) >= classes or len(samples.class_names or range(classes)) != classes):
        found = max(max(samples.labels) + 1, len(samples.class_names or ()))
        raise DataError(
            f"the evaluation set has {found} classes, the model has {classes}",
            hint=f"--num-classes {classes}, with folders named by class index or --class-names FILE; or --ignore-labels",
        )
    return accuracy_stats(outputs.logits, reference.logits, samples.labels)


def with_max_drop(target: TargetSpec, max_drop_pp: float | None) -> TargetSpec:
    """The target with another limit for the drop, where one is given."""
    return target if max_drop_pp is None else replace(target, gates=replace(target.gates, max_drop_pp=max_drop_pp))
