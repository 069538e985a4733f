"""Operators of older opsets written as the next opset has them, with the same values.

A rule belongs to the opset that changed the operator. What ONNX Runtime computes for the older form
is what the newer one must compute.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_scnet.export.old_resize import UPSAMPLING
from edge_scnet.export.rewriting import Context, NotWritable, Rule, attributes, drop, made, put


def _input_of(name: str, suffix: str | None = None, index: int = 1) -> Rule:
    """A rule for an attribute of whole numbers that became an input."""

    def rule(node: Any, context: Context) -> None:
        value = attributes(node).get(name)
        drop(node, name)
        if value:
            _set_input(node, index, context.add(node, suffix or name, np.array(value, np.int64)))

    return rule


def _set_input(node: Any, index: int, name: str) -> None:
    while len(node.input) <= index:
        node.input.append("")
    node.input[index] = name


def _batch_norm_9(node: Any, _context: Context) -> None:
    if not attributes(node).get("spatial", 1):
        raise NotWritable("with spatial=0 it has weights of its own at every position")
    drop(node, "spatial")


def _batch_norm_14(node: Any, _context: Context) -> None:
    """Takes away outputs without a name; one with a name means training."""
    if any(node.output[1:]):
        raise NotWritable("it is in training mode: it normalises by the images of the batch")
    del node.output[1:]


def _dropout_12(node: Any, context: Context) -> None:
    if any(name in context.used for name in node.output[1:]):
        raise NotWritable("its mask is used")
    del node.output[1:]
    drop(node, "ratio")


def _slice_10(node: Any, context: Context) -> None:
    values = attributes(node)
    axes = values.get("axes") or range(len(values["starts"]))
    drop(node, "starts", "ends", "axes")
    for name, value in (("starts", values["starts"]), ("ends", values["ends"]), ("axes", axes)):
        node.input.append(context.add(node, name, np.array(value, np.int64)))


def _top_k_10(node: Any, context: Context) -> None:
    count = attributes(node)["k"]
    drop(node, "k")
    node.input.append(context.add(node, "k", np.array([count], np.int64)))


def _clip_11(node: Any, context: Context) -> None:
    values = attributes(node)
    drop(node, "min", "max")
    for index, name in ((1, "min"), (2, "max")):
        if name in values:
            bound = np.array(values[name], context.dtype(node.input[0]))
            _set_input(node, index, context.add(node, name, bound))


def _pad_11(node: Any, context: Context) -> None:
    values = attributes(node)
    drop(node, "pads", "value")
    node.input.append(context.add(node, "pads", np.array(values["pads"], np.int64)))
    if values.get("mode", "constant") == "constant" and values.get("value", 0.0):
        value = np.array(values["value"], context.dtype(node.input[0]))
        node.input.append(context.add(node, "value", value))


def _scatter_11(node: Any, _context: Context) -> None:
    node.op_type = "ScatterElements"


def _softmax_13(node: Any, context: Context) -> list[Any] | None:
    """Softmax, LogSoftmax and Hardmax over all axes from one on, which were one row before."""
    data, result = node.input[0], node.output[0]
    axis = attributes(node).get("axis", 1)
    shape = context.shapes.get(data)
    if shape is not None:
        axis = axis % len(shape) if shape else 0
        wide = [index for index in range(axis, len(shape)) if shape[index] != 1]
        if len(wide) <= 1:
            put(node, axis=wide[0] if wide else axis)
            return None
    name = node.name or result
    flat, soft = context.fresh(f"{name}_rows"), context.fresh(f"{name}_flat")
    nodes = [
        made("Flatten", [data], [flat], name=flat, axis=axis),
        made(node.op_type, [flat], [soft], name=node.name, axis=-1),
    ]
    known = context.shape(data)
    if known is None:
        sizes = context.fresh(f"{name}_sizes")
        nodes.append(made("Shape", [data], [sizes], name=sizes))
    else:
        sizes = context.add(node, "sizes", np.array(known, np.int64))
    return [*nodes, made("Reshape", [soft, sizes], [result], name=context.fresh(f"{name}_back"))]


def _roi_align_16(node: Any, _context: Context) -> None:
    put(node, coordinate_transformation_mode="output_half_pixel")


def _split_18(node: Any, _context: Context) -> None:
    if len(node.input) < 2 or not node.input[1]:
        put(node, num_outputs=len(node.output))


def _grid_sample_20(node: Any, _context: Context) -> None:
    names = {"bilinear": "linear", "bicubic": "cubic"}
    mode = attributes(node).get("mode", "bilinear")
    put(node, mode=names.get(mode, mode))


def _dft_20(node: Any, context: Context) -> None:
    axis = attributes(node).get("axis", 1)
    drop(node, "axis")
    _set_input(node, 2, context.add(node, "axis", np.array(axis, np.int64)))


_AXES_INPUT = _input_of("axes")
_REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax"),
    *("ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"),
)

# By operator and the opset that changed it.
UP: dict[tuple[str, int], Rule] = {
    **UPSAMPLING,
    ("BatchNormalization", 9): _batch_norm_9,
    ("BatchNormalization", 14): _batch_norm_14,
    ("Clip", 11): _clip_11,
    ("DFT", 20): _dft_20,
    ("Dropout", 12): _dropout_12,
    ("GridSample", 20): _grid_sample_20,
    ("Hardmax", 13): _softmax_13,
    ("LogSoftmax", 13): _softmax_13,
    ("Pad", 11): _pad_11,
    **{(op, 18): _AXES_INPUT for op in _REDUCTIONS},
    ("ReduceSum", 13): _AXES_INPUT,
    ("RoiAlign", 16): _roi_align_16,
    ("Scatter", 11): _scatter_11,
    ("Slice", 10): _slice_10,
    ("Softmax", 13): _softmax_13,
    ("Split", 13): _input_of("split"),
    ("Split", 18): _split_18,
    ("Squeeze", 13): _AXES_INPUT,
    ("TopK", 10): _top_k_10,
    ("Unsqueeze", 13): _AXES_INPUT,
}
