"""NanoDet-Plus: one output, the classes and four distributions of each place, which lies at the
upper left of its cell."""

from __future__ import annotations

from collections.abc import Mapping

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders.base import (
    Detections,
    ImageInfo,
    Outputs,
    known_strides,
    only_output,
    places,
    probabilities,
    selected,
    strides_of,
)
from edge_scnet.tasks.decoders.gfl import boxes_of

TITLE = "NanoDet-Plus: one output, places x (classes, 4 x bins of distances)"
_USUAL_BINS = 8


def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
    """One output with a row for each place, whose number of classes is known."""
    found = list(shapes.values())
    if len(found) != 1 or len(found[0]) != 2 or info.classes is None:
        return False
    rest = found[0][1] - info.classes
    return rest >= 8 and rest % 4 == 0 and strides_of(found[0][0], info) is not None


def decode(outputs: Outputs, info: ImageInfo) -> Detections:
    """What the places of all maps say; without a number of classes, sides have eight bins."""
    rows = only_output(outputs, "nanodet-plus", "places x (classes + 4 x bins)")
    classes = info.classes or rows.shape[1] - 4 * _USUAL_BINS
    bins = rows.shape[1] - classes
    if classes < 1 or bins < 8 or bins % 4:
        raise DataError(
            f"decode nanodet-plus: {rows.shape[1]} columns are not {classes} classes and 4 x bins",
            hint="say how many classes there are: --num-classes N",
        )
    at, stride = places(info, known_strides(len(rows), info, "nanodet-plus"))
    corners = boxes_of(at * stride, stride, rows[:, classes:])
    return selected(corners, probabilities(rows[:, :classes], info), info)
