"""Upsample and the first Resize, written as the Resize of opset 11 and newer.

They take the pixel at `position / scale`; nearest takes the one before it where a size grows, and,
as ONNX Runtime has it, the one behind it where a size shrinks.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_scnet.export.rewriting import Context, NotWritable, Rule, attributes, drop, made, put

_SCALES = 2
_SIZES = 3


def _upsample_9(node: Any, context: Context) -> None:
    scales = attributes(node)["scales"]
    drop(node, "scales")
    node.input.append(context.add(node, "scales", np.array(scales, np.float32)))


def _upsample_10(node: Any, _context: Context) -> None:
    node.op_type = "Resize"


def _resize_11(node: Any, context: Context) -> list[Any] | None:
    data, scales = node.input
    mode = attributes(node).get("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise NotWritable(f"its mode {mode!r} is none of the opset's")
    del node.input[:]
    node.input.extend([data, "", scales])
    put(node, coordinate_transformation_mode="asymmetric")
    if mode == "linear":
        return None
    values = context.constant(scales)
    shrinks = values is not None and bool((values < 1).any())
    put(node, nearest_mode="ceil" if shrinks else "floor")
    if values is None or not shrinks or not (values > 1).any():
        return None
    # one axis grows and another shrinks: one Resize for each kind
    larger = context.fresh(f"{node.name or node.output[0]}_larger")
    node.input[0] = larger
    node.input[_SCALES] = context.add(node, "down", np.minimum(values, 1).astype(np.float32))
    grow = context.add(node, "up", np.maximum(values, 1).astype(np.float32))
    options = {**attributes(node), "nearest_mode": "floor"}
    return [made("Resize", [data, "", grow], [larger], name=larger, **options), node]


def _resize_13(node: Any, context: Context) -> None:
    tidy_resize(node, context)
    values = attributes(node)
    if values.get("coordinate_transformation_mode") != "tf_half_pixel_for_nn":
        return
    # the pixel that holds (position + 1/2) / scale, which is half_pixel's position rounded
    if values.get("mode", "nearest") != "nearest" or values.get("nearest_mode") != "floor":
        raise NotWritable(
            "its coordinates, tf_half_pixel_for_nn, are known with nearest_mode floor alone"
        )
    put(node, coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_ceil")


def tidy_resize(node: Any, context: Context) -> None:
    """Leaves out the inputs of a Resize that are there to be empty."""
    for index in range(1, len(node.input)):
        value = context.constant(node.input[index])
        if value is not None and not value.size:
            node.input[index] = ""
    while node.input and not node.input[-1]:
        del node.input[-1]


UPSAMPLING: dict[tuple[str, int], Rule] = {
    ("Upsample", 9): _upsample_9,
    ("Upsample", 10): _upsample_10,
    ("Resize", 11): _resize_11,
    ("Resize", 13): _resize_13,
}
