"""FCOS: for each feature map the classes, four distances in strides, and a centre-ness.

Score = root of class x centre-ness: Z. Tian, C. Shen, H. Chen, T. He, FCOS: Fully Convolutional
One-Stage Object Detection, ICCV 2019; the root is the authors' own later one, and torchvision's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    grid,
    probabilities,
    selected,
    wrong_outputs,
)
from edge_scnet.tasks.decoders.levels import as_rows, by_stride, shapes_of

TITLE = "FCOS: for each feature map, class logits, 4 distances in strides, and a centre-ness"


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """Three outputs for each of two maps and more: classes, four values, one value."""
    maps = by_stride(shapes, info)
    return maps is not None and len(maps) > 1 and all(map(_is_level, maps.values()))


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places of all maps say; a distance below 0 is 0."""
    maps = by_stride(shapes_of(outputs), info)
    if maps is None or not all(map(_is_level, maps.values())):
        raise wrong_outputs(
            outputs, "fcos", "for each feature map one output of classes, one of 4, one of 1"
        )
    corners, scores = [], []
    for stride, names in maps.items():
        by_width = {width: as_rows(outputs[name], info) for name, width in names.items()}
        distances = np.maximum(by_width.pop(4), 0) * stride
        centred = probabilities(by_width.pop(1), info, logits=True)
        (classes,) = by_width.values()
        at = (grid(info, stride) + info.options.centre) * stride
        corners.append(np.concatenate([at - distances[:, :2], at + distances[:, 2:]], axis=1))
        scores.append(np.sqrt(probabilities(classes, info, logits=True) * centred))
    return selected(np.concatenate(corners), np.concatenate(scores), info)


def _is_level(names: Mapping[str, int]) -> bool:
    widths = sorted(names.values())
    return len(widths) == 3 and len(set(widths)) == 3 and {1, 4} <= set(widths)
