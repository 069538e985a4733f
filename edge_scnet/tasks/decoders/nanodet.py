"""NanoDet: for each feature map the classes, and four distributions over distances in strides.

A place lies in the middle of its cell. The outputs are told by their shapes: exporters number their
names in another order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    grid,
    probabilities,
    selected,
    wrong_outputs,
)
from edge_scnet.tasks.decoders.gfl import boxes_of
from edge_scnet.tasks.decoders.levels import as_rows, by_stride, shapes_of

TITLE = "NanoDet, GFL: for each feature map, classes and 4 x bins of distances"
# NanoDet's 8 bins of a side, and GFL's 17
_USUAL_WIDTHS = (32, 68)


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """Two outputs for each of two maps and more, whose widths are told apart."""
    maps = by_stride(shapes, info)
    if maps is None or len(maps) < 2:
        return False
    return widths_in(maps, info) is not None


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places of all maps say."""
    maps = by_stride(shapes_of(outputs), info)
    if maps is None or {len(names) for names in maps.values()} != {2}:
        raise wrong_outputs(outputs, "nanodet", "two outputs for each feature map")
    widths = widths_in(maps, info)
    if widths is None:
        raise DataError(
            "decode nanodet: which outputs are the classes and which the distances is not told by"
            f" their widths, {', '.join(map(str, sorted(next(iter(maps.values())).values())))}",
            hint="say how many classes there are: --num-classes N",
        )
    corners, scores = [], []
    for stride, names in maps.items():
        found = {width: as_rows(outputs[name], info) for name, width in names.items()}
        centres = (grid(info, stride) + 0.5) * stride
        corners.append(boxes_of(centres, stride, found[widths[1]]))
        scores.append(probabilities(found[widths[0]], info))
    return selected(np.concatenate(corners), np.concatenate(scores), info)


def widths_in(maps: Mapping[int, Mapping[str, int]], info: ImageInfo) -> tuple[int, int] | None:
    """The widths of classes and distances, the same for all maps; None: they cannot be told."""
    widths = {tuple(sorted(names.values())) for names in maps.values()}
    if len(widths) != 1 or len(pair := next(iter(widths))) != 2 or pair[0] == pair[1]:
        return None
    choices = [
        (classes, distances)
        for classes, distances in (pair, pair[::-1])
        if distances % 4 == 0 and distances >= 8 and info.classes in (None, classes)
    ]
    if len(choices) > 1:
        choices = [choice for choice in choices if choice[1] in _USUAL_WIDTHS]
    return choices[0] if len(choices) == 1 else None
