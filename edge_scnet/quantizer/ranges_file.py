"""Writes and reads ranges.npz: the statistics of a calibration.

An .npz of arrays and one JSON header; it holds no pickles.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.core.json_records import decode
from edge_scnet.data.array_headers import read_npz
from edge_scnet.errors import ArtifactError
from edge_scnet.quantizer.statistics import Drift, Ranges, TensorStats

FORMAT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """What a header of any version has."""

    format: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tensor:
    """A tensor's statistics without its bins, which are the array `counts_` and its number."""

    name: str
    minimum: float
    maximum: float
    elements: int
    exponent: int
    first_bin: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The file's JSON; the factors of equalisation are the arrays `factors_` and their number."""

    format: int
    images: int
    model_sha256: str
    samples_hash: str
    content_hashes: tuple[str, ...]
    factors: tuple[str, ...]
    drift: Drift | None
    tensors: tuple[_Tensor, ...]
    not_finite: tuple[str, ...] = ()


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Writes the statistics, whole or not at all."""
    header = _Header(
        format=FORMAT,
        images=ranges.images,
        model_sha256=ranges.model_sha256,
        samples_hash=ranges.samples_hash,
        content_hashes=ranges.content_hashes,
        factors=tuple(ranges.factors),
        drift=ranges.drift,
        tensors=tuple(
            _Tensor(
                name=name,
                minimum=stats.minimum,
                maximum=stats.maximum,
                elements=stats.elements,
                exponent=stats.exponent,
                first_bin=stats.first_bin,
            )
            for name, stats in ranges.tensors.items()
        ),
        not_finite=ranges.not_finite,
    )
    arrays = {f"counts_{i}": stats.counts for i, stats in enumerate(ranges.tensors.values())}
    arrays |= {f"factors_{i}": values for i, values in enumerate(ranges.factors.values())}
    with write_atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            header=np.frombuffer(json.dumps(asdict(header)).encode(), np.uint8),
            **arrays,  # type: ignore[arg-type]
        )


def load_ranges(path: Path) -> Ranges:
    """Reads a file that `save_ranges` wrote.

    Raises:
        ArtifactError: not such a file, or of another format.
    """
    try:
        arrays = read_npz(path)
        content = arrays["header"].tobytes()
        if (written := decode(_Format, content).format) != FORMAT:
            raise ArtifactError(
                f"{path} has format {written}, this version reads {FORMAT}",
                hint="calibrate again",
            )
        header = decode(_Header, content)
        tensors = {
            tensor.name: TensorStats(
                minimum=tensor.minimum,
                maximum=tensor.maximum,
                elements=tensor.elements,
                exponent=tensor.exponent,
                first_bin=tensor.first_bin,
                counts=arrays[f"counts_{i}"],
            )
            for i, tensor in enumerate(header.tensors)
        }
        factors = {name: arrays[f"factors_{i}"] for i, name in enumerate(header.factors)}
    except (ValueError, KeyError) as error:
        raise ArtifactError(
            f"{path} is not a file of calibration statistics: {error}", hint="calibrate again"
        ) from error
    return Ranges(
        tensors=tensors,
        factors=factors,
        drift=header.drift,
        images=header.images,
        model_sha256=header.model_sha256,
        samples_hash=header.samples_hash,
        content_hashes=header.content_hashes,
        not_finite=header.not_finite,
    )
