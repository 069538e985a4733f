"""The calibrate stage: ranges.npz, the statistics over the calibration images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict

import numpy as np

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import RangesFacts
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.data.batches import batches
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record, reusable
from edge_scnet.pipeline.stages.pilot import peak_batches
from edge_scnet.quantizer.calibrate import CalibrationImages, Equalization
from edge_scnet.quantizer.calibrate import calibrate as collect
from edge_scnet.quantizer.ranges_file import save_ranges
from edge_scnet.quantizer.shared import collect_by
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.scale.pool import with_workers

# Of the range, between two halves of the calibration images. 128 images of Fashion-MNIST move by
# 2 %, 1,024 by 1 %.
_UNSTEADY_PERCENT = 10.0


def calibrate(job: BuildJob, events: Events) -> BuildFolder:
    """Collects what the quantizer needs to know of every tensor.

    Raises:
        ArtifactError: the float graph is not what was exported.
        DataError: an image that cannot be read.
    """
    spec, samples, scheme = job.source.spec, job.calibration, job.target.quant
    assert samples is not None
    events.stage("calibrate", f"{len(samples):,} images of {samples.name}")
    origin = origin_of(
        "calibrate",
        {**job.folder.hashes([FLOAT_ONNX]), "samples": samples.hash},
        spec=asdict(spec),
        histogram=scheme.thresholds != "minmax",
        equalization=scheme.equalization,
        rescaled=scheme.placement == "openvino",
    )
    if (reused := reusable(job.folder, RANGES, origin.key)) is not None:
        folder = job.folder.with_artifact(reused)
        events.done(_summary(folder), reused=True)
        facts = folder.facts(RANGES, RangesFacts)
        if not facts.varies:
            events.warn(_of_one_sample(facts.images))
        return folder
    inputs = Watched(batches(samples, spec, batch=16))
    ranges = collect(
        job.folder.verified(FLOAT_ONNX),
        CalibrationImages(
            batches=inputs,
            count=len(samples),
            samples_hash=samples.hash,
            content_hashes=samples.content_hashes,
        ),
        histogram=scheme.thresholds != "minmax",
        equalization=(
            Equalization(
                pilot=peak_batches(job),
                strength=scheme.equalization,
                rescaled=scheme.placement == "openvino",
            )
            if scheme.equalization
            else None
        ),
        progress=lambda done: events.progress("images", done / len(samples), done, "images"),
        collect=None if job.pool is None else collect_by(job.pool),
    )
    save_ranges(ranges, job.folder.path / RANGES)
    for message in _doubts(inputs, ranges):
        events.warn(message)
    drift = ranges.drift
    facts = RangesFacts(
        images=ranges.images,
        skipped=samples.skipped,
        tensors=len(ranges.tensors),
        set=samples.name,
        drift_median_percent=drift.median_percent if drift else None,
        classes=len(set(samples.labels or ())),
        varies=inputs.vary or inputs.count < 2,
    )
    entry = record(job.folder.path, RANGES, origin, kind="ranges", facts=facts)
    folder = job.folder.with_artifact(entry)
    events.done(with_workers(_summary(folder), job.pool), reused=False)
    return folder


class Watched:
    """Batches passed on, and whether any sample differs from the first."""

    def __init__(self, batches: Iterable[np.ndarray]) -> None:
        """Begins with no samples.

        Args:
            batches: as `core.feeds` has them.
        """
        self._batches = batches
        self._first: np.ndarray | None = None
        self.count, self.vary = 0, False

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields the batches as they are."""
        for batch in self._batches:
            if self._first is None:
                self._first = batch[:1].copy()
            self.count += len(batch)
            self.vary = self.vary or bool((batch != self._first).any())
            yield batch


def _doubts(inputs: Watched, ranges: Ranges) -> Iterator[str]:
    """Yields why the ranges may not be those of other samples."""
    if inputs.count > 1 and not inputs.vary:
        yield _of_one_sample(inputs.count)
    drift = ranges.drift
    if drift is not None and drift.median_percent > _UNSTEADY_PERCENT:
        yield (
            f"thresholds move by {drift.median_percent:.0f} % between two halves of the"
            f" {inputs.count} calibration images (most, {drift.worst_percent:.0f} %, in"
            f" {drift.worst_tensor}): use more, or more varied ones"
        )


def _of_one_sample(count: int) -> str:
    return (
        f"the network gets the same for all {count:,} calibration samples: the ranges are those of"
        " a single one, and tell nothing of others. Is the set one image many times, or are mean"
        " and std in other units?"
    )


def _summary(folder: BuildFolder) -> str:
    facts = folder.facts(RANGES, RangesFacts)
    text = f"{facts.tensors} tensors"
    if facts.classes:
        text += f"; {facts.classes} classes"
    if facts.drift_median_percent is not None:
        text += f"; thresholds move by {facts.drift_median_percent:.1f} % between halves of the set"
    return text
