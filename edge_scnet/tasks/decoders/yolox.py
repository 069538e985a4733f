"""YOLOX as it exports its head without decoding: offsets in strides, objectness, classes.

Centre = (place + offset) x stride, side = exp(offset) x stride, score = objectness x class: Z. Ge,
S. Liu, F. Wang, Z. Li, J. Sun, YOLOX: Exceeding YOLO Series in 2021.
"""

from __future__ import annotations

from collections.abc import Mapping

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    around,
    known_strides,
    only_output,
    places,
    probabilities,
    selected,
    sides,
    strides_of,
    wrong_outputs,
)

TITLE = "YOLOX, not decoded: one output, places x (4 offsets, objectness, classes)"


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """One output with a row for each place, and a column for each class behind five."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 2 or strides_of(found[0][0], info) is None:
        return False
    columns = found[0][1]
    return columns > 5 if info.classes is None else columns == 5 + info.classes


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the rows of all feature maps say."""
    rows = only_output(outputs, "yolox", "places x (5 + classes)")
    if rows.shape[1] < 6:
        raise wrong_outputs(outputs, "yolox", "one output of places x (5 + classes)")
    at, stride = places(info, known_strides(len(rows), info, "yolox"))
    corners = around((at + rows[:, :2]) * stride, sides(rows[:, 2:4]) * stride)
    scores = probabilities(rows[:, 4:], info)
    return selected(corners, scores[:, :1] * scores[:, 1:], info)
