"""FastestDet: one feature map of objectness, four offsets, and classes.

Centre = (place + tanh(offset)) in cells, side = sigmoid(offset) of the input's, score = objectness
^ 0.6 x best class ^ 0.4, as its authors' code has it.
"""

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
    sigmoid,
    wrong_outputs,
)

TITLE = "FastestDet: one output, (objectness, 4 offsets, classes) x H x W"
_STRIDE = 16


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """One output that is a feature map of stride 16."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 3:
        return False
    channels, height, width = found[0]
    if (height * _STRIDE, width * _STRIDE) != (info.height, info.width):
        return False
    return channels > 5 if info.classes is None else channels == 5 + info.classes


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places say, each of its best class."""
    arrays = list(outputs.values())
    if len(arrays) != 1 or arrays[0].ndim != 3 or arrays[0].shape[0] < 6:
        raise wrong_outputs(outputs, "fastestdet", "one output of (5 + classes) x H x W")
    channels, height, width = arrays[0].shape
    rows = arrays[0].reshape(channels, -1).T
    ys, xs = np.mgrid[:height, :width]
    cells = np.stack([xs.ravel(), ys.ravel()], axis=1)
    size = np.array([info.width, info.height], np.float32)
    centres = (cells + np.tanh(rows[:, 1:3])) / np.array([width, height], np.float32) * size
    corners = around(centres, sigmoid(rows[:, 3:5]) * size)
    classes = probabilities(rows[:, 5:], info)
    best = classes.argmax(axis=1)
    scores = np.zeros_like(classes)
    at = np.arange(len(rows))
    scores[at, best] = probabilities(rows[:, 0], info) ** 0.6 * classes[at, best] ** 0.4
    return selected(corners, scores, info)
