"""Batches of a network with one input or several, as one array.

A batch for one input is a plain array, the images along the first axis. For several it is a NumPy
structured array with a field for each input: it is sliced, joined and counted like a plain one.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.core.spec import EngineSpec, ModelSpec
from edge_scnet.errors import DataError

Batch = np.ndarray | Mapping[str, np.ndarray]


def feed_of(batch: Batch, first: str) -> dict[str, np.ndarray]:
    """Returns a batch as arrays by input name.

    Args:
        batch: may have that form already.
        first: the name of the first input, which a plain array is for.
    """
    if not isinstance(batch, np.ndarray):
        return dict(batch)
    if batch.dtype.names is None:
        return {first: batch}
    return {name: np.ascontiguousarray(batch[name]) for name in batch.dtype.names}


def fitted(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns an input's array in the shape that an engine wants.

    An input without a batch axis, like a state, is one sample's: its batch of one is taken off.
    """
    return array.reshape(shape) if array.shape == (1, *shape) else array


def check_type(name: str, array: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Refuses other numbers where an input takes bytes, and whole ones where it takes floats.

    Copied all the same they would be cut to bytes, or not be normalised.

    Args:
        dtype, shape: of what the input takes.

    Raises:
        DataError: says what the input takes.
    """
    refused = {"f": "iu", "u": "fiu"}.get(dtype.kind, "")
    if array.dtype == dtype or array.dtype.kind not in refused:
        return
    wanted, found = (" x ".join(map(str, sizes)) for sizes in (shape, array.shape))
    if dtype.kind == "u":
        raise DataError(
            f"the engine's input {name} takes {dtype} {wanted} (N x H x W x C): pixels from 0 to"
            f" 255; got {array.dtype} {found}",
            hint="feed pixels that are resized and not normalised; an engine of floats:"
            " edge-scnet build MODEL --input float",
        )
    raise DataError(
        f"the engine's input {name} takes {dtype} {wanted} (N x C x H x W): pixels normalised as"
        f" its manifest says; got {array.dtype} {found}",
        hint="normalise the pixels; an engine of bytes: edge-scnet build MODEL --input uint8",
    )


def as_taken(images: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Returns preprocessed pictures N x C x H x W in the layout and type that an engine takes."""
    if not isinstance(spec, EngineSpec):
        return images
    if spec.channels_last:
        images = np.ascontiguousarray(np.moveaxis(images, 1, -1))
    kind = np.dtype(spec.dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        images = np.clip(np.rint(images), limits.min, limits.max)
    return images.astype(kind, copy=False)


def first_type(spec: ModelSpec) -> str:
    """Returns NumPy's name of the first input's type: float32 in every prepared graph."""
    return spec.dtype if isinstance(spec, EngineSpec) else "float32"


def batch_of_arrays(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """Returns the arrays of several inputs, images along the first axis, as one batch.

    Raises:
        ValueError: they have different numbers of images.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise ValueError(f"inputs of different lengths: {lengths}")
    fields = [(name, array.dtype, array.shape[1:]) for name, array in arrays.items()]
    batch = np.empty(next(iter(lengths.values())), dtype=fields)
    for name, array in arrays.items():
        batch[name] = array
    return batch


def random_batch(spec: ModelSpec, count: int, *, seed: int) -> np.ndarray:
    """Returns normally distributed samples for the first input, and for others of real numbers.

    Inputs of integers and truth values are 0, which every table and mask has an entry for; bytes of
    an engine's first input are pixels.
    """
    rng = np.random.default_rng(seed)
    first = _random_first(rng, spec, count)
    if not spec.more_inputs:
        return first
    arrays = {str(spec.input_name): first}
    for other in spec.more_inputs:
        shape = (count, *other.shape)
        real = np.dtype(other.dtype).kind == "f"
        values = rng.standard_normal(shape) if real else np.zeros(shape)
        arrays[other.name] = values.astype(other.dtype)
    return batch_of_arrays(arrays)


def _random_first(rng: np.random.Generator, spec: ModelSpec, count: int) -> np.ndarray:
    shape = (count, *spec.input_shape)
    kind = np.dtype(first_type(spec))
    if kind == np.uint8:
        return rng.integers(0, 256, shape).astype(kind)
    if kind.kind != "f":
        return np.zeros(shape, kind)
    values: np.ndarray = rng.standard_normal(shape).astype(kind)
    return values
