"""The bundled images for benchmarks, as arrays and as folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.core.resources import bundled
from edge_scnet.data import idx


def published(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of Fashion-MNIST, split "calib" or "eval"."""
    folder, stem = (
        bundled("calib_data") / "fashion-mnist" / split,
        {"calib": "calib", "eval": "t10k"}[split],
    )
    images, labels = (
        idx.read_idx(folder / f"{stem}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels


def write_idx(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """Writes both as the files of an idx set."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (folder / f"t10k-{name}-ubyte").write_bytes(head + array.tobytes())
    return folder
