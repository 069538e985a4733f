"""What a layer reads at its output positions: the rows that multiply its weights.

A convolution, of any number of axes, reads a window of its input at every position; a transposed
one is a convolution over its input with zeros put between the values, by the mirrored kernel; a
linear layer reads each row of its input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_scnet.graph.operators import LINEAR_OPS, integer_of

if TYPE_CHECKING:
    import onnx_ir as ir

AutoPad = Literal["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How a convolution reads its input; with an empty kernel it is a linear layer's."""

    # One entry an axis of the input behind its channels.
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    # Where every axis begins, then where every axis ends: top, left, bottom, right.
    pads: tuple[int, ...] = ()
    auto_pad: AutoPad = "NOTSET"
    groups: int = 1
    # Of a transposed convolution; its output's sizes where the node states them.
    transposed: bool = False
    output_padding: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()

    @property
    def reach(self) -> tuple[int, ...]:
        """The extent of the dilated kernel."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True))


def window_of(node: ir.Node, weights: np.ndarray) -> Window:
    """Returns how a layer reads its input."""
    if node.op_type in LINEAR_OPS:
        return Window()
    axes = weights.ndim - 2

    def numbers(name: str, default: int, count: int = axes) -> tuple[int, ...]:
        attribute = node.attributes.get(name)
        return (default,) * count if attribute is None else tuple(attribute.as_ints())

    automatic = node.attributes.get("auto_pad")
    return Window(
        kernel=weights.shape[2:],
        strides=numbers("strides", 1),
        dilations=numbers("dilations", 1),
        pads=numbers("pads", 0, 2 * axes),
        auto_pad="NOTSET" if automatic is None else automatic.as_string(),  # type: ignore[arg-type]
        groups=integer_of(node, "group", 1),
        transposed=node.op_type == "ConvTranspose",
        output_padding=numbers("output_padding", 0),
        output_shape=numbers("output_shape", 0, 0),
    )


def rows_read(value: np.ndarray, window: Window, *, inputs: int, limit: int) -> np.ndarray:
    """Returns what a layer reads of one image at some of its positions, evenly spread.

    Args:
        value: float32; C x ... of a convolution, with another axis in front where images were cut
            into several; ... x C of a linear layer.
        inputs: of a linear layer.
        limit: of the positions.

    Returns:
        Groups x positions x inputs.
    """
    if not window.kernel:
        rows = value.reshape(-1, inputs)
        return np.ascontiguousarray(rows[_spread(len(rows), limit)][None])
    if value.ndim == len(window.kernel) + 1:
        return patches(value, window, limit=limit)
    several = value.reshape(-1, *value.shape[-len(window.kernel) - 1 :])
    chosen = several[_spread(len(several), limit)]
    share = math.ceil(limit / len(chosen))
    return np.concatenate([patches(image, window, limit=share) for image in chosen], axis=1)


def _spread(count: int, limit: int) -> np.ndarray:
    """At most `limit` of the numbers below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(limit, count)).astype(int))


def patches(image: np.ndarray, window: Window, *, limit: int) -> np.ndarray:
    """Returns what a convolution reads at some of its output positions, evenly spread.

    Args:
        image: C x ..., float32.
        limit: of the positions.

    Returns:
        Groups x positions x inputs.
    """
    if not window.transposed:
        places, inside = places_read(window, image.shape[1:], limit)
        return arranged(image.reshape(len(image), -1).take(places, axis=1), inside, window)
    axes = tuple(range(1, image.ndim))
    padded = _padded(image, window)
    views = np.lib.stride_tricks.sliding_window_view(padded, window.reach, axis=axes)
    views = views[_every((*(1,) * len(axes), *window.dilations))]
    sizes = views.shape[1 : image.ndim]
    chosen = _spread_over_phases(math.prod(sizes), limit)
    at: tuple[Any, ...] = (slice(None), *np.unravel_index(chosen, sizes))
    read = views[at]  # C x P x kernel
    read = np.flip(read, tuple(range(2, read.ndim)))
    return arranged(read, np.ones(read.shape[1:], np.bool_), window)


def arranged(read: np.ndarray, inside: np.ndarray, window: Window) -> np.ndarray:
    """Returns the values read as groups x positions x inputs.

    Args:
        read: channels first, then the taps of each position.
        inside: positions x taps: whether a tap reads the image, and not its padding, which is zero.
    """
    positions = len(inside)
    grouped = read.reshape(window.groups, len(read) // window.groups, positions, -1)
    rows = np.ascontiguousarray(grouped.transpose(0, 2, 1, 3))
    if not inside.all():
        np.copyto(rows, 0.0, where=~inside.reshape(1, positions, 1, -1))
    return rows.reshape(window.groups, positions, -1)


@cache
def places_read(
    window: Window, sizes: tuple[int, ...], limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which values of a channel a convolution reads at its positions, evenly spread.

    Args:
        window: of a convolution that is not transposed.
        sizes: of the image, behind its channels.
        limit: of the positions.

    Returns:
        places: int64, the index of each tap in the flattened channel, position by position; 0 where
            it lies outside.
        inside: bool, positions x taps.
    """
    begins, ends = _pads(window, sizes)
    counts = [
        (size + begin + end - reach) // stride + 1
        for size, begin, end, reach, stride in zip(
            sizes, begins, ends, window.reach, window.strides, strict=True
        )
    ]
    chosen = np.unravel_index(_spread(math.prod(counts), limit), counts)
    taps = np.unravel_index(np.arange(math.prod(window.kernel)), window.kernel)
    inside = np.ones((len(chosen[0]), len(taps[0])), np.bool_)
    places = np.zeros(inside.shape, np.int64)
    for axis, size in enumerate(sizes):
        at = chosen[axis][:, None] * window.strides[axis] - begins[axis]
        at = at + taps[axis] * window.dilations[axis]
        inside &= (at >= 0) & (at < size)
        places = places * size + at
    places[~inside] = 0
    return places.reshape(-1), inside


def _every(steps: Sequence[int]) -> tuple[slice, ...]:
    """The index that takes every n-th entry of the axes behind the first."""
    return (slice(None), *(slice(None, None, step) for step in steps))


def _spread_over_phases(total: int, limit: int) -> np.ndarray:
    """At most `limit` positions at a step that meets every phase of a transposed convolution.

    Which taps of its kernel an output position reads depends on the position modulo the stride.
    """
    step = -(-total // limit)
    while math.gcd(step, total) != 1:
        step += 1
    return np.arange(0, total, step)


def _padded(image: np.ndarray, window: Window) -> np.ndarray:
    """The image as the kernel of a transposed convolution slides over it, in steps of 1."""
    sizes = image.shape[1:]
    begins, ends = _pads(window, sizes)
    spread = [(size - 1) * stride + 1 for size, stride in zip(sizes, window.strides, strict=True)]
    zeros_between = np.zeros((len(image), *spread), image.dtype)
    zeros_between[_every(window.strides)] = image
    margins = [
        (reach - 1 - begin, reach - 1 - end + more)
        for reach, begin, end, more in zip(
            window.reach, begins, ends, window.output_padding, strict=True
        )
    ]
    widened = np.pad(zeros_between, [(0, 0), *((max(a, 0), max(b, 0)) for a, b in margins)])
    inner = (slice(None), *(slice(max(-a, 0), min(b, 0) or None) for a, b in margins))
    cut: np.ndarray = widened[inner]
    return cut


def _pads(window: Window, sizes: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The padding at the beginning and the end of every axis, as ONNX defines it."""
    axes = len(sizes)
    same = window.auto_pad.startswith("SAME")
    if not same and not window.output_shape:
        pads = (0,) * 2 * axes if window.auto_pad == "VALID" else window.pads
        return tuple(pads[:axes]), tuple(pads[axes:])
    begins, ends = [], []
    for i, size in enumerate(sizes):
        stride, reach = window.strides[i], window.reach[i]
        if window.transposed:
            wanted = window.output_shape[i - axes] if window.output_shape else size * stride
            total = stride * (size - 1) + window.output_padding[i] + reach - wanted
        else:
            total = (math.ceil(size / stride) - 1) * stride + reach - size
        total = max(total, 0)
        # all but SAME_UPPER put an odd one at the beginning
        begins.append(total // 2 if window.auto_pad == "SAME_UPPER" else total - total // 2)
        ends.append(total - begins[-1])
    return tuple(begins), tuple(ends)
