"""The images that engines of a search are judged on, and what the float graph makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.core.ragged import ragged
from edge_scnet.data.samples import MIN_CALIBRATION
from edge_scnet.graph.counting import are_counted, without
from edge_scnet.graph.model import load
from edge_scnet.graph.run import joined, run_onnx
from edge_scnet.pipeline.search_task import task_of
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.scale.pool import Pool
from edge_scnet.sensitivity.shared import outputs_by

# What the float graph's outputs for the images of a search may take.
_MOST_OUTPUT_BYTES = 1 << 30


def chosen_images(job: BuildJob, images: np.ndarray, *, quick: bool) -> np.ndarray:
    """The numbers of the images that engines are measured on, in whole batches, spread over all."""
    batch, most = job.target.batch, len(images)
    if task_of(job) is not None:
        first = run_onnx(job.folder.verified(FLOAT_ONNX), [images[:batch]])
        of_one = max(sum(output.nbytes for output in first[0]) // batch, 1)
        most = max(_MOST_OUTPUT_BYTES // of_one, MIN_CALIBRATION)
    if quick:
        most = min(most, MIN_CALIBRATION)
    return spread(len(images), max(min(most, len(images)) // batch, 1) * batch)


def spread(count: int, most: int) -> np.ndarray:
    """At most so many of the numbers below `count`, evenly spread."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def reference_outputs(
    float_onnx: Path, images: np.ndarray, batch: int, pool: Pool | None
) -> list[np.ndarray]:
    """The float graph's outputs for all images; ragged where their size depends on the data.

    Args:
        pool: whose workers compute them; None: this process.
    """
    graph = load(float_onnx).graph
    counted = are_counted(graph)
    if pool is None:
        batches = [images[start : start + batch] for start in range(0, len(images), batch)]
        runs = run_onnx(float_onnx, batches, optimize=True)
    else:
        names = str(graph.inputs[0].name), [str(value.name) for value in graph.outputs]
        runs = outputs_by(pool, pool.blob(float_onnx.read_bytes()), images, batch, names)
    sized = iter(joined([without(counted, outputs) for outputs in runs]))
    return [
        ragged([outputs[i] for outputs in runs]) if is_counted else next(sized)
        for i, is_counted in enumerate(counted)
    ]
