"""Why accuracy fails: which modules cost it, by the build's own Q/DQ graph, and whether the engine
computes that graph.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.data import samples as dataset
from edge_scnet.data.batches import load
from edge_scnet.errors import EdgeError
from edge_scnet.graph.model import load as load_graph
from edge_scnet.report.run_report import accuracy_row

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir

    from edge_scnet.core.events import Events
    from edge_scnet.core.manifest import Manifest
    from edge_scnet.report.run_report import RunReport
    from edge_scnet.sensitivity.bisect import Relief

_IMAGES = 48
# An engine this far below its own graph's simulation computes something else (`compile.py` allows 2
# dB).
_MISCOMPILED_DB = 3.0


def explain(report: RunReport, folder: Path, *, events: Events | None = None) -> list[str]:
    """Lines that name the blocks and modules which cost most.

    Args:
        report: the report of the build.
        folder: its build folder; its images must still be where they were.

    Raises:
        EdgeError: a file of the build is damaged, or a package is missing.
    """
    from edge_scnet.core.events import Silent
    from edge_scnet.core.manifest import QDQ_ONNX
    from edge_scnet.sensitivity.bisect import bisect

    events = events or Silent()
    try:
        build = BuildFolder.open(folder)
        quantized = load_graph(build.verified(QDQ_ONNX))
        reference = float_graph(build, quantized)
    except EdgeError as error:
        return [f"not explained: the build's files are not beside the report ({error})"]
    images = explaining_images(build.manifest)
    events.stage(
        "explain", f"blocks of the Q/DQ graph back in float, one at a time, on {len(images)} images"
    )
    found = bisect(
        quantized, reference, images, progress=lambda share: events.progress("blocks", share)
    )
    events.done(f"{len(found.blocks)} blocks, {len(found.modules)} modules", reused=False)
    if found.sqnr_db is None:
        return [
            "in simulation the Q/DQ graph computes what the float graph does: the engine is not"
            " that graph's"
        ]
    lines = [
        "the noise at the outputs that goes away with a block back in float: "
        + _shares(found.blocks[:4])
    ]
    if found.modules:
        lines.append(f"in {found.blocks[0].name}: " + _shares(found.modules[:4]))
    row = accuracy_row(report)
    measured = row.accuracy.sqnr_db if row is not None and row.accuracy is not None else None
    if measured is not None and measured < found.sqnr_db - _MISCOMPILED_DB:
        lines.append(
            f"in simulation the graph has {found.sqnr_db:.1f} dB, the engine {measured:.1f}: it"
            " computes something else"
        )
    return lines


def _shares(reliefs: tuple[Relief, ...]) -> str:
    return ", ".join(f"{relief.name} {100 * relief.share:.0f} %" for relief in reliefs)


def float_graph(folder: BuildFolder, quantized: ir.Model) -> ir.Model:
    """The float graph in the form that was quantized, equalised or not, so that weights can be
    exchanged between the two.
    """
    from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
    from edge_scnet.quantize.equalize import equalize
    from edge_scnet.quantize.ranges_file import load_ranges
    from edge_scnet.sensitivity.bisect import nearest

    model = load_graph(folder.verified(FLOAT_ONNX))
    factors = load_ranges(folder.verified(RANGES)).factors
    return nearest(quantized, [model, equalize(model, factors)] if factors else [model])


def explaining_images(manifest: Manifest) -> np.ndarray:
    """Evaluation images where the build had any, else its model's bundled ones."""
    spec = manifest.model
    where = (
        Path(manifest.evaluation)
        if manifest.evaluation
        else dataset.bundled_sets(str(spec.dataset))[1]
    )
    samples = dataset.open_samples(where, model=spec, role="evaluation", ignore_labels=True)
    batch = int(manifest.target.get("batch", 1))
    count = max(batch, min(_IMAGES, len(samples)) // batch * batch)
    return load(samples, spec, [i * len(samples) // count % len(samples) for i in range(count)])
