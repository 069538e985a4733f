"""Calibration and evaluation sets: found, opened, checked against each other, and warned about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import RANGES, Manifest
from edge_scnet.core.source import parse_source
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.checks import check_counts, check_overlap, check_size, shared_with
from edge_scnet.data.labels import Role
from edge_scnet.data.samples import (
    SampleSet,
    bundled_sets,
    open_samples,
    unlabelled,
    without_copies,
)
from edge_scnet.errors import DataError
from edge_scnet.pipeline.input_line import say_input
from edge_scnet.pipeline.numbers_taken import check_numbers, check_same_numbers
from edge_scnet.quantizer.ranges_file import load_ranges

# The parameters of `edge_scnet.build` that options stand for.
_IN_PYTHON = {"--calib": "calib", "--eval": "evaluation"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRequest:
    """Which sample sets a build was asked to open."""

    # as `data.source` reads them
    calib: str | None
    evaluation: str | None
    # the stages need calibration images
    calibrates: bool
    # the stages need evaluation images
    evaluates: bool
    skip_bad: bool
    ignore_labels: bool
    # the command that builds, for hints
    command: str
    # the caller is Python code, and `command` a call
    in_python: bool = False
    # sets that the caller holds, in place of folders
    held: Mapping[Role, SampleSet] = field(default_factory=dict)


def open_sample_sets(
    request: SampleRequest, spec: ModelSpec, target: TargetSpec, events: Events
) -> tuple[SampleSet | None, SampleSet | None]:
    """The calibration and the evaluation set of a build; None where the stages need none.

    Raises:
        DataError: a set is missing, cannot be used, or an image is in both; one holds codes of
            pixels, and the other prepared ones.
    """
    bundled = bundled_sets(spec.dataset) if spec.dataset else (None, None)
    calib, where = request.calib or bundled[0], request.evaluation or bundled[1]
    calibration, evaluation = _held(request, "calibration"), _held(request, "evaluation")
    missing = []
    if calib is None and calibration is None and request.calibrates:
        missing.append("--calib")
    if where is None and evaluation is None and request.evaluates:
        missing.append("--eval")
    if missing:
        raise _missing(missing, request, spec)
    if calib is not None and calibration is None:
        calibration = open_samples(
            calib,
            model=spec,
            role="calibration",
            skip_bad=request.skip_bad,
            limit=target.quant.samples,
        )
    warnings = [] if calibration is None else _checked(calibration, spec, "calibration")
    if where is not None and evaluation is None and request.evaluates:
        evaluation = open_samples(
            where,
            model=spec,
            role="evaluation",
            skip_bad=request.skip_bad,
            ignore_labels=request.ignore_labels,
        )
    warnings += [] if evaluation is None else _checked(evaluation, spec, "evaluation")
    if calibration is not None and evaluation is not None:
        check_overlap(calibration, evaluation)
        check_same_numbers(spec, calibration, evaluation)
    for message in warnings:
        events.warn(message)
    return calibration, evaluation


def _missing(options: Sequence[str], request: SampleRequest, spec: ModelSpec) -> DataError:
    """The error of sets that are needed and not given, by their options."""
    words = [_IN_PYTHON[option] if request.in_python else option for option in options]
    given = ", ".join(f"{word}=SAMPLES" for word in words)
    spelled = " ".join(f"{option} DIR" for option in options)
    return DataError(
        f"{spec.name} has no bundled images: {' and '.join(words)} needed",
        hint=(
            f"pass {given}, or a folder; edge_scnet.quantize(model, samples) needs no more"
            if request.in_python
            else f"{request.command} {spelled}"
        ),
    )


def _held(request: SampleRequest, role: Role) -> SampleSet | None:
    """A set that is held, as it is wanted; None: it is not held."""
    samples = request.held.get(role)
    if samples is None:
        return None
    name = request.calib if role == "calibration" else request.evaluation
    if role == "evaluation" and request.ignore_labels:
        samples = unlabelled(samples)
    return without_copies(samples) if _drops_copies(name) else samples


def _drops_copies(name: str | None) -> bool:
    """Whether a set's name says that copies are left out."""
    return name is not None and parse_source(name).settings.get("duplicates") == "drop"


def open_evaluation_set(
    folder: BuildFolder,
    evaluation: str | None,
    *,
    skip_bad: bool,
    ignore_labels: bool,
    events: Events,
) -> SampleSet | None:
    """The evaluation set to profile a build with, whose input is told; None where there is none.

    Args:
        evaluation: other images than the build's, which it must not have been calibrated with.

    Raises:
        DataError: the images cannot be used, or are other numbers than the engines take.
    """
    spec = folder.manifest.model
    where = evaluation or evaluation_folder(folder.manifest)
    if where is None:
        return None
    samples = open_samples(
        where, model=spec, role="evaluation", skip_bad=skip_bad, ignore_labels=ignore_labels
    )
    for message in _checked(samples, spec, "evaluation"):
        events.warn(message)
    if evaluation is not None and RANGES in folder.manifest.artifacts:
        _check_not_calibrated(samples, load_ranges(folder.verified(RANGES)).content_hashes)
    if folder.manifest.input.is_bytes:
        _check_bytes(samples, folder)
    check_numbers(samples, folder)
    say_input(spec, events, evaluation=samples)
    return samples


def _check_bytes(samples: SampleSet, folder: BuildFolder) -> None:
    """Refuses samples that engines of bytes cannot be fed with.

    Raises:
        DataError: they are arrays, or pictures of 16 bits.
    """
    found = "holds arrays" if samples.arrays is not None else ""
    if samples.deep:
        found = f"has {samples.deep} pictures of 16 bits a pixel"
    if found:
        spec = folder.manifest.model
        raise DataError(
            f"the engines of {folder.path} take uint8 N x {spec.height} x {spec.width} x"
            f" {spec.channels}, pixels of 8 bits; {samples.name} {found}",
            hint="name a folder of 8-bit pictures, or build engines of floats: edge-scnet build"
            " MODEL --input float",
        )


def evaluation_folder(manifest: Manifest) -> Path | str | None:
    """Where a build's evaluation images are: its own, else its model's bundled ones."""
    if manifest.evaluation:
        return manifest.evaluation
    return bundled_sets(manifest.model.dataset)[1] if manifest.model.dataset else None


def _checked(samples: SampleSet, spec: ModelSpec, role: Role) -> list[str]:
    """The warnings about a set.

    Raises:
        DataError: too few calibration images, or some that cannot fill the input.
    """
    _check_fills(samples, spec, role)
    return [*check_counts(samples, role=role), *check_size(samples, spec, role=role)]


def _check_fills(samples: SampleSet, spec: ModelSpec, role: Role) -> None:
    """Refuses images that are too small for an input that they are not resized to.

    Raises:
        DataError: says how many, and names the first.
    """
    if not spec.takes_pictures or spec.preprocessing.resize != "none":
        return
    sizes = list(samples.image_sizes)
    if samples.pixels is not None:
        height, width = samples.pixels.shape[1:3]
        sizes = [(width, height)] * len(samples)
    small = [i for i, (wide, high) in enumerate(sizes) if wide < spec.width or high < spec.height]
    if small:
        wide, high = sizes[small[0]]
        raise DataError(
            f"{len(small)} of {len(samples)} {role} images cannot fill an input of"
            f" {spec.width} x {spec.height} without being resized, as --resize-mode none says:"
            f" {samples.root / samples.entries[small[0]]} is {wide} x {high}",
            hint="--resize-mode crop, stretch or letterbox",
        )


def _check_not_calibrated(samples: SampleSet, calibrated: Collection[str]) -> None:
    """Refuses evaluation images that were calibrated with, by the hashes of their contents.

    Raises:
        DataError: names the first of them.
    """
    shared = shared_with(samples, calibrated)
    if shared:
        named = ", ".join(samples.entries[i] for i in shared[:3])
        raise DataError(
            f"{len(shared)} of {len(samples)} evaluation images were used for calibration: {named}",
            hint="evaluate on images that the quantizer has not seen: --eval TEST_IMAGES",
        )
