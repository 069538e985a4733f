"""Reference outputs that go with a bundle, and whether the plans built from it compute them.

The rule is that of the CPU target (`compile.py`): an INT8 engine may lose 2 dB against the
simulation of its graph, both against the float graph. Nothing here needs ONNX once the reference is
made: a board may lack it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.compile.quality import FIDELITY_IMAGES, FIDELITY_MARGIN_DB
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.runtimes.base import OpenOptions, Runtime
from edge_scnet.stats.accuracy import sqnr_db

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec
    from edge_scnet.data.samples import SampleSet

# FP16's rounding leaves 35 dB and more even of SCNet-50 with random weights, which makes the most
# of any error; a layer that overflows or is computed wrongly leaves less than 10.
FP16_MIN_DB = 25.0
# One image says little: its few outputs move by more than the margin when a code rounds the other
# way. Of large ones the bundle would grow by more than its networks.
_MAX_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Images, whole batches of them, and what the float graph gives for them."""

    images: np.ndarray  # preprocessed, N x C x H x W float32
    outputs: tuple[np.ndarray, ...]  # by output of the graph
    simulation_db: tuple[
        float, ...
    ]  # SQNR of the simulated Q/DQ graph, by output; infinite: identical


def make(
    float_model: Path, qdq_model: Path, samples: SampleSet, spec: ModelSpec, *, batch: int
) -> Reference:
    """Runs the float graph and the Q/DQ graph in ONNX Runtime, optimisations off, on images of a
    sample set.
    """
    from edge_scnet.data import batches as data_batches
    from edge_scnet.graph.run import run_onnx

    image_bytes = spec.channels * spec.input_size**2 * 4
    count = max(1, min(FIDELITY_IMAGES, len(samples), _MAX_BYTES // image_bytes))
    count = -(-count // batch) * batch
    chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
    images = data_batches.load(samples, spec, chosen)
    batches = np.split(images, count // batch)
    outputs, simulated = (
        _joined(run_onnx(float_model, batches)),
        _joined(run_onnx(qdq_model, batches)),
    )
    return Reference(images=images, outputs=outputs, simulation_db=_qualities(outputs, simulated))


def to_npz(reference: Reference) -> bytes:
    """The file `reference.npz`: `input`, `output_0` ..., and `simulation_db` by output."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "input": reference.images,
        "simulation_db": np.array(reference.simulation_db),
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
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
            count = sum(name.startswith("output_") for name in found.files)
            outputs = tuple(found[f"output_{i}"] for i in range(count))
            return Reference(
                images=found["input"],
                outputs=outputs,
                simulation_db=tuple(found["simulation_db"].tolist()),
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} holds no reference outputs: {error}",
            hint="build the bundle again: edge-scnet build",
        ) from error


def check_plan(
    runtime: Runtime, plan: Path, reference: Reference, *, precision: str
) -> dict[str, Any]:
    """Runs a plan on the reference's images: the worst output's SQNR, as facts of the manifest.

    Raises:
        ParityError: an output is not finite, INT8's is more than 2 dB below the simulation's, or
            FP16's below 25 dB.
        BackendError: the plan cannot be loaded or run.
    """
    with runtime.open(plan, OpenOptions()) as session:
        batch = session.input_shape[0]
        if len(reference.images) % batch:
            raise ArtifactError(
                f"{plan.name} takes {batch} images at once, the reference has"
                f" {len(reference.images)}",
                hint="build it again",
            )
        batches = np.split(reference.images, len(reference.images) // batch)
        found = _joined([[np.array(output) for output in session.infer(data)] for data in batches])
    if not all(np.isfinite(output).all() for output in found):
        raise ParityError(
            f"{plan.name} gives NaN or infinity on real images", hint=_hint(precision)
        )
    limits = [
        db - FIDELITY_MARGIN_DB if precision == "int8" else FP16_MIN_DB
        for db in reference.simulation_db
    ]
    pairs = list(
        zip(_qualities(reference.outputs, found), limits, reference.simulation_db, strict=True)
    )
    engine, limit, simulated = min(pairs, key=lambda pair: pair[0] - min(pair[1], 1e9))
    if engine < limit:
        allowed = (
            f"simulated: {simulated:.1f}; {FIDELITY_MARGIN_DB:g} less are allowed"
            if precision == "int8"
            else (f"{limit:g} are the least that FP16 leaves")
        )
        raise ParityError(
            f"{plan.name} does not compute what the float graph does: {engine:.1f} dB on"
            f" {len(reference.images)} images ({allowed})",
            hint=_hint(precision),
        )
    fidelity = {"engine_db": _finite(engine), "images": len(reference.images)}
    return {
        "fidelity": (
            {**fidelity, "simulation_db": _finite(simulated)} if precision == "int8" else fidelity
        )
    }


def _hint(precision: str) -> str:
    return (
        "this TensorRT computes a layer wrongly: keep modules in FP16 with quant.keep_float in the"
        " target to find it"
        if precision == "int8"
        else (
            "a layer overflows FP16 or is computed wrongly: the log of the build has TensorRT's"
            " warnings"
        )
    )


def _joined(runs: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Runs by batch as one array per output."""
    return tuple(np.concatenate(parts) for parts in zip(*runs, strict=True))


def _qualities(reference: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> tuple[float, ...]:
    """SQNR in dB by output; infinite where nothing differs, or where the reference is zero
    throughout and no ratio exists.
    """
    qualities = []
    for wanted, got in zip(reference, found, strict=True):
        quality = sqnr_db(wanted, got) if wanted.any() else None
        qualities.append(float("inf") if quality is None else quality)
    return tuple(qualities)


def _finite(decibels: float) -> float | None:
    """JSON has no infinity: None is identical, as everywhere."""
    return decibels if np.isfinite(decibels) else None
