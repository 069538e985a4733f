"""Image sets for tests: the bundled images, and idx files written from arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.core.resources import bundled
from edge_scnet.data import idx


def idx_folder(root: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    root.mkdir(parents=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (root / f"t10k-{name}-ubyte").write_bytes(head + array.tobytes())
    return root


def published(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the bundled set, split "calib" or "eval"."""
    folder = bundled("calib_data") / "fashion-mnist" / split
    stem = "calib" if split == "calib" else "t10k"
    images, labels = (
        idx.read_idx(folder / f"{stem}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels
