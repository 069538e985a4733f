"""The calibration images that decide factors and corrections."""

from __future__ import annotations

import numpy as np

from edge_scnet.data.batches import load
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.quantizer import calibrate, recipe


def pilot_images(job: BuildJob) -> np.ndarray:
    """The pilot images of a job, preprocessed: N x C x H x W float32."""
    assert job.calibration is not None
    chosen = calibrate.pilot_indices(job.calibration.content_hashes, recipe.PILOT_IMAGES)
    return load(job.calibration, job.source.spec, chosen)
