"""Calibration and evaluation sets, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.events import Events
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import samples as dataset
from edge_scnet.data.checks import check_counts, check_overlap, check_size
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Which sample sets a build was asked to open."""

    calib: Path | None
    evaluation: Path | None
    calibrates: bool  # the stages need calibration images
    evaluates: bool  # the stages need evaluation images
    skip_bad: bool
    ignore_labels: bool
    command: str  # the command that builds, for hints


def open_sample_sets(
    asked: SampleRequest, spec: ModelSpec, target: TargetSpec, events: Events
) -> tuple[SampleSet | None, SampleSet | None]:
    """The calibration and evaluation sets, opened and checked against each other; None where the
    stages need none.
    """
    bundled = dataset.bundled_sets(spec.dataset) if spec.dataset else (None, None)
    calib, where = asked.calib or bundled[0], asked.evaluation or bundled[1]
    missing = []
    if calib is None and asked.calibrates:
        missing.append("--calib")
    if where is None and asked.evaluates:
        missing.append("--eval")
    if missing:
        raise DataError(
            f"{spec.name} has no bundled images: {' and '.join(missing)} needed",
            hint=f"{asked.command} {' '.join(f'{option} DIR' for option in missing)}",
        )
    calibration = evaluation = None
    warnings: list[str] = []
    if calib is not None:
        calibration = dataset.open_samples(
            calib,
            model=spec,
            role="calibration",
            skip_bad=asked.skip_bad,
            limit=target.quant.samples,
        )
        warnings += check_counts(calibration, role="calibration")
        warnings += check_size(calibration, spec, role="calibration")
    if where is not None and asked.evaluates:
        evaluation = dataset.open_samples(
            where,
            model=spec,
            role="evaluation",
            skip_bad=asked.skip_bad,
            ignore_labels=asked.ignore_labels,
        )
        warnings += check_counts(evaluation, role="evaluation")
        warnings += check_size(evaluation, spec, role="evaluation")
    if calibration is not None and evaluation is not None:
        check_overlap(calibration, evaluation)
    for message in warnings:
        events.warn(message)
    return calibration, evaluation
