"""A Q/DQ file as another quantizer writes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir

from edge_scnet.config.target import QuantScheme
from edge_scnet.data import batches
from edge_scnet.data.samples import open_samples
from edge_scnet.models import zoo
from edge_scnet.quantizer import recipe
from tests.helpers.statistics import calibrated
from tests.helpers.tool import Built


def written(built: Built, path: Path, *, placement: str, bits: int) -> Path:
    """A Q/DQ file of the bundled model, by another scheme than its target's."""
    scheme = QuantScheme(placement=placement, rounding="nearest", bias_correction=False)
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.calib, model=spec, role="calibration")
    found = calibrated(built.folder / "model.onnx", batches.load(samples, spec))
    model = ir.load(built.folder / "model.onnx")
    result = recipe.assemble(
        recipe.prepare(
            model, found, scheme, weight_bits=bits, images=np.zeros((0, 1, 28, 28), np.float32)
        )
    )
    ir.save(result.model, path)
    return path
