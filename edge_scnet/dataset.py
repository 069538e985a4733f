"""Sample lists, readers, and the one preprocessing function."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def read_idx(path: Path) -> np.ndarray:
    """An idx file of unsigned bytes (plain or gzip) as uint8."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    dims = raw[3]
    shape = tuple(int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims))
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dims).reshape(shape)


def read_published(name: str, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Whole data set as published: uint8 N x H x W x C and labels."""
    if name == "cifar10":
        with np.load(folder / f"cifar10_{split}.npz") as arrays:
            return arrays["x"], arrays["y"]
    stem = {"train": "train", "test": "t10k"}[split]
    images = read_idx(folder / f"{stem}-images-idx3-ubyte.gz")
    return images[..., None].copy(), read_idx(folder / f"{stem}-labels-idx1-ubyte.gz").copy()
