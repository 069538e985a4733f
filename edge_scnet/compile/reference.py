"""Reference outputs that travel with a bundle.

The plans built from it are compared with them (`fidelity.check_plan`). Nothing here needs ONNX once
the reference is made: a board may lack it.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.compile.quality import (
    FIDELITY_IMAGES,
    OutputQuality,
    joined,
    qualities_of,
    quality_of,
)
from edge_scnet.core.json_records import convert
from edge_scnet.core.spec import FLOATS, InputForm, engine_spec
from edge_scnet.data import batches as data_batches
from edge_scnet.data.array_headers import read_npz
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.counting import are_counted, without
from edge_scnet.graph.model import load as load_graph
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

    # As the plans take them: preprocessed, N x C x H x W float32, or pixels, N x H x W x C uint8.
    images: np.ndarray
    # By output of the graph, but those whose size depends on the data.
    outputs: tuple[np.ndarray, ...]
    # How the simulated Q/DQ graph compares with them, by output.
    simulation: tuple[OutputQuality, ...]
    # Which outputs of the graph they are, by index; None: all.
    sized: tuple[int, ...] | None = None

    def of(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Those of an engine's outputs that are compared."""
        return list(outputs) if self.sized is None else [outputs[i] for i in self.sized]


def make(
    float_model: Path,
    qdq_model: Path,
    samples: SampleSet,
    spec: ModelSpec,
    *,
    batch: int,
    form: InputForm = FLOATS,
) -> Reference:
    """Runs the float graph and the Q/DQ graph on images of a sample set.

    Both run in ONNX Runtime with its optimisations off. Outputs whose size depends on the data are
    left out.

    Args:
        form: of what the plans take.
    """
    counted = are_counted(load_graph(float_model).graph)
    count = max(1, min(FIDELITY_IMAGES, len(samples), _MAX_BYTES // spec.sample_bytes))
    count = -(-count // batch) * batch
    chosen = np.linspace(0, len(samples) - 1, count).astype(int).tolist()
    images = data_batches.load(samples, spec, chosen)
    batches = np.split(images, count // batch)
    runs = [without(counted, outputs) for outputs in run_onnx(float_model, batches)]
    simulated = [without(counted, outputs) for outputs in run_onnx(qdq_model, batches)]
    taken = data_batches.load(samples, engine_spec(spec, form), chosen) if form.is_bytes else images
    return Reference(
        images=taken,
        outputs=_stacked(runs),
        simulation=qualities_of(joined(runs), joined(simulated)),
        sized=tuple(without(counted, range(len(counted)))) if any(counted) else None,
    )


def to_npz(reference: Reference) -> bytes:
    """Returns the file `reference.npz`.

    It holds `input`, and by output `simulation_db`, `simulation_...` for each field of an
    `OutputQuality`, and `output_0` ...; `sized` where they are not all outputs of the graph.
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "input": reference.images,
        "simulation_db": np.array([comparable(quality.db) for quality in reference.simulation]),
    }
    for field in fields(OutputQuality):
        values = [getattr(quality, field.name) for quality in reference.simulation]
        arrays[f"simulation_{field.name}"] = np.array(values)
    arrays |= {f"output_{i}": array for i, array in enumerate(reference.outputs)}
    if reference.sized is not None:
        arrays["sized"] = np.array(reference.sized, np.int64)
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def load(path: Path) -> Reference:
    """Reads what `to_npz` wrote.

    Raises:
        ArtifactError: it is no such file.
    """
    try:
        arrays = read_npz(path)
        count = sum(name.startswith("output_") for name in arrays)
        outputs = tuple(arrays[f"output_{i}"] for i in range(count))
        sized = _sized(arrays, outputs)
        _check(arrays["input"], outputs)
        return Reference(
            images=arrays["input"],
            outputs=outputs,
            simulation=_one_each(_simulation(arrays, outputs), outputs),
            sized=sized,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} holds no reference outputs: {error}",
            hint="build the bundle again: edge-scnet build",
        ) from error


def _sized(
    arrays: Mapping[str, np.ndarray], outputs: Sequence[np.ndarray]
) -> tuple[int, ...] | None:
    """Which outputs of the graph they are; None: all.

    Raises:
        ValueError: there are none, or indices that are none of ours.
    """
    if "sized" not in arrays:
        if not outputs:
            raise ValueError("there is no output_0")
        return None
    indices = arrays["sized"]
    rising = indices.dtype == np.int64 and indices.ndim == 1 and bool((np.diff(indices) > 0).all())
    if not rising or len(indices) != len(outputs) or bool((indices < 0).any()):
        raise ValueError(f"sized is {indices.dtype} {indices.shape}; it numbers the outputs")
    return tuple(indices.tolist())


def _check(images: np.ndarray, outputs: Sequence[np.ndarray]) -> None:
    """Holds what `make` would have written to its shapes and types.

    Raises:
        ValueError: an array is none of ours.
    """
    # of several inputs a record each (`core.feeds`)
    known = images.dtype in (np.float32, np.uint8) or images.dtype.fields is not None
    if not known or not images.ndim or not len(images):
        raise ValueError(
            f"input is {images.dtype} {images.shape}; images of float32 or uint8 are needed"
        )
    for i, output in enumerate(outputs):
        if output.dtype.kind not in "fiubc" or not output.ndim:
            raise ValueError(f"output_{i} is {output.dtype} {output.shape}; numbers are needed")


def _one_each(
    simulation: tuple[OutputQuality, ...], outputs: Sequence[np.ndarray]
) -> tuple[OutputQuality, ...]:
    """The same qualities.

    Raises:
        ValueError: they are not one for each output.
    """
    if len(simulation) != len(outputs):
        raise ValueError(f"it has {len(outputs)} outputs and the simulation of {len(simulation)}")
    return simulation


def _simulation(
    arrays: Mapping[str, np.ndarray], outputs: Sequence[np.ndarray]
) -> tuple[OutputQuality, ...]:
    """Returns what a file says of the simulation; of earlier versions' files its SQNR alone."""
    names = [field.name for field in fields(OutputQuality)]
    if f"simulation_{names[0]}" in arrays:
        columns = [arrays[f"simulation_{name}"].tolist() for name in names]
        return tuple(
            convert(OutputQuality, dict(zip(names, values, strict=True)))
            for values in zip(*columns, strict=True)
        )
    exact = [quality_of(output.reshape(-1), output.reshape(-1)) for output in outputs]
    noises = [10 ** (-db / 10) for db in arrays["simulation_db"].tolist()]
    return tuple(
        replace(quality, noise=quality.signal * noise)
        for quality, noise in zip(exact, noises, strict=True)
    )


def _stacked(runs: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Returns runs by batch as one array for each output, joined along its first axis."""
    return tuple(
        np.concatenate([np.atleast_1d(p) for p in parts]) for parts in zip(*runs, strict=True)
    )
