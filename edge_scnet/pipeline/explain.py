"""Why accuracy fails: which modules cost it, and whether the engine computes its own graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, RANGES
from edge_scnet.data.batches import load as load_images
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import DataError, EdgeError
from edge_scnet.graph.model import load
from edge_scnet.pipeline.build_folder import target_of
from edge_scnet.pipeline.samples import evaluation_folder
from edge_scnet.quantizer.equalize import equalize
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.report.run_report import RunReport, accuracy_row
from edge_scnet.sensitivity.bisect import Relief, bisect, nearest

if TYPE_CHECKING:
    import onnx_ir as ir

_IMAGES = 48
# An engine this far below its own graph's simulation computes something else; a build allows 2 dB.
_MISCOMPILED_DB = 3.0
_MOST_NAMED = 4


def explain(report: RunReport, folder: Path, *, events: Events | None = None) -> list[str]:
    """Lines that name the blocks and modules which cost most.

    Args:
        report: the report of the build.
        folder: its build folder; its images must still be where they were.

    Raises:
        EdgeError: images that cannot be read, or a package is missing.
    """
    events = events or Silent()
    try:
        build = BuildFolder.open(folder)
        quantized = load(build.verified(QDQ_ONNX))
        reference = float_graph(build, quantized)
    except EdgeError as error:
        return [f"not explained: the build's files are not beside the report ({error})"]
    images = explaining_images(build)
    events.stage(
        "explain", f"blocks of the Q/DQ graph back in float, one at a time, on {len(images)} images"
    )
    bisection = bisect(
        quantized, reference, images, progress=lambda share: events.progress("blocks", share)
    )
    events.done(f"{len(bisection.blocks)} blocks, {len(bisection.modules)} modules", reused=False)
    if bisection.sqnr_db is None:
        return [
            "in simulation the Q/DQ graph computes what the float graph does: the engine is not"
            " that graph's"
        ]
    lines = [
        "the noise at the outputs that goes away with a block back in float: "
        + _shares(bisection.blocks)
    ]
    if bisection.modules:
        lines.append(f"in {bisection.blocks[0].name}: " + _shares(bisection.modules))
    row = accuracy_row(report)
    engine_db = row.accuracy.sqnr_db if row is not None and row.accuracy is not None else None
    if engine_db is not None and engine_db < bisection.sqnr_db - _MISCOMPILED_DB:
        lines.append(
            f"in simulation the graph has {bisection.sqnr_db:.1f} dB, the engine {engine_db:.1f}:"
            " it computes something else"
        )
    return lines


def _shares(reliefs: tuple[Relief, ...]) -> str:
    """The first of them, with their shares."""
    return ", ".join(
        f"{relief.name} {100 * relief.share:.0f} %" for relief in reliefs[:_MOST_NAMED]
    )


def float_graph(folder: BuildFolder, quantized: ir.Model) -> ir.Model:
    """The float graph in the form that was quantized, equalised or not.

    Weights can then be exchanged between the two.

    Raises:
        ArtifactError: a file of the build is missing or is not what was built.
    """
    model = load(folder.verified(FLOAT_ONNX))
    factors = load_ranges(folder.verified(RANGES)).factors
    return nearest(quantized, [model, equalize(model, factors)] if factors else [model])


def explaining_images(folder: BuildFolder) -> np.ndarray:
    """Whole batches of the build's evaluation images: N x C x H x W float32.

    Raises:
        DataError: there are none, or they cannot be read.
    """
    spec = folder.manifest.model
    where = evaluation_folder(folder.manifest)
    if where is None:
        raise DataError(
            f"{spec.name} was built without evaluation images", hint=folder.manifest.rebuild
        )
    samples = open_samples(where, model=spec, role="evaluation", ignore_labels=True)
    batch = target_of(folder).batch
    count = max(batch, min(_IMAGES, len(samples)) // batch * batch)
    spread = [i * len(samples) // count % len(samples) for i in range(count)]
    return load_images(samples, spec, spread)
