"""The proof of what lies in front of outputs whose size depends on the data.

The outputs themselves cannot be compared number by number. What they are computed from can: boxes
and scores. Outputs added to an engine would change its fusions, so a second engine is built of the
same Q/DQ graph, cut off there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.compile.fidelity import RealImages, check_fidelity
from edge_scnet.core.facts import Fidelity
from edge_scnet.core.manifest import ENGINE, FLOAT_ONNX, QDQ_ONNX
from edge_scnet.graph.counting import counted_outputs, fronts_of, in_front
from edge_scnet.graph.model import load, save
from edge_scnet.runtimes.base import OpenOptions, Runtime

if TYPE_CHECKING:
    from edge_scnet.config.target import TargetSpec


def check_front(
    runtime: Runtime, target: TargetSpec, folder: Path, images: np.ndarray, options: OpenOptions
) -> Fidelity | None:
    """Compares an engine of what is in front of counted outputs with the simulation of its graph.

    Args:
        folder: of the build: it holds the float graph and the Q/DQ graph.
        images: preprocessed real images, N x C x H x W float32.

    Returns:
        None where no output counts, or the Q/DQ graph has no tensors of these names.

    Raises:
        ParityError: as `check_fidelity`. BackendError: the runtime refuses the part.
    """
    graphs = {file: load(folder / file) for file in (FLOAT_ONNX, QDQ_ONNX)}
    if not counted_outputs(graphs[FLOAT_ONNX].graph):
        return None
    fronts = fronts_of(graphs[FLOAT_ONNX].graph)
    with tempfile.TemporaryDirectory() as temporary:
        part = Path(temporary)
        for file, model in graphs.items():
            cut = in_front(model, fronts)
            if cut is None:
                return None
            save(cut, part / file)
        built = runtime.build(part / QDQ_ONNX, target, part / f"{ENGINE}{runtime.suffix}")
        return check_fidelity(
            runtime,
            built.engine,
            float_model=part / FLOAT_ONNX,
            qdq_model=part / QDQ_ONNX,
            images=RealImages(prepared=images),
            options=options,
        )
