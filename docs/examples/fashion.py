"""The bundled photographs of clothes, as arrays: what the examples train and are judged on."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

CLASSES = [
    "T-shirt",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Boot",
]
MEAN, STD = 0.286, 0.353
_DATA = Path(__file__).parents[2] / "calib_data" / "fashion-mnist"


def clothes(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads a set.

    Args:
        part: "calib" (1,024 images) or "eval" (10,000 others).

    Returns:
        uint8 images, N x 28 x 28, and the class of each from 0 to 9, int64.
    """
    images, labels = sorted((_DATA / part).glob("*.gz"))
    pixels = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
    classes = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
    return pixels.reshape(-1, 28, 28), classes.astype(np.int64)


def inputs(images: np.ndarray) -> np.ndarray:
    """What a network takes of images: float32, N x 1 x 28 x 28."""
    return ((images[:, None] / 255 - MEAN) / STD).astype(np.float32)
