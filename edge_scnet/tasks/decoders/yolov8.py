"""YOLOv8 and what followed it without an objectness: boxes decoded in the network, in pixels."""

from __future__ import annotations

from collections.abc import Mapping

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    around,
    probabilities,
    selected,
    strides_of,
    wrong_outputs,
)

TITLE = (
    "YOLOv8, v9, v11: an output of (centre and size in pixels, classes) x places, or its transpose"
)


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """An output with a column for each place, and a row for each class behind four."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 2:
        return False
    rows, columns = found[0]
    if rows < columns and strides_of(columns, info) is not None:
        return rows > 4 if info.classes is None else rows == 4 + info.classes
    if strides_of(rows, info) is None:
        return False
    return columns > 4 if info.classes is None else columns == 4 + info.classes


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places say; of a segmentation's or pose's outputs the boxes and classes."""
    flat = [array for array in outputs.values() if array.ndim == 2]
    rows = flat[0] if len(flat) == 1 else None
    if rows is not None and rows.shape[0] < rows.shape[1]:
        rows = rows.T
    classes = info.classes or (rows.shape[1] - 4 if rows is not None else 0)
    if rows is None or rows.shape[1] < 4 + max(1, classes):
        wanted = f"{info.classes} classes" if info.classes else "classes"
        raise wrong_outputs(outputs, "yolov8", f"an output of (4 + {wanted}) x places")
    scores = probabilities(rows[:, 4 : 4 + classes], info)
    return selected(around(rows[:, :2], rows[:, 2:4]), scores, info)
