"""Reference outputs that travel with a bundle.

The plans built from it are compared with them (`fidelity.check_plan`). Nothing here needs ONNX once
the reference is made: a board may lack it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.compile.quality import FIDELITY_IMAGES, sqnr_by_output
from edge_scnet.data import batches as data_batches
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.run import run_onnx
from edge_scnet.stats.decibels import comparable

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec
    from edge_scnet.data.samples import SampleSet

# One image says little: its few outputs move by more than the margin when a code rounds the other
# way. Of large ones the bundle would grow by more than its networks.
_MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Images, whole batches of them, and what the float graph gives for them."""

    # Preprocessed, N x C x H x W float32.
    images: np.ndarray
    # By output of the graph.
    outputs: tuple[np.ndarray, ...]
    # SQNR of the simulated Q/DQ graph, by output; None: identical.
    simulation_db: tuple[float | None, ...]


def make(
    float_model: Path, qdq_model: Path, samples: SampleSet, spec: ModelSpec, *, batch: int
) -> Reference:
    """Runs the float graph and the Q/DQ graph on images of a sample set.

    Both run in ONNX Runtime with its optimisations off.
    """
    count = max(1, min(FIDELITY_IMAGES, len(samples), _MAX_BYTES // spec.sample_bytes))
    count = -(-count // batch) * batch
    chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
    images = data_batches.load(samples, spec, chosen)
    batches = np.split(images, count // batch)
    outputs = _stacked(run_onnx(float_model, batches))
    simulated = _stacked(run_onnx(qdq_model, batches))
    return Reference(
        images=images, outputs=outputs, simulation_db=sqnr_by_output(outputs, simulated)
    )


def to_npz(reference: Reference) -> bytes:
    """Returns the file `reference.npz`: `input`, `simulation_db` by output, and `output_0` ..."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "input": reference.images,
        "simulation_db": np.array([comparable(quality) for quality in reference.simulation_db]),
    }
    arrays |= {f"output_{i}": array for i, array in enumerate(reference.outputs)}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load(path: Path) -> Reference:
    """Reads what `to_npz` wrote.

    Raises:
        ArtifactError: it is no such file.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            count = sum(name.startswith("output_") for name in arrays.files)
            qualities: list[float] = arrays["simulation_db"].tolist()
            return Reference(
                images=arrays["input"],
                outputs=tuple(arrays[f"output_{i}"] for i in range(count)),
                simulation_db=tuple(db if np.isfinite(db) else None for db in qualities),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} holds no reference outputs: {error}",
            hint="build the bundle again: edge-scnet build",
        ) from error


def _stacked(runs: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Returns runs by batch as one array for each output, N x ..."""
    return tuple(np.concatenate(parts) for parts in zip(*runs, strict=True))
