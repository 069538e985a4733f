"""Operators whose values depend on places beside them: convolutions, pools, Resize."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.recovery.attributes import attribute

if TYPE_CHECKING:
    import onnx_ir as ir

_CONV: Sequence[Any] = (F.conv1d, F.conv2d, F.conv3d)
_CONV_TRANSPOSE: Sequence[Any] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
_MAX_POOL: Sequence[Any] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
_AVERAGE_POOL: Sequence[Any] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def conv(node: ir.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Conv."""
    kernel = weight.shape[2:]
    strides, dilations = _sizes(node, "strides", kernel), _sizes(node, "dilations", kernel)
    low, high = _pads(node, x.shape[2:], kernel)
    if low != high:
        x, low = F.pad(x, _widths(low, high)), [0] * len(kernel)
    function = _CONV[len(kernel) - 1]
    result: Tensor = function(x, weight, bias, strides, low, dilations, attribute(node, "group", 1))
    return result


def conv_transpose(node: ir.Node, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """ConvTranspose: computed without padding, then cut."""
    kernel = weight.shape[2:]
    strides, dilations = _sizes(node, "strides", kernel), _sizes(node, "dilations", kernel)
    extra = list(attribute(node, "output_padding", [0] * len(kernel)))
    group = attribute(node, "group", 1)
    function = _CONV_TRANSPOSE[len(kernel) - 1]
    full: Tensor = function(x, weight, bias, strides, 0, extra, group, dilations)
    low, high = _cut(node, x.shape[2:], full.shape[2:], strides)
    for i, (before, after) in enumerate(zip(low, high, strict=True)):
        full = full.narrow(2 + i, before, full.shape[2 + i] - before - after)
    return full


def _cut(
    node: ir.Node, inputs: Sequence[int], full: Sequence[int], strides: Sequence[int]
) -> tuple[list[int], list[int]]:
    """What a ConvTranspose leaves out of its full result, at both ends of each axis."""
    automatic, shape = attribute(node, "auto_pad", "NOTSET"), attribute(node, "output_shape", None)
    if shape is None and not automatic.startswith("SAME"):
        pads = list(attribute(node, "pads", [0] * 2 * len(full)))
        return pads[: len(full)], pads[len(full) :]
    wanted = shape or [size * stride for size, stride in zip(inputs, strides, strict=True)]
    total = [have - want for have, want in zip(full, wanted, strict=True)]
    less, more = [size // 2 for size in total], [size - size // 2 for size in total]
    return (less, more) if automatic == "SAME_UPPER" else (more, less)


def max_pool(node: ir.Node, x: Tensor) -> Tensor:
    """MaxPool, its first output."""
    kernel = attribute(node, "kernel_shape", None)
    low, high = _pads(node, x.shape[2:], kernel)
    if any((*low, *high)):
        x = F.pad(x, _widths(low, high), value=float("-inf"))
    result: Tensor = _MAX_POOL[len(kernel) - 1](
        x,
        list(kernel),
        _sizes(node, "strides", kernel),
        0,
        _sizes(node, "dilations", kernel),
        ceil_mode=bool(attribute(node, "ceil_mode", 0)),
    )
    return result


def average_pool(node: ir.Node, x: Tensor) -> Tensor:
    """AveragePool; the padding counts or not."""
    kernel = list(attribute(node, "kernel_shape", None))
    function, strides = _AVERAGE_POOL[len(kernel) - 1], _sizes(node, "strides", kernel)
    low, high = _pads(node, x.shape[2:], kernel)
    ceil, counts = (bool(attribute(node, name, 0)) for name in ("ceil_mode", "count_include_pad"))
    result: Tensor
    if low == high and all(2 * pad <= size for pad, size in zip(low, kernel, strict=True)):
        result = function(x, kernel, strides, low, ceil, counts)
        return result
    widths = _widths(low, high)
    result = function(F.pad(x, widths), kernel, strides, 0, ceil)
    if counts:
        return result
    share: Tensor = function(F.pad(torch.ones_like(x[:1, :1]), widths), kernel, strides, 0, ceil)
    return result / share


def resize(
    node: ir.Node,
    x: Tensor,
    _roi: Tensor | None = None,
    scales: Tensor | None = None,
    sizes: Tensor | None = None,
) -> Tensor:
    """Resize, nearest and linear: axis by axis, as ONNX defines both."""
    if scales is not None and scales.numel():
        factors = [float(factor) for factor in scales.tolist()]
        wanted = [int(np.floor(size * f)) for size, f in zip(x.shape, factors, strict=True)]
    else:
        assert sizes is not None
        wanted = [int(size) for size in sizes.tolist()]
        factors = [want / have for want, have in zip(wanted, x.shape, strict=True)]
    mode = attribute(node, "mode", "nearest")
    if mode not in ("nearest", "linear") or attribute(node, "antialias", 0):
        raise NotImplementedError(f"mode {mode!r}, or with antialias")
    for axis, (size, factor) in enumerate(zip(wanted, factors, strict=True)):
        if size != x.shape[axis] or factor != 1.0:
            places = _places(node, size, x.shape[axis], factor)
            x = _nearest(node, x, axis, places) if mode == "nearest" else _linear(x, axis, places)
    return x


def _places(node: ir.Node, wanted: int, have: int, factor: float) -> np.ndarray:
    """Where in the input the elements of a resized axis lie."""
    index = np.arange(wanted, dtype=np.float64)
    mode = attribute(node, "coordinate_transformation_mode", "half_pixel")
    if mode == "align_corners":
        return index * (have - 1) / max(wanted - 1, 1)
    if mode == "asymmetric":
        return index / factor
    if mode == "pytorch_half_pixel" and wanted == 1:
        return index
    if mode in ("half_pixel", "pytorch_half_pixel"):
        return (index + 0.5) / factor - 0.5
    raise NotImplementedError(f"coordinate_transformation_mode {mode!r}")


def _nearest(node: ir.Node, x: Tensor, axis: int, places: np.ndarray) -> Tensor:
    rounding = {
        "round_prefer_floor": np.ceil(places - 0.5),
        "round_prefer_ceil": np.floor(places + 0.5),
        "floor": np.floor(places),
        "ceil": np.ceil(places),
    }[attribute(node, "nearest_mode", "round_prefer_floor")]
    index = np.clip(rounding, 0, x.shape[axis] - 1).astype(np.int64)
    return torch.index_select(x, axis, torch.from_numpy(index))


def _linear(x: Tensor, axis: int, places: np.ndarray) -> Tensor:
    last = x.shape[axis] - 1
    places = np.clip(places, 0, last)
    below = np.floor(places).astype(np.int64)
    shape = [1] * x.dim()
    shape[axis] = -1
    share = torch.from_numpy((places - below).astype(np.float32)).reshape(shape)
    lower = torch.index_select(x, axis, torch.from_numpy(below))
    upper = torch.index_select(x, axis, torch.from_numpy(np.minimum(below + 1, last)))
    return torch.lerp(lower, upper, share)


def _sizes(node: ir.Node, name: str, kernel: Sequence[int]) -> list[int]:
    return list(attribute(node, name, [1] * len(kernel)))


def _pads(
    node: ir.Node, inputs: Sequence[int], kernel: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The padding in front of and behind each axis."""
    automatic = attribute(node, "auto_pad", "NOTSET")
    if not automatic.startswith("SAME"):
        pads = list(attribute(node, "pads", [0] * 2 * len(kernel)))
        return pads[: len(kernel)], pads[len(kernel) :]
    low, high = [], []
    strides, dilations = _sizes(node, "strides", kernel), _sizes(node, "dilations", kernel)
    for size, window, stride, dilation in zip(inputs, kernel, strides, dilations, strict=True):
        outputs = -(-size // stride)
        total = max((outputs - 1) * stride + (window - 1) * dilation + 1 - size, 0)
        less = total // 2
        low.append(less if automatic == "SAME_UPPER" else total - less)
        high.append(total - low[-1])
    return low, high


def _widths(low: Sequence[int], high: Sequence[int]) -> list[int]:
    """Pads as `torch.nn.functional.pad` takes them, the last axis first."""
    ends = zip(reversed(low), reversed(high), strict=True)
    return [width for end in ends for width in end]
