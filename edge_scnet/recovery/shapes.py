"""Operators that move, pick or shape values."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch  # noqa: TID253
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.recovery.attributes import attribute, axes_of

if TYPE_CHECKING:
    import onnx_ir as ir

_TYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    11: torch.float64,
}


def cast(node: ir.Node, x: Tensor) -> Tensor:
    """Cast."""
    return x.to(_TYPES[int(attribute(node, "to", 1))])


def constant_of_shape(node: ir.Node, shape: Tensor) -> Tensor:
    """ConstantOfShape."""
    value = attribute(node, "value", None)
    fill = torch.zeros(1) if value is None else torch.from_numpy(value.numpy().copy())
    return fill.expand(shape.tolist()).clone()


def depth_to_space(node: ir.Node, x: Tensor) -> Tensor:
    """DepthToSpace, in both orders of its channels."""
    block = attribute(node, "blocksize", 1)
    if attribute(node, "mode", "DCR") == "CRD":
        return F.pixel_shuffle(x, block)
    images, channels, height, width = x.shape
    left = channels // block**2
    parted = x.reshape(images, block, block, left, height, width).permute(0, 3, 4, 1, 5, 2)
    return parted.reshape(images, left, height * block, width * block)


def space_to_depth(node: ir.Node, x: Tensor) -> Tensor:
    """SpaceToDepth."""
    block = attribute(node, "blocksize", 1)
    images, channels, height, width = x.shape
    parted = x.reshape(images, channels, height // block, block, width // block, block)
    moved = parted.permute(0, 3, 5, 1, 2, 4)
    return moved.reshape(images, channels * block**2, height // block, width // block)


def expand(_node: ir.Node, x: Tensor, shape: Tensor) -> Tensor:
    """Expand: either shape may have the larger sizes."""
    sizes = torch.broadcast_shapes(tuple(x.shape), tuple(shape.tolist()))  # type: ignore[no-untyped-call]
    return x.expand(sizes)


def flatten(node: ir.Node, x: Tensor) -> Tensor:
    """Flatten."""
    axis = attribute(node, "axis", 1)
    before = x.shape[: axis if axis >= 0 else x.dim() + axis]
    return x.reshape(math.prod(before), -1)


def gather(node: ir.Node, x: Tensor, indices: Tensor) -> Tensor:
    """Gather."""
    axis = attribute(node, "axis", 0) % x.dim()
    flat = (indices.long() % x.shape[axis]).reshape(-1)
    picked = torch.index_select(x, axis, flat)
    return picked.reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def pad(
    node: ir.Node, x: Tensor, pads: Tensor, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    """Pad; of negative pads none is known in quantized graphs."""
    sizes = [int(size) for size in pads.tolist()]
    padded = axes_of(node, axes) or tuple(range(x.dim()))
    ends = {axis % x.dim(): (sizes[i], sizes[len(padded) + i]) for i, axis in enumerate(padded)}
    used = [axis for axis, end in ends.items() if any(end)]
    if not used:
        return x
    widths = [w for axis in reversed(range(min(used), x.dim())) for w in ends.get(axis, (0, 0))]
    mode = attribute(node, "mode", "constant")
    if mode == "constant":
        return F.pad(x, widths, value=0.0 if value is None else float(value))
    return F.pad(x, widths, mode={"reflect": "reflect", "edge": "replicate"}[mode])


def reshape(node: ir.Node, x: Tensor, shape: Tensor) -> Tensor:
    """Reshape; a size of 0 is the input's."""
    sizes = [int(size) for size in shape.tolist()]
    if not attribute(node, "allowzero", 0):
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


def slice_(
    _node: ir.Node,
    x: Tensor,
    starts: Tensor,
    ends: Tensor,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    """Slice, with steps backwards too."""
    along = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    for start, end, axis, step in zip(starts.tolist(), ends.tolist(), along, strides, strict=True):
        size = x.shape[axis]
        # beyond the first element backwards there is no number for it in Python's slices
        stop = None if step < 0 and end < -size else end
        picked = range(size)[start:stop:step]
        x = torch.index_select(x, axis, torch.tensor(picked, dtype=torch.int64))
    return x


def split(node: ir.Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    """Split; without sizes in equal parts, the last one smaller."""
    axis = attribute(node, "axis", 0)
    wanted = attribute(node, "split", None) if sizes is None else sizes.tolist()
    if wanted is None:
        wanted = -(-x.shape[axis] // len(node.outputs))
    parts: tuple[Tensor, ...] = torch.split(x, wanted, axis)
    return parts


def squeeze(node: ir.Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Squeeze."""
    wanted = axes_of(node, axes)
    return x.squeeze() if wanted is None else x.squeeze(wanted)


def transpose(node: ir.Node, x: Tensor) -> Tensor:
    """Transpose."""
    return x.permute(*attribute(node, "perm", tuple(reversed(range(x.dim())))))


def unsqueeze(node: ir.Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    """Unsqueeze; the axes are those of the result."""
    wanted = axes_of(node, axes) or ()
    rank = x.dim() + len(wanted)
    for axis in sorted(axis % rank for axis in wanted):
        x = x.unsqueeze(axis)
    return x
