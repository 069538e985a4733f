"""Non-maximum suppression, class by class."""

from __future__ import annotations

import numpy as np


def suppress(
    corners: np.ndarray, scores: np.ndarray, classes: np.ndarray, *, iou: float, most: int
) -> np.ndarray:
    """The indices of the boxes that stay, best first.

    From the best box on, each takes away the boxes of its class that share more than `iou` of the
    union with it. Of equal scores the one that comes first is the better.

    Args:
        corners: [boxes, 4]: x1, y1, x2, y2.
        scores, classes: [boxes].
        most: no more than so many stay.
    """
    order = np.argsort(-scores, kind="stable")
    # a copy by column, in order: what is left of it gets shorter with every box that stays
    left = np.ascontiguousarray(corners[order].T, dtype=np.float64)
    groups, areas = classes[order], (left[2] - left[0]) * (left[3] - left[1])
    kept: list[int] = []
    while len(order) and len(kept) < most:
        kept.append(int(order[0]))
        width = np.minimum(left[2, 0], left[2, 1:]) - np.maximum(left[0, 0], left[0, 1:])
        height = np.minimum(left[3, 0], left[3, 1:]) - np.maximum(left[1, 0], left[1, 1:])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        # without a division: boxes without an area share nothing
        stays = (shared <= iou * (areas[0] + areas[1:] - shared)) | (groups[1:] != groups[0])
        order, groups, areas = order[1:][stays], groups[1:][stays], areas[1:][stays]
        left = left[:, 1:][:, stays]
    return np.array(kept, np.int64)
