"""Heads that suppress within the network: YOLOv10 and exports with their own suppression."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    only_output,
    probabilities,
    strides_of,
    wrong_outputs,
)

TITLE = "YOLOv10 and others that need no suppression: one output, rows x (corners, score, class)"
_MOST_ROWS = 1000


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """One output of six columns, whose rows are not those of feature maps."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 2 or found[0][1] != 6:
        return False
    rows = found[0][0]
    return rows <= _MOST_ROWS and strides_of(rows, info) is None


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """The rows with a score, best first."""
    rows = only_output(outputs, "end2end", "rows x 6")
    if rows.shape[1] != 6:
        raise wrong_outputs(outputs, "end2end", "one output of rows x 6")
    scores = probabilities(rows[:, 4], info)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= info.options.min_score][: info.options.most]
    return Detections(
        corners=rows[order, :4].astype(np.float32),
        scores=scores[order].astype(np.float32),
        classes=np.maximum(np.rint(rows[order, 5]), 0).astype(np.int64),
    )
