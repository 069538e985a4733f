"""What a C++ package says of outputs: which sources it takes, and the numbers in them.

The sources compute what the tasks' `read` computes, and print what `predict` prints; their numbers
stand in settings.hpp.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from edge_scnet.package.box_head import BoxHead, Part
from edge_scnet.package.python_boxes import CANDIDATES
from edge_scnet.package.reading import (
    BoxesReading,
    ClassesReading,
    LabelsReading,
    NumbersReading,
    PairReading,
    PointsReading,
    RawReading,
    Reading,
    SharesReading,
    VectorReading,
)

# The sources behind a reading, by the names that they have in a package.
_NAMES, _SHARES, _PLACING = (
    {"names.hpp": "names.hpp"},
    {"shares.hpp": "shares.hpp"},
    {"placing.hpp": "placing.hpp"},
)
_MAPS = {"maps.hpp": "maps.hpp", "scores.hpp": "scores.hpp"}
# Heads whose boxes are offsets from their places.
_OF_OFFSETS = ("yolox", "yunet")
_HEADS = {
    "yolov5": "head_decoded.hpp",
    "yolov8": "head_decoded.hpp",
    "nanodet-plus": "head_nanodet.hpp",
    **{name: f"head_{name}.hpp" for name in ("yolox", "yunet", "nanodet", "fcos")},
    **{name: f"head_{name}.hpp" for name in ("fastestdet", "ssd")},
}


def answer_sources(reading: Reading) -> Mapping[str, str]:
    """The files of `cpp_files/` that say what outputs mean, by their names in a package."""
    if isinstance(reading, BoxesReading):
        return _of_boxes(reading)
    if isinstance(reading, PointsReading):
        points = "points_peaks.hpp" if reading.layout == "heatmaps" else "points_listed.hpp"
        return {"answer.hpp": "answer_points.hpp", "points.hpp": points, **_PLACING}
    if isinstance(reading, SharesReading):
        classes = ("classes_whole.hpp", "classes_above.hpp", "classes_largest.hpp")
        chosen = {"classes_of_map.hpp": classes[min(reading.channels, 2)]}
        return {"answer.hpp": "answer_shares.hpp", **chosen, **_NAMES, **_PLACING}
    if isinstance(reading, ClassesReading):
        return {"answer.hpp": "answer_classes.hpp", **_NAMES, **_SHARES}
    if isinstance(reading, PairReading):
        return {"answer.hpp": "answer_pair.hpp", **_NAMES, **_SHARES}
    if isinstance(reading, LabelsReading):
        return {"answer.hpp": "answer_labels.hpp", **_NAMES, **_SHARES}
    if isinstance(reading, NumbersReading):
        return {"answer.hpp": "answer_numbers.hpp"}
    if isinstance(reading, VectorReading):
        return {"answer.hpp": "answer_vector.hpp"}
    return {"answer.hpp": "answer_outputs.hpp"}


def _of_boxes(reading: BoxesReading) -> Mapping[str, str]:
    made = {"answer.hpp": "answer_boxes.hpp", **_MAPS, **_NAMES, **_PLACING}
    if reading.head.decoder == "end2end":
        return {**made, "objects.hpp": "objects_listed.hpp"}
    if reading.head.decoder in _OF_OFFSETS:
        made["offsets.hpp"] = "offsets.hpp"
    head = _HEADS[reading.head.decoder]
    return {**made, "objects.hpp": "objects_apart.hpp", "head.hpp": head}


def answer_includes(reading: Reading) -> Iterator[str]:
    """Yields the lines of settings.hpp that its numbers of outputs need in front."""
    if isinstance(reading, BoxesReading):
        yield '#include "maps.hpp"'


def answer_settings(reading: Reading) -> Iterator[str]:
    """Yields the lines of settings.hpp with the numbers of the outputs."""
    if isinstance(reading, BoxesReading):
        yield from _numbers_of_boxes(reading)
    elif isinstance(reading, PointsReading):
        yield from _numbers_of_points(reading)
    elif isinstance(reading, SharesReading):
        yield from _numbers_of_shares(reading)
    elif not isinstance(reading, ClassesReading | RawReading):
        columns = reading.columns if isinstance(reading, PairReading) else reading.count
        yield "// the output that is read, and how many of its values"
        yield f"constexpr std::size_t kOutput = {reading.output};"
        yield f"constexpr int kColumns = {columns};"
        if isinstance(reading, PairReading | LabelsReading):
            yield from _limit(reading.limit)


def _limit(limit: float | None) -> Iterator[str]:
    if limit is None:
        yield "// something applies above 0.5 where all scores are from 0 to 1, else above 0"
    else:
        yield "// something applies above it"
    yield f"constexpr bool kHasLimit = {_bool(limit is not None)};"
    yield f"constexpr float kLimit = {float_text(limit or 0.0)};"


def _numbers_of_points(reading: PointsReading) -> Iterator[str]:
    yield f"constexpr std::size_t kOutput = {reading.output};"
    if reading.layout == "heatmaps":
        last = reading.channels_last
        height, width, points = reading.shape if last else (*reading.shape[1:], reading.shape[0])
        yield "// a map for each point: the steps from one to the next, and from place to place"
        yield f"constexpr int kPoints = {points}, kMapHeight = {height}, kMapWidth = {width};"
        yield f"constexpr int kOfPoint = {1 if last else height * width};"
        yield f"constexpr int kOfPlace = {points if last else 1};"
        return
    values = 1
    for size in reading.shape:
        values *= size
    columns = reading.shape[-1] if reading.layout == "points" else 2
    points = values // columns
    by_axis = reading.layout == "xxyy"
    unit = {None: "told", True: "input", False: "pixels"}[reading.in_unit]
    yield "// points, the steps from one to the next, and from its x to its y"
    yield f"constexpr int kPoints = {points}, kOfPoint = {1 if by_axis else columns};"
    yield f"constexpr int kOfY = {points if by_axis else 1};"
    yield "// from 0 to 1 of the input, pixels of it, or the first where no value is above 2"
    yield "enum class Unit { input, pixels, told };"
    yield f"constexpr Unit kUnit = Unit::{unit};"


def _numbers_of_shares(reading: SharesReading) -> Iterator[str]:
    yield "// the output that is a map"
    yield f"constexpr std::size_t kOutput = {reading.output};"
    yield f"constexpr int kMapHeight = {reading.height}, kMapWidth = {reading.width};"
    if reading.channels == 1:
        yield f"constexpr float kLimit = {float_text(reading.limit)};  // class 1 is above it"
    elif reading.channels:
        plane = reading.height * reading.width
        steps = (reading.channels, 1) if reading.channels_last else (1, plane)
        yield "// its channels, and the steps from place to place and from channel to channel"
        yield f"constexpr int kMapChannels = {reading.channels};"
        yield f"constexpr int kOfPlace = {steps[0]}, kOfChannel = {steps[1]};"


def _numbers_of_boxes(reading: BoxesReading) -> Iterator[str]:
    head = reading.head
    read = sorted(
        {
            part.sample.output
            for each in head.maps
            for part in (each.scores, each.box, each.more)
            if part is not None
        }
    )
    yield "// the outputs that are read"
    yield f"constexpr std::size_t kRead[] = {{{', '.join(map(str, read))}}};"
    yield "// objects that score less are left out, and so many are found at most"
    yield f"constexpr float kLeast = {float_text(reading.least)};"
    yield f"constexpr std::size_t kMost = {reading.most};"
    yield f"constexpr bool kLogits = {_bool(reading.logits)};"
    words = ("", "")
    if reading.threshold:
        share = f"{100 * reading.threshold:g} % or more"
        words = (f" that scores {share}", f" that score {share}")
    yield "// what is said of one object, and of several"
    yield f'constexpr const char* kScoresOfOne = "{words[0]}";'
    yield f'constexpr const char* kScoresOfMore = "{words[1]}";'
    if head.decoder == "end2end":
        yield f"constexpr std::size_t kOutput = {head.maps[0].box.sample.output};"
        return
    yield "// of two boxes of a class that share more of their union the better one stays"
    yield f"constexpr double kNmsIou = {reading.nms_iou!r};"
    yield f"constexpr std::size_t kCandidates = {max(CANDIDATES, reading.most)};"
    yield f"constexpr int kClasses = {head.classes};"
    yield from _numbers_of_head(head)
    yield "// by feature map: stride, width, places; and of scores, box and what scores are times:"
    yield "// the output, where it begins, and the steps from place to place and column to column"
    yield "constexpr Map kMaps[] = {"
    for each in head.maps:
        views = ", ".join(
            "{}" if part is None else _view(part) for part in (each.scores, each.box, each.more)
        )
        yield f"    {{{each.stride}, {each.width}, {each.width * each.height}, {views}}},"
    yield "};"


def _numbers_of_head(head: BoxHead) -> Iterator[str]:
    if head.decoder in ("yolov5", "yolov8"):
        yield f"constexpr bool kHasObjectness = {_bool(head.decoder == 'yolov5')};"
    if head.decoder in ("nanodet", "nanodet-plus"):
        yield f"constexpr int kBins = {head.bins};"
    if head.decoder in ("nanodet", "nanodet-plus", "fcos"):
        yield f"constexpr float kCentre = {float_text(head.centre)};  // of a place, in its cell"
    if head.decoder == "ssd":
        scale = (head.width, head.height) if head.relative else (1, 1)
        yield "// what x and y of a box are multiplied by; boxes are centres and sizes"
        yield f"constexpr float kBoxScale[] = {{{', '.join(float_text(each) for each in scale)}}};"
        yield f"constexpr bool kCentred = {_bool(head.centred)};"


def _view(part: Part) -> str:
    """The output, the first value, and the steps to the next place and to the next column."""
    if part.planar:
        first, steps = part.first * part.places + part.row, (1, part.places)
    else:
        first, steps = part.row * part.columns + part.first, (part.columns, 1)
    return f"{{{part.sample.output}, {first}, {steps[0]}, {steps[1]}}}"


def _bool(value: bool) -> str:
    return "true" if value else "false"


def float_text(value: float) -> str:
    """A float32 in C++, rounded once as NumPy rounds it."""
    rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    return f"{rounded!r}f"
