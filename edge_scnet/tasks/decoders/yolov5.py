"""YOLOv5 and what followed it with an objectness: boxes decoded in the network, in pixels."""

from __future__ import annotations

from collections.abc import Mapping

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    around,
    only_output,
    probabilities,
    selected,
    strides_of,
    wrong_outputs,
)

TITLE = (
    "YOLOv5, v6, v7, YOLOX decoded: one output, rows x (centre and size in pixels, objectness,"
    " classes)"
)
_ANCHORS = 3  # of a place


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """One output with one or three rows for each place, a column for each class behind five."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 2:
        return False
    rows, columns = found[0]
    whole = strides_of(rows, info) is not None
    if not whole and (rows % _ANCHORS or strides_of(rows // _ANCHORS, info) is None):
        return False
    return columns > 5 if info.classes is None else columns == 5 + info.classes


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the rows say: score = objectness x class."""
    rows = only_output(outputs, "yolov5", "rows x (5 + classes)")
    if rows.shape[1] < 6:
        raise wrong_outputs(outputs, "yolov5", "one output of rows x (5 + classes)")
    scores = probabilities(rows[:, 4:], info)
    return selected(around(rows[:, :2], rows[:, 2:4]), scores[:, :1] * scores[:, 1:], info)
