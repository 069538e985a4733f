"""Writes nodes of a file in the one form that later stages expect."""

from __future__ import annotations

from typing import Any

from edge_scnet.export.old_resize import tidy_resize
from edge_scnet.export.rewriting import Context, attributes, drop, put

# Operators with windows of `kernel_shape`; a convolution's is its weights' where it is not said.
_WINDOWED = ("Conv", "MaxPool", "AveragePool", "LpPool")


def tidy(node: Any, context: Context) -> None:
    """Leaves out empty inputs of a Resize, and writes automatic padding in numbers."""
    if node.op_type == "Resize":
        tidy_resize(node, context)
    elif node.op_type == "MeanVarianceNormalization" and "axes" not in attributes(node):
        # onnx's shape inference stops where they are left out
        put(node, axes=[0, 2, 3])
    elif node.op_type in _WINDOWED:
        _pads(node, context)


def _pads(node: Any, context: Context) -> None:
    """Writes SAME_UPPER and SAME_LOWER as pads, where the sizes are known."""
    values = attributes(node)
    mode = values.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        drop(node, "auto_pad")
        return
    shape = context.shape(node.input[0])
    kernel = values.get("kernel_shape")
    if kernel is None and node.op_type == "Conv":
        weights = context.shape(node.input[1])
        kernel = None if weights is None else weights[2:]
    if kernel is None or (shape is None and mode != "VALID"):
        return
    before, after = [0] * len(kernel), [0] * len(kernel)
    strides = values.get("strides") or [1] * len(kernel)
    if mode != "VALID" and any(factor != 1 for factor in values.get("dilations", ())):
        # ONNX Runtime leaves dilation out of the sum in pools, and refuses it in convolutions
        return
    for axis, size in enumerate((shape or ())[2:] if mode != "VALID" else ()):
        count = -(-size // strides[axis])
        total = max(0, (count - 1) * strides[axis] + kernel[axis] - size)
        smaller, larger = total // 2, total - total // 2
        upper = mode == "SAME_UPPER"
        before[axis], after[axis] = (smaller, larger) if upper else (larger, smaller)
    drop(node, "auto_pad")
    put(node, pads=[*before, *after])
