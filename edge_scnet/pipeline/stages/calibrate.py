"""Ranges.npz."""

from __future__ import annotations

from dataclasses import asdict

from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES, Artifact, Manifest
from edge_scnet.data.batches import batches
from edge_scnet.pipeline.stages.job import Plan, pilot_images, record, reusable, stage_settings

# Of the range, between two halves of the calibration images. 128 images of Fashion-MNIST move by 2
# %, 1,024 by 1 %.
_UNSTEADY_PERCENT = 10.0


def calibrate(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.quantize import calibrate
    from edge_scnet.quantize.ranges_file import save_ranges

    spec, samples, scheme = plan.source.spec, plan.calibration, plan.target.quant
    assert samples is not None
    model = manifest.artifacts[FLOAT_ONNX]
    events.stage("calibrate", f"{len(samples):,} images of {samples.name}")
    parents = {FLOAT_ONNX: model.sha256, "samples": samples.hash}
    key = artifact.stage_key(
        "calibrate",
        parents,
        stage_settings(
            "calibrate",
            spec=asdict(spec),
            histogram=scheme.thresholds != "minmax",
            equalization=scheme.equalization,
        ),
    )
    if (known := reusable(plan, manifest, RANGES, key)) is not None:
        events.done(_calibrate_words(known), reused=True)
        return manifest.with_artifact(known)
    ranges = calibrate.calibrate(
        plan.folder / FLOAT_ONNX,
        batches(samples, spec, batch=16),
        expected_images=len(samples),
        samples_hash=samples.hash,
        content_hashes=samples.content_hashes,
        histogram=scheme.thresholds != "minmax",
        pilot=pilot_images(plan) if scheme.equalization else None,
        equalization=scheme.equalization,
        progress=lambda done: events.progress("images", done / len(samples), done, "images"),
    )
    save_ranges(ranges, plan.folder / RANGES)
    drift = ranges.drift
    facts = {
        "images": ranges.images,
        "skipped": samples.skipped,
        "tensors": len(ranges.tensors),
        "set": samples.name,
        "drift_median_percent": drift.median_percent if drift else None,
        "classes": len(set(samples.labels or ())),
    }
    if drift is not None and drift.median_percent > _UNSTEADY_PERCENT:
        events.warn(
            f"thresholds move by {drift.median_percent:.0f} % between two halves of the"
            f" {len(samples)} calibration images (most, {drift.worst_percent:.0f} %, in"
            f" {drift.worst_tensor}): use more, or more varied ones"
        )
    entry = record(
        plan, RANGES, kind="ranges", stage="calibrate", key=key, parents=parents, **facts
    )
    events.done(_calibrate_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _calibrate_words(entry: Artifact) -> str:
    facts = entry.facts
    words = f"{facts['tensors']} tensors"
    if facts["classes"]:
        words += f"; {facts['classes']} classes"
    if (moved := facts["drift_median_percent"]) is not None:
        words += f"; thresholds move by {moved:.1f} % between halves of the set"
    return words
