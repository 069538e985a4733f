"""What was measured becomes a report with its verdict, in one way for all ways to measure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_scnet.__about__ import __version__
from edge_scnet.config.target import TargetSpec
from edge_scnet.core.clock import now_utc
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.files import sha256_bytes
from edge_scnet.core.manifest import QDQ_ONNX, Manifest
from edge_scnet.core.packing import pack_classes
from edge_scnet.data.samples import SampleSet
from edge_scnet.machine import environment
from edge_scnet.machine.board import BoardState
from edge_scnet.machine.load import MachineLoad
from edge_scnet.pipeline.context import canonical_order
from edge_scnet.profiler.sweep import Sweep
from edge_scnet.report.dequantized import headline_of_dequantized, not_against_float
from edge_scnet.report.findings import Finding
from edge_scnet.report.run_report import (
    SCHEMA,
    EngineReport,
    EvaluationSet,
    Flips,
    RunReport,
    WorstSample,
)
from edge_scnet.report.verdict import verdict

INTERRUPTED = "interrupted: these are the figures up to then, and no verdict"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """What was measured of a build's engines, in whichever way."""

    rows: tuple[EngineReport, ...]
    # by the target's gates
    findings: tuple[Finding, ...]
    environment: dict[str, Any]
    # seconds by what was done, as "profile"
    spent: dict[str, float] = field(default_factory=dict)
    # timed seconds that were asked for, of each engine
    seconds: float | None = None
    evaluation: EvaluationSet | None = None
    # images whose first class is another than the reference's
    flips: Flips | None = None
    # samples that INT8 lost most on, of tasks other than classification
    worst: tuple[WorstSample, ...] = ()
    # what accuracy is judged by, and where that is known from
    task: str | None = None
    # of a Jetson, and what else the machine did, while the engines were timed
    board: BoardState | None = None
    load: MachineLoad | None = None
    # False: interrupted before all was measured
    complete: bool = True
    # other batches and numbers of threads
    sweep: Sweep | None = None


def conclude(
    measured: MeasuredRun,
    manifest: Manifest,
    target: TargetSpec,
    *,
    command: str,
    stage_seconds: Mapping[str, float] | None = None,
) -> RunReport:
    """The report of a run that ends now.

    Args:
        target: as judged by.
        command: what was called, for the reader of the report.
        stage_seconds: what the stages before the measuring took.
    """
    quantized = manifest.artifacts.get(QDQ_ONNX)
    facts = quantized.facts if quantized and isinstance(quantized.facts, QdqFacts) else None
    sweep = measured.sweep
    findings = measured.findings
    headline = verdict(findings, what=target.precision.upper())
    if manifest.dequantized:
        findings = not_against_float(findings)
        headline = headline_of_dequantized(findings)
    return RunReport(
        schema=SCHEMA,
        created_utc=now_utc(),
        command=command,
        model=manifest.model.name,
        target=target.name,
        batch=target.batch,
        engines=measured.rows,
        evaluation=measured.evaluation,
        findings=findings,
        verdict=headline if measured.complete else INTERRUPTED,
        stage_seconds={**(stage_seconds or {}), **measured.spent},
        environment=measured.environment,
        gates=target.gates,
        quantization=facts.quantization if facts else None,
        provenance=facts.provenance if facts else None,
        recovery=facts.recovery if facts else None,
        complete=measured.complete and (sweep is None or sweep.complete),
        board=measured.board,
        seconds=measured.seconds,
        load=measured.load,
        sweep=() if sweep is None else sweep.rows,
        sweep_load=None if sweep is None else sweep.load,
        flips=measured.flips,
        worst=measured.worst,
        task=measured.task,
        classes=manifest.model.classes,
        dequantized=manifest.dequantized,
    )


def this_machine() -> dict[str, Any]:
    """The environment of a run on this machine."""
    return {**environment.collect().to_dict(), "edge_scnet": __version__}


def evaluation_set(samples: SampleSet) -> EvaluationSet:
    """What identifies the evaluation images, and their labels."""
    order = canonical_order(samples)
    labels = None if samples.labels is None else np.asarray(samples.labels)[order]
    rows = [samples.content_hashes[i] for i in order] + (
        [] if labels is None else [str(label) for label in labels.tolist()]
    )
    if samples.targets is not None:
        # in the set's own order: other names of the same files are another truth, which is told
        rows.append(f"{samples.targets.kind} {samples.targets.hash}")
    return EvaluationSet(
        name=samples.name,
        sha256=samples.hash,
        images=len(samples),
        skipped=samples.skipped,
        labels=truth_words(samples),
        images_sha256=sha256_bytes("\n".join(rows).encode()),
        truth=None if labels is None else pack_classes(labels.tolist()),
    )


def truth_words(samples: SampleSet) -> str | None:
    """How the ground truth was found; None: there is none."""
    if samples.targets is not None:
        kind, rule = samples.targets.kind, samples.targets.rule
        return rule if rule.startswith(kind) else f"{kind}: {rule}"
    return samples.label_rule
