"""Two outputs, decoded in the network: a score for each class, and a box (RFB, UltraFace, SSD)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    around,
    probabilities,
    selected,
    wrong_outputs,
)

TITLE = "SSD, RFB, UltraFace: scores, rows x classes with the ground first, and boxes, rows x 4"


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """Scores and boxes by their names: DETR's two outputs have the same form."""
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes.values()):
        return False
    by_name = {name.lower(): shape for name, shape in shapes.items()}
    boxes = [shape for name, shape in by_name.items() if "box" in name and shape[1] == 4]
    scores = [shape for name, shape in by_name.items() if "score" in name]
    return len(boxes) == len(scores) == 1 and boxes[0][0] == scores[0][0]


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the rows say, without the ground."""
    scores, boxes = (outputs[name] for name in names_of(outputs))
    options = info.options
    ground = has_ground(scores.shape[1], info)
    if options.box_units == "relative":
        boxes = boxes * np.array([info.width, info.height] * 2, np.float32)
    corners = around(boxes[:, :2], boxes[:, 2:]) if options.box_form == "centre" else boxes
    return selected(corners, probabilities(scores[:, int(ground) :], info), info)


def has_ground(columns: int, info: ImageInfo) -> bool:
    """Whether the first column of the scores is the ground, which is no class."""
    said = info.options.background
    return columns > 1 and columns != info.classes if said is None else said


def names_of(outputs: Outputs) -> tuple[str, str]:
    """The names of scores and boxes: these have four columns, and are named so where both have.

    Raises:
        DataError: outputs of other shapes.
    """
    flat = {name: array for name, array in outputs.items() if array.ndim == 2}
    boxes = [name for name, array in flat.items() if array.shape[1] == 4]
    if len(boxes) > 1:
        boxes = [name for name in boxes if "box" in name.lower()]
    scores = [name for name in flat if name not in boxes]
    if len(flat) != 2 or len(boxes) != 1 or len(flat[boxes[0]]) != len(flat[scores[0]]):
        raise wrong_outputs(outputs, "ssd", "scores, rows x classes, and boxes, rows x 4")
    return scores[0], boxes[0]
