"""Outputs of another size for every image: arrays of arrays (NumPy's type object), one an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ragged(images: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays of any shapes as one of the type object: [images]."""
    array = np.empty(len(images), object)
    for index, image in enumerate(images):
        array[index] = image
    return array


def is_ragged(array: np.ndarray) -> bool:
    """Whether an output, images along the first axis, has another size for every image."""
    return array.dtype == object


def batch_of_one(image: np.ndarray, *, counted: bool) -> np.ndarray:
    """One image's part of an output as a batch.

    Args:
        counted: whether its size depends on the data.
    """
    return ragged([image]) if counted else image[np.newaxis]


def parts_of(array: np.ndarray) -> list[np.ndarray]:
    """The images' arrays of a ragged output; any other as it is."""
    return list(array) if is_ragged(array) else [array]
