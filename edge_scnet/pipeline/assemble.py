"""Measurements become rows of a report, findings by the target's gates, and an exit code.

Knows nothing of how engines are found or made.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.__about__ import __version__
from edge_scnet.config.target import TargetSpec
from edge_scnet.core.clock import now_utc
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.json_records import convert
from edge_scnet.core.manifest import QDQ_ONNX, Artifact, Manifest
from edge_scnet.core.packing import pack_classes
from edge_scnet.core.provenance import Provenance, Quantization
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError, DataError
from edge_scnet.machine import environment
from edge_scnet.pipeline import flips
from edge_scnet.pipeline.layers import row_facts
from edge_scnet.profiler.measure import Measurement
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.profiler.process import EngineFile
from edge_scnet.report.findings import Finding, exit_code
from edge_scnet.report.run_report import SCHEMA, EngineReport, EvaluationSet, Flips, RunReport
from edge_scnet.report.verdict import verdict
from edge_scnet.runtimes import runtime_named
from edge_scnet.stats.accuracy import accuracy_stats, output_rows, output_stats
from edge_scnet.stats.figures import AccuracyStats, OutputStats


def flips_of(
    outputs: Outputs | None, reference: Outputs | None, samples: SampleSet | None, spec: ModelSpec
) -> Flips | None:
    """The images that an engine takes for something else than the reference; None where outputs are
    no classes.
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


def new_report(
    manifest: Manifest,
    rows: Sequence[EngineReport],
    samples: SampleSet | None,
    findings: Sequence[Finding],
    *,
    target: TargetSpec,
    stage_seconds: dict[str, float],
) -> tuple[RunReport, int]:
    """The report of a run that ends now, and its exit code."""
    facts = manifest.artifacts[QDQ_ONNX].facts if QDQ_ONNX in manifest.artifacts else {}
    report = RunReport(
        schema=SCHEMA,
        created_utc=now_utc(),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        model=manifest.model.name,
        target=target.name,
        batch=target.batch,
        engines=tuple(rows),
        evaluation=_evaluation_set(samples) if samples is not None else None,
        findings=tuple(findings),
        verdict=verdict(findings),
        stage_seconds=stage_seconds,
        environment={**environment.collect().to_dict(), "edge_scnet": __version__},
        gates=target.gates,
        quantization=convert(Quantization | None, facts.get("quantization")),
        provenance=convert(Provenance | None, facts.get("provenance")),
        classes=manifest.model.classes,
    )
    return report, exit_code(findings)


def _evaluation_set(samples: SampleSet) -> EvaluationSet:
    order = canonical_order(samples)
    labels = None if samples.labels is None else np.asarray(samples.labels)[order]
    rows = [samples.content_hashes[i] for i in order] + (
        [] if labels is None else [str(label) for label in labels.tolist()]
    )
    return EvaluationSet(
        name=samples.name,
        sha256=samples.hash,
        images=len(samples),
        skipped=samples.skipped,
        labels=samples.label_rule,
        images_sha256=sha256_bytes("\n".join(rows).encode()),
        truth=None if labels is None else pack_classes(labels.tolist()),
    )


def canonical_order(samples: SampleSet) -> list[int]:
    """Indices that sort images by content, then label: the same for the same images under any names
    and in any order.
    """
    labels = samples.labels or (0,) * len(samples)
    return sorted(range(len(samples)), key=lambda i: (samples.content_hashes[i], labels[i]))


def packed_first_classes(outputs: Outputs | None, samples: SampleSet | None) -> str | None:
    """What an engine takes each image for, in canonical order; None for outputs that are no
    classes.
    """
    if outputs is None or samples is None or outputs.logits is None:
        return None
    return pack_classes(outputs.logits.argmax(axis=1)[canonical_order(samples)].tolist())


def row_of_engine(
    engine: EngineFile, measured: Measurement, reference: Measurement, samples: SampleSet | None
) -> EngineReport:
    accuracy = None
    if samples is not None and measured.outputs is not None and reference.outputs is not None:
        accuracy = stats_of(
            engine.name, engine.path.name, measured.outputs, reference.outputs, samples
        )
    int8 = engine.name.startswith("int8")
    facts = row_facts(
        measured.layers, runtime_named(engine.runtime), int8=int8, times_ms=measured.layer_times_ms
    )
    return EngineReport(
        name=engine.name,
        runtime=engine.runtime,
        file=engine.path.name,
        sha256=engine.sha256,
        size_bytes=engine.size_bytes,
        precision_hint=engine.options.precision,
        load_seconds=measured.load_seconds,
        warm_up_seconds=measured.warm_up.seconds,
        warm_up_runs=measured.warm_up.runs,
        warm_up_stable=measured.warm_up.stable,
        settings=measured.settings,
        latency=measured.latency,
        speedup=measured.ratio,
        throughput_per_second=measured.throughput_per_second,
        end_to_end=measured.end_to_end,
        memory=measured.memory,
        accuracy=accuracy,
        first_classes=packed_first_classes(measured.outputs, samples),
        outputs=rows_of_outputs(measured.outputs),
        **facts,
    )


def rows_of_outputs(outputs: Outputs | None) -> tuple[OutputStats, ...]:
    """What each output is worth against the reference's; nothing where they are not finite."""
    if outputs is None or not outputs.finite:
        return ()
    return output_rows(outputs.names, outputs.signal_power, outputs.own_power, outputs.noise_power)


def stats_of(
    name: str, file: str, outputs: Outputs, reference: Outputs, samples: SampleSet
) -> AccuracyStats:
    """What outputs are worth against the reference's.

    Raises:
        BackendError: they are not finite. DataError: the labels do not fit them.
    """
    if not outputs.finite:
        raise BackendError(f"{name}: {file} gives NaN or infinity on the evaluation images")
    if outputs.logits is None or reference.logits is None:
        if samples.labels is not None:
            raise DataError(
                "the evaluation set has labels, but the model is no classifier: its first output is"
                " not images x classes",
                hint="pass --ignore-labels",
            )
        return output_stats(
            len(samples), signal_power=outputs.signal_power, noise_power=outputs.noise_power
        )
    classes = outputs.logits.shape[1]
    if samples.labels is not None and (
        max(samples.labels) >= classes or len(samples.class_names or range(classes)) != classes
    ):
        found = max(max(samples.labels) + 1, len(samples.class_names or ()))
        raise DataError(
            f"the evaluation set has {found} classes, the model has {classes}",
            hint=(
                f"--num-classes {classes}, with folders named by class index or --class-names FILE;"
                " or --ignore-labels"
            ),
        )
    return accuracy_stats(outputs.logits, reference.logits, samples.labels)


def row_of_graph(
    entry: Artifact, name: str, accuracy: AccuracyStats, outputs: Outputs, samples: SampleSet
) -> EngineReport:
    return EngineReport(
        name=name,
        runtime="onnxruntime",
        file=entry.file,
        sha256=entry.sha256,
        size_bytes=entry.size_bytes,
        precision_hint="f32",
        convolutions={},
        other_layers={},
        load_seconds=None,
        warm_up_seconds=None,
        latency=None,
        speedup=None,
        throughput_per_second=None,
        memory=None,
        accuracy=accuracy,
        first_classes=packed_first_classes(outputs, samples),
        outputs=rows_of_outputs(outputs),
    )
