"""Where a detector's head has its values: outputs, feature maps, columns; told from the shapes.

A program is written from these numbers. The formulas stand in the programs as in `tasks.decoders`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from edge_scnet.tasks.base import Context
from edge_scnet.tasks.decoders import levels, nanodet, ssd, yunet
from edge_scnet.tasks.decoders.base import ImageInfo, known_strides
from edge_scnet.tasks.decoders.choose import told
from edge_scnet.tasks.detection import Detection


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One sample's part of an output."""

    # its number among the outputs
    output: int
    # of the sample; None: as many rows as the network counts
    shape: tuple[int | None, ...]
    # the output has no batch axis: so many rows of it are the sample's; None: it has one
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Values of a feature map in an output: some columns of some rows, a row for each place."""

    sample: Sample
    # in a row
    columns: int
    # the first column that is meant
    first: int = 0
    # rows in the output, and the first of this map
    places: int
    row: int = 0
    # the values of one column lie side by side
    planar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Map:
    """One feature map, or all rows of a head that is decoded in the network."""

    # in pixels of the input
    stride: int = 1
    # places
    width: int
    height: int = 1
    # a score for each class
    scores: Part
    box: Part
    # what all scores of a place are multiplied by: objectness, centre-ness; None: nothing
    more: Part | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxHead:
    """A detector's head."""

    # of `tasks.decoders`
    decoder: str
    classes: int
    # of end2end one, whose box has six columns
    maps: tuple[Map, ...]
    # of the network's input, in pixels
    width: int
    height: int
    # whether its scores are logits where nobody says it
    usually_logits: bool = False
    # of distributions over distances
    bins: int = 0
    # where in its cell a place lies, in strides
    centre: float = 0.0
    # ssd: boxes are relative to the input, and centres with sizes
    relative: bool = False
    centred: bool = False

    @property
    def strides(self) -> tuple[int, ...]:
        """Of the feature maps, in pixels."""
        return tuple(each.stride for each in self.maps)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The outputs of one sample."""

    info: ImageInfo
    samples: Mapping[str, Sample]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The sizes; of rows that the network counts one."""
        return {
            name: tuple(size or 1 for size in sample.shape) for name, sample in self.samples.items()
        }

    def only(self) -> tuple[Sample, tuple[int, ...]]:
        """The one output with two axes, or the one that there is."""
        flat = [name for name, shape in self.shapes.items() if len(shape) == 2]
        name = flat[0] if flat else next(iter(self.samples))
        return self.samples[name], self.shapes[name]


def box_head(made: Detection, context: Context, batch: int) -> BoxHead:
    """Where the values of a detector's head are.

    Args:
        context: whose outputs the evaluator has read before.

    Raises:
        DataError: no decoder is named, and none or several fit.
    """
    spec = context.spec
    info = ImageInfo(
        width=spec.width,
        height=spec.height,
        classes=len(spec.classes) or spec.num_classes,
        options=made.options,
    )
    samples = {
        head.name: _sample(number, head.shape, batch) for number, head in enumerate(context.heads)
    }
    seen = _Seen(info=info, samples=samples)
    name = made.options.decode or told(seen.shapes, info)
    return _HEADS[name](seen)


def _sample(number: int, shape: tuple[int | None, ...], batch: int) -> Sample:
    """One sample's part, as `predict` takes it of what an engine gives."""
    if None in shape:  # a whole output: its size depends on the data
        return Sample(output=number, shape=shape, rows=0)
    rows = shape[0] or 0
    rows = rows // batch if rows % batch == 0 else rows
    if rows == 1:
        return Sample(output=number, shape=shape[1:])
    return Sample(output=number, shape=(rows, *shape[1:]), rows=rows)


def _decoded(seen: _Seen, decoder: str, behind: int) -> BoxHead:
    """Boxes that the network has decoded: centre, size, and the scores behind some columns."""
    sample, shape = seen.only()
    planar = decoder == "yolov8" and shape[0] < shape[1]
    places, columns = shape[::-1] if planar else shape
    classes = columns - behind
    if decoder == "yolov8" and seen.info.classes:
        classes = seen.info.classes  # the masks' coefficients, or points, are behind

    def part(first: int) -> Part:
        return Part(sample=sample, columns=columns, first=first, places=places, planar=planar)

    more = part(4) if behind == 5 else None
    found = Map(width=places, scores=part(behind), box=part(0), more=more)
    return _head(seen, decoder, classes, (found,))


def _head(seen: _Seen, decoder: str, classes: int, maps: tuple[Map, ...]) -> BoxHead:
    return BoxHead(
        decoder=decoder,
        classes=classes,
        maps=maps,
        width=seen.info.width,
        height=seen.info.height,
    )


def _yolov5(seen: _Seen) -> BoxHead:
    return _decoded(seen, "yolov5", 5)


def _yolov8(seen: _Seen) -> BoxHead:
    return _decoded(seen, "yolov8", 4)


def _joined(seen: _Seen, name: str) -> Iterator[tuple[int, int, int, int]]:
    """Yields stride, width, height and first row of the maps that are joined in one output."""
    _, (rows, _) = seen.only()
    row = 0
    for stride in known_strides(rows, seen.info, name):
        width, height = _places(seen.info, stride)
        yield stride, width, height, row
        row += width * height


def _places(info: ImageInfo, stride: int) -> tuple[int, int]:
    return -(-info.width // stride), -(-info.height // stride)


def _yolox(seen: _Seen) -> BoxHead:
    sample, (places, columns) = seen.only()

    def part(first: int, row: int) -> Part:
        return Part(sample=sample, columns=columns, first=first, places=places, row=row)

    found = tuple(
        Map(
            stride=stride,
            width=width,
            height=height,
            scores=part(5, row),
            box=part(0, row),
            more=part(4, row),
        )
        for stride, width, height, row in _joined(seen, "yolox")
    )
    return _head(seen, "yolox", columns - 5, found)


def _nanodet_plus(seen: _Seen) -> BoxHead:
    sample, (places, columns) = seen.only()
    classes = seen.info.classes or columns - 4 * 8

    def part(first: int, row: int) -> Part:
        return Part(sample=sample, columns=columns, first=first, places=places, row=row)

    found = tuple(
        Map(stride=stride, width=width, height=height, scores=part(0, row), box=part(classes, row))
        for stride, width, height, row in _joined(seen, "nanodet-plus")
    )
    return replace(_head(seen, "nanodet-plus", classes, found), bins=(columns - classes) // 4)


def _of_map(seen: _Seen, name: str) -> Part:
    """An output that is one feature map's."""
    shape = seen.shapes[name]
    planar = len(shape) == 3 and levels.is_channels_first(shape, seen.info)
    columns = levels.width_of(shape, seen.info)
    return Part(
        sample=seen.samples[name],
        columns=columns,
        places=int(np.prod(shape)) // columns,
        planar=planar,
    )


def _nanodet(seen: _Seen) -> BoxHead:
    by_stride = levels.by_stride(seen.shapes, seen.info) or {}
    classes, distances = nanodet.widths_in(by_stride, seen.info) or (0, 0)
    found = []
    for stride, widths in by_stride.items():
        names = {width: name for name, width in widths.items()}
        width, height = _places(seen.info, stride)
        scores, box = (_of_map(seen, names[each]) for each in (classes, distances))
        found.append(Map(stride=stride, width=width, height=height, scores=scores, box=box))
    made = _head(seen, "nanodet", classes, tuple(found))
    return replace(made, bins=distances // 4, centre=0.5)


def _fcos(seen: _Seen) -> BoxHead:
    found = []
    for stride, widths in (levels.by_stride(seen.shapes, seen.info) or {}).items():
        parts = {width: _of_map(seen, name) for name, width in widths.items()}
        box, more = parts.pop(4), parts.pop(1)
        (scores,) = parts.values()
        width, height = _places(seen.info, stride)
        found.append(
            Map(stride=stride, width=width, height=height, scores=scores, box=box, more=more)
        )
    made = _head(seen, "fcos", found[0].scores.columns, tuple(found))
    return replace(made, usually_logits=True, centre=seen.info.options.centre)


def _yunet(seen: _Seen) -> BoxHead:
    found = []
    for stride in yunet.strides_in(seen.shapes):
        parts = {
            name: Part(
                sample=seen.samples[f"{name}_{stride}"],
                columns=seen.shapes[f"{name}_{stride}"][1],
                places=seen.shapes[f"{name}_{stride}"][0],
            )
            for name in ("cls", "obj", "bbox")
        }
        width, height = _places(seen.info, stride)
        found.append(
            Map(
                stride=stride,
                width=width,
                height=height,
                scores=parts["cls"],
                box=parts["bbox"],
                more=parts["obj"],
            )
        )
    return _head(seen, "yunet", found[0].scores.columns, tuple(found))


def _fastestdet(seen: _Seen) -> BoxHead:
    ((name, (channels, height, width)),) = seen.shapes.items()

    def part(first: int) -> Part:
        return Part(
            sample=seen.samples[name],
            columns=channels,
            first=first,
            places=width * height,
            planar=True,
        )

    found = Map(width=width, height=height, scores=part(5), box=part(1), more=part(0))
    return _head(seen, "fastestdet", channels - 5, (found,))


def _ssd(seen: _Seen) -> BoxHead:
    options = seen.info.options
    arrays = {name: np.zeros(shape, np.float32) for name, shape in seen.shapes.items()}
    names = ssd.names_of(arrays)
    (places, columns), _ = (seen.shapes[name] for name in names)
    ground = int(ssd.has_ground(columns, seen.info))
    scores, boxes = (seen.samples[name] for name in names)
    found = Map(
        width=places,
        scores=Part(sample=scores, columns=columns, first=ground, places=places),
        box=Part(sample=boxes, columns=4, places=places),
    )
    return replace(
        _head(seen, "ssd", columns - ground, (found,)),
        relative=options.box_units == "relative",
        centred=options.box_form == "centre",
    )


def _end2end(seen: _Seen) -> BoxHead:
    sample, (places, _) = seen.only()
    part = Part(sample=sample, columns=6, places=places)
    return _head(seen, "end2end", 0, (Map(width=places, scores=part, box=part),))


_HEADS: dict[str, Callable[[_Seen], BoxHead]] = {
    "yolox": _yolox,
    "yolov5": _yolov5,
    "yolov8": _yolov8,
    "end2end": _end2end,
    "ssd": _ssd,
    "fcos": _fcos,
    "nanodet": _nanodet,
    "nanodet-plus": _nanodet_plus,
    "fastestdet": _fastestdet,
    "yunet": _yunet,
}
