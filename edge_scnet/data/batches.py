"""Samples as arrays: the pixels of one, or the network's input of many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.feeds import as_taken
from edge_scnet.core.placement import geometry_of
from edge_scnet.core.spec import takes_codes
from edge_scnet.data.images import codes_of, decode, normalise, preprocess
from edge_scnet.data.samples import SKIP_BAD, SampleSet
from edge_scnet.errors import DataError
from edge_scnet.machine.linux import usable_cores

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

_AT_ONCE = 1000  # images that are normalised together


def load_pixels(samples: SampleSet, i: int, spec: ModelSpec) -> np.ndarray:
    """The pixels of sample `i`, upright and at its own size.

    Returns:
        uint8 or uint16 H x W x C with `spec.channels` channels (RGB or grey).

    Raises:
        DataError: the image cannot be decoded; named, with the way to go on without it. Or the
            samples are arrays.
    """
    if samples.arrays is not None:
        raise DataError(f"{samples.name} holds arrays, no pictures")
    if samples.pixels is not None:
        return np.repeat(samples.pixels[i][..., None], spec.channels, axis=2)
    return decode(samples.root / samples.entries[i], spec, hint=SKIP_BAD)


def inputs_of(images: Sequence[np.ndarray], spec: ModelSpec) -> np.ndarray:
    """What an engine takes of images, as one batch.

    Raises:
        DataError: an image cannot fill the input.
        ValueError: as `codes_of` and `preprocess`.
    """
    one = codes_of if takes_codes(spec) else preprocess
    parts = [one(image, spec)[None] for image in images]
    batch = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return batch if takes_codes(spec) else as_taken(batch, spec)


def batches(
    samples: SampleSet, spec: ModelSpec, *, batch: int, threads: int | None = None
) -> Iterator[np.ndarray]:
    """Yields batches in list order, as `load` has them; the last may be shorter.

    Raises:
        DataError: as `load_pixels`.
    """
    for start in range(0, len(samples), batch):
        indices = range(start, min(start + batch, len(samples)))
        yield load(samples, spec, indices, threads=threads)


def load(
    samples: SampleSet,
    spec: ModelSpec,
    indices: Sequence[int] | None = None,
    *,
    threads: int | None = None,
) -> np.ndarray:
    """The samples at `indices`, or all, as one batch: of pictures float32 N x C x H x W, or as
    the spec of an engine says.

    Of arrays it is what the data set holds, a field for each input where there are several.

    Args:
        threads: that decode and preprocess pictures; None: one for each core.

    Raises:
        DataError: as `load_pixels`.
    """
    indices = range(len(samples)) if indices is None else indices
    if samples.arrays is not None:
        return samples.arrays[list(indices)]
    coded = takes_codes(spec)
    shape = spec.input_shape if coded else (spec.channels, spec.height, spec.width)
    out = np.empty((len(indices), *shape), np.uint8 if coded else np.float32)
    if samples.pixels is not None and _is_whole(samples.pixels.shape[1:], spec):
        # nothing to resize or crop: the same arithmetic for many at once, because small images cost
        # more time in Python than in a network
        for start in range(0, len(indices), _AT_ONCE):
            pixels = samples.pixels[list(indices[start : start + _AT_ONCE])]
            repeated = np.broadcast_to(pixels[..., None], (*pixels.shape, spec.channels))
            out[start : start + _AT_ONCE] = repeated if coded else normalise(repeated, spec)
        return out if coded else as_taken(out, spec)

    one = codes_of if coded else preprocess

    def fill(rows: range) -> None:
        for row in rows:
            out[row] = one(load_pixels(samples, indices[row], spec), spec)

    # decoding and resizing hold no lock of Python's; whole parts, because a task for each small
    # image would cost more than the image
    parts = _parts(len(indices), threads or usable_cores())
    if len(parts) < 2:
        fill(range(len(indices)))
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            for _ in pool.map(fill, parts):
                pass
    return out if coded else as_taken(out, spec)


def _parts(count: int, most: int) -> list[range]:
    """The numbers below `count` in so many parts of equal length, in their order."""
    length = max(-(-count // most), 1)
    return [range(start, min(start + length, count)) for start in range(0, count, length)]


def _is_whole(size: tuple[int, ...], spec: ModelSpec) -> bool:
    """Whether images of this height and width are the input as they are."""
    height, width = size
    geometry = geometry_of((width, height), spec)
    return (geometry.width, geometry.height) == (width, height) == (spec.width, spec.height)
