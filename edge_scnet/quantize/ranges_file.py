"""Ranges.npz."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edge_scnet.core.files import write_atomic
from edge_scnet.errors import ArtifactError
from edge_scnet.quantize.statistics import Drift, Ranges, TensorStats

FORMAT = 3


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Writes the statistics as .npz (arrays and one JSON header; no pickles)."""
    header = {
        "format": FORMAT,
        "images": ranges.images,
        "model_sha256": ranges.model_sha256,
        "samples_hash": ranges.samples_hash,
        "content_hashes": ranges.content_hashes,
        "factors": list(ranges.factors),
        "drift": asdict(ranges.drift) if ranges.drift else None,
        "tensors": [
            {
                "name": name,
                "minimum": s.minimum,
                "maximum": s.maximum,
                "elements": s.elements,
                "exponent": s.exponent,
                "first_bin": s.first_bin,
            }
            for name, s in ranges.tensors.items()
        ],
    }
    arrays = {f"counts_{i}": s.counts for i, s in enumerate(ranges.tensors.values())}
    arrays |= {f"factors_{i}": values for i, values in enumerate(ranges.factors.values())}
    with write_atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            header=np.frombuffer(json.dumps(header).encode(), np.uint8),
            **arrays,  # type: ignore[arg-type]
        )


def load_ranges(path: Path) -> Ranges:
    """Reads what `save_ranges` wrote.

    Raises:
        ArtifactError: not such a file, or of another format.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise ArtifactError(
                    f"{path} has format {header['format']}, this version reads {FORMAT}",
                    hint="calibrate again",
                )
            tensors = {
                entry.pop("name"): TensorStats(counts=arrays[f"counts_{i}"], **entry)
                for i, entry in enumerate(header["tensors"])
            }
            drift = Drift(**header["drift"]) if header["drift"] else None
            factor_of = {name: arrays[f"factors_{i}"] for i, name in enumerate(header["factors"])}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ArtifactError(
            f"{path} is not a file of calibration statistics: {error}", hint="calibrate again"
        ) from error
    return Ranges(
        tensors=tensors,
        factors=factor_of,
        drift=drift,
        images=header["images"],
        model_sha256=header["model_sha256"],
        samples_hash=header["samples_hash"],
        content_hashes=tuple(header["content_hashes"]),
    )
