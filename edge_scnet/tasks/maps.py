"""Maps: which axis is which, and where a map's pixels lie in the image that it was made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.placement import placement_of
from edge_scnet.errors import DataError
from edge_scnet.tasks.base import Context

# An axis of a map that is no longer than this is its channels.
_FEW_CHANNELS = 4


def first_map(context: Context) -> int:
    """The first output that is a map; the first of all where none is known to be."""
    for number, head in enumerate(context.heads):
        if len(head.shape) == 4 or (len(head.shape) == 3 and head.dtype[0] in "iu"):
            return number
    return 0


def channels_first(
    array: np.ndarray, context: Context, *, layout: str | None, output: int, task: str
) -> np.ndarray:
    """A map as [samples, channels, height, width].

    Raises:
        DataError: it has neither three nor four axes.
    """
    if array.ndim == 3:
        return array[:, None]
    if array.ndim != 4:
        raise DataError(
            f"{task}: the output {context.output_name(output)} has the shape"
            f" {' x '.join(map(str, array.shape))}; a map is samples x channels x height x width",
            hint='--task features; or name the map: --task-args \'{"output": "NAME"}\'',
        )
    layout = layout or layout_of(array.shape, context.head(output), context.spec.input_shape)
    return np.moveaxis(array, -1, 1) if layout == "NHWC" else array


def layout_of(shape: tuple[int, ...], head: OutputHead | None, input_shape: tuple[int, ...]) -> str:
    """NCHW or NHWC: by the axis that a Softmax works on, by the input's size, by few channels."""
    if head is not None and head.ending in ("softmax", "log_softmax") and head.axis in (1, 3):
        return "NHWC" if head.axis == 3 else "NCHW"
    if shape[3] != shape[1]:
        for size in (input_shape[1:], input_shape[:2]):
            if len(input_shape) == 3 and len(size) == 2:
                ratios = {shape[1] / size[0], shape[2] / size[1]}
                other = {shape[2] / size[0], shape[3] / size[1]}
                if len(ratios) == 1 and len(other) > 1:
                    return "NHWC"
                if len(other) == 1 and len(ratios) > 1:
                    return "NCHW"
    return "NHWC" if shape[3] <= _FEW_CHANNELS < shape[1] else "NCHW"


def as_planes(array: np.ndarray, task: str, output: str) -> np.ndarray:
    """A map of classes as [samples, height, width]: axes of one channel left out.

    Raises:
        DataError: there are others.
    """
    if array.ndim == 4 and 1 in (array.shape[1], array.shape[3]):
        return array[:, 0] if array.shape[1] == 1 else array[..., 0]
    if array.ndim != 3:
        raise DataError(
            f"{task}: the output {output} is {array.dtype} of the shape"
            f" {' x '.join(map(str, array.shape))}; a map of classes is samples x height x width",
            hint="--task features",
        )
    return array


def threshold_of(head: OutputHead | None) -> float:
    """Above which value a map of one channel is class 1: 0.5 of probabilities, 0 of all others.

    Values do not decide: those of one sample may look like probabilities, and all of them not.
    """
    return 0.5 if head is not None and head.ending in ("sigmoid", "softmax") else 0.0


def at_network(
    context: Context, index: int, own: np.ndarray, mask: np.ndarray, *, ignore: int
) -> npt.NDArray[np.int64]:
    """A mask at the pixels of a map: what lies outside of the image is not judged.

    Args:
        own: the map of this sample [height, width].
        mask: [height, width] of the upright image.

    Raises:
        DataError: the mask has another size than the image.
    """
    height, width = own.shape
    points = _centres(width, height) * _stride(context, own.shape)
    x, y = _whole(_to_image(context, index, mask, points))
    inside = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    found = mask[np.where(inside, y, 0), np.where(inside, x, 0)]
    return np.where(inside, found, ignore).reshape(height, width).astype(np.int64)


def at_image(
    context: Context, index: int, own: np.ndarray, mask: np.ndarray, *, ignore: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """A mask, and a map at its pixels: what the network does not see is not judged."""
    points = _to_input(context, index, mask, _centres(mask.shape[1], mask.shape[0]))
    x, y = _whole(points / _stride(context, own.shape))
    inside = (x >= 0) & (y >= 0) & (x < own.shape[1]) & (y < own.shape[0])
    found = own[np.where(inside, y, 0), np.where(inside, x, 0)].reshape(mask.shape)
    judged = np.where(inside.reshape(mask.shape), mask, ignore)
    return judged.astype(np.int64), found.astype(np.int64)


def _centres(width: int, height: int) -> npt.NDArray[np.float64]:
    """The pixels' centres, [height * width, 2]: x and y."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64) + 0.5
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _whole(points: np.ndarray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    cells = np.floor(points + 1e-9).astype(np.int64)
    return cells[:, 0], cells[:, 1]


def _stride(context: Context, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """How many pixels of the input a pixel of the map is, in x and in y."""
    return np.array([context.spec.width / shape[1], context.spec.height / shape[0]])


def _to_image(
    context: Context, index: int, mask: np.ndarray, points: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    scale, offset = _placed(context, index, mask)
    return (points - offset) / scale


def _to_input(
    context: Context, index: int, mask: np.ndarray, points: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    scale, offset = _placed(context, index, mask)
    return points * scale + offset


def _placed(
    context: Context, index: int, mask: np.ndarray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Scale and offset, in x and y: input = image * scale + offset.

    Raises:
        DataError: the mask has another size than the image.
    """
    spec = context.spec
    height, width = mask.shape
    if not context.image_sizes:
        # of arrays: the mask is that of the whole input
        return np.array([spec.width / width, spec.height / height]), np.zeros(2)
    if context.image_sizes[index] != (width, height):
        known_width, known_height = context.image_sizes[index]
        raise DataError(
            f"the mask of {context.name_of(index)} is {width} x {height} pixels, the image"
            f" {known_width} x {known_height}",
            hint="masks are of the size of their images; resize with nearest neighbours",
        )
    placement = placement_of((width, height), spec)
    return (
        np.array([placement.scale_x, placement.scale_y]),
        np.array([placement.offset_x, placement.offset_y]),
    )
