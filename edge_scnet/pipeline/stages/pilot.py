"""The calibration images that decide factors and corrections."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.data.batches import load
from edge_scnet.graph.model import load as load_graph
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.quantizer import calibrate, recipe

_AT_ONCE = 16


def pilot_images(job: BuildJob) -> np.ndarray:
    """The pilot images of a job, preprocessed: N x C x H x W float32."""
    assert job.calibration is not None
    count = recipe.images_wanted(load_graph(job.folder.verified(FLOAT_ONNX)))
    chosen = calibrate.pilot_indices(job.calibration.content_hashes, count)
    return load(job.calibration, job.source.spec, chosen)


def peak_batches(job: BuildJob) -> Iterator[np.ndarray]:
    """Yields the images whose channel peaks decide factors, as `pilot_images`, in batches."""
    assert job.calibration is not None
    hashes = job.calibration.content_hashes
    count = calibrate.peak_images(load_graph(job.folder.verified(FLOAT_ONNX)), len(hashes))
    chosen = calibrate.pilot_indices(hashes, count)
    for start in range(0, count, _AT_ONCE):
        yield load(job.calibration, job.source.spec, chosen[start : start + _AT_ONCE])
