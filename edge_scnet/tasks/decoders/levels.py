"""Outputs by feature map: the heads that give each map outputs of its own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.tasks.decoders.base import ImageInfo, Outputs, count_places

_STRIDES = (4, 8, 16, 32, 64, 128)


def stride_of(shape: tuple[int, ...], info: ImageInfo) -> int | None:
    """The stride of the map that an output of this shape belongs to: places x C, C x H x W, or
    H x W x C; None: of no map."""
    for stride in info.options.strides or _STRIDES:
        rows, columns = -(-info.height // stride), -(-info.width // stride)
        if len(shape) == 2 and shape[0] == count_places(info, (stride,)):
            return stride
        if len(shape) == 3 and (rows, columns) in (shape[1:], shape[:2]):
            return stride
    return None


def width_of(shape: tuple[int, ...], info: ImageInfo) -> int:
    """The number of values that an output of a map has for each place."""
    if len(shape) == 2:
        return shape[1]
    return shape[0] if is_channels_first(shape, info) else shape[2]


def as_rows(array: np.ndarray, info: ImageInfo) -> np.ndarray:
    """An output of a map as places x C."""
    if array.ndim == 2:
        return array
    if is_channels_first(array.shape, info):
        array = np.moveaxis(array, 0, 2)
    rows: np.ndarray = array.reshape(-1, array.shape[2])
    return rows


def by_stride(
    shapes: Mapping[str, tuple[int, ...]], info: ImageInfo
) -> dict[int, dict[str, int]] | None:
    """The outputs of each map with their widths, the finest map first; None: one is of no map."""
    found: dict[int, dict[str, int]] = {}
    for name, shape in shapes.items():
        stride = stride_of(shape, info)
        if stride is None:
            return None
        found.setdefault(stride, {})[name] = width_of(shape, info)
    return dict(sorted(found.items()))


def shapes_of(outputs: Outputs) -> dict[str, tuple[int, ...]]:
    """The shapes of outputs by name."""
    return {name: array.shape for name, array in outputs.items()}


def is_channels_first(shape: tuple[int, ...], info: ImageInfo) -> bool:
    """Whether an output of a map that has three axes is C x H x W, not H x W x C."""
    stride = stride_of(shape, info) or 1
    return shape[1:] == (-(-info.height // stride), -(-info.width // stride))
