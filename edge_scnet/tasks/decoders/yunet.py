"""YuNet, the face detector of OpenCV's zoo: for each stride cls, obj, bbox and kps.

Centre = (place + offset) x stride, side = exp(offset) x stride, score = root of cls x obj: W. Wu,
H. Peng, S. Yu, YuNet: A Tiny Millisecond-level Face Detector, 2023.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    around,
    grid,
    probabilities,
    selected,
    sides,
    wrong_outputs,
)

TITLE = "YuNet: cls_S, obj_S and bbox_S for each stride S, places x 1, 1 and 4"
_NAME = re.compile(r"cls_(\d+)")


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """The outputs by their names, with a row for each place."""
    strides = strides_in(shapes)
    return bool(strides) and all(
        len(shapes[f"{part}_{stride}"]) == 2
        and shapes[f"{part}_{stride}"][0] == len(grid(info, stride))
        for stride in strides
        for part in ("cls", "obj", "bbox")
    )


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places of all strides say; the points of the faces are left out."""
    if not fits({name: array.shape for name, array in outputs.items()}, info):
        raise wrong_outputs(
            outputs, "yunet", "cls_S, obj_S and bbox_S for each stride S, places x 1, 1 and 4"
        )
    corners, scores = [], []
    for stride in strides_in(outputs):
        box = outputs[f"bbox_{stride}"]
        centres = (grid(info, stride) + box[:, :2]) * stride
        corners.append(around(centres, sides(box[:, 2:4]) * stride))
        both = (probabilities(outputs[f"{part}_{stride}"], info) for part in ("cls", "obj"))
        scores.append(np.sqrt(np.prod(list(both), axis=0)))
    return selected(np.concatenate(corners), np.concatenate(scores), info)


def strides_in(names: Mapping[str, object]) -> list[int]:
    """The strides that have all three outputs; empty where one lacks one."""
    found = [int(match[1]) for name in names if (match := _NAME.fullmatch(name))]
    whole = all(f"{part}_{stride}" in names for stride in found for part in ("obj", "bbox"))
    return sorted(found) if whole else []
