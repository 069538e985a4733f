"""What a package's README says of the answers of its program."""

from __future__ import annotations

from collections.abc import Iterator

from edge_scnet.package.reading import (
    BoxesReading,
    ClassesReading,
    LabelsReading,
    PairReading,
    PointsReading,
    RawReading,
    Reading,
    SharesReading,
)
from edge_scnet.report.markdown import escaped


def reading_words(reading: Reading) -> Iterator[str]:
    """Yields sentences about what the program prints; none of the classes of a classifier."""
    if isinstance(reading, RawReading):
        why = "" if reading.reason is None else f": {escaped(reading.reason)}"
        yield f"It prints the range of each output, and decodes none{why}."
    elif isinstance(reading, BoxesReading):
        yield from _of_boxes(reading)
    elif isinstance(reading, SharesReading):
        yield "It prints what each class takes of the picture, in percent of its pixels."
    elif isinstance(reading, PointsReading):
        yield "It prints the points in pixels of the picture, as it is stored and turned upright."
    elif isinstance(reading, LabelsReading):
        yield f"It prints the labels that apply: {_above(reading.limit)}."
    elif isinstance(reading, PairReading):
        if reading.columns == 1:
            yield f"It prints both classes; it is the second one {_above(reading.limit)}."
        elif reading.limit is not None:
            yield f"It prints both classes; it is the second from {reading.limit:g} on."
    elif not isinstance(reading, ClassesReading):
        yield "It prints the values as the engine gives them."


def _of_boxes(reading: BoxesReading) -> Iterator[str]:
    threshold = f"{100 * reading.least:g} %"
    yield (
        f"It prints the objects that score {threshold} or more, {reading.most} at most: class,"
        " score, and x1, y1, x2, y2 in pixels of the picture, as it is stored and turned upright."
    )
    if reading.head.decoder == "end2end":
        yield "The engine itself takes away boxes that share too much with a better one."
    else:
        yield (
            f"Its outputs are read as those of `{reading.head.decoder}`; of two boxes of a class"
            f" that share more than {100 * reading.nms_iou:g} % of their union the better stays."
        )


def _above(limit: float | None) -> str:
    if limit is None:
        return "above 0.5 where all scores are from 0 to 1, else above 0"
    return f"above {limit:g}"
