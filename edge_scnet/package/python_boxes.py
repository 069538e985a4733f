"""The lines of a Python program that find a detector's boxes in its outputs.

They compute what the decoders of `tasks.decoders` compute, in the same types, for one head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edge_scnet.package.box_head import Map, Part, Sample
from edge_scnet.package.reading import BoxesReading

_SIGMOID = '''
def sigmoid(values):
    """1 / (1 + exp(-x)), which overflows nowhere."""
    return 0.5 + 0.5 * np.tanh(0.5 * values)
'''
_PLACES = '''
def places():
    """Column and row of each place of the feature maps, and the pixels from one to the next."""
    found = []
    for stride in STRIDES:
        rows, columns = np.mgrid[: -(-HEIGHT // stride), : -(-WIDTH // stride)]
        found.append(np.stack([columns, rows, np.full_like(rows, stride)], axis=2).reshape(-1, 3))
    found = np.concatenate(found).astype(np.float32)
    return found[:, :2], found[:, 2:]
'''
_FOUND = '''
def found(outputs):
    """Of each place x1, y1, x2, y2 in pixels of the engine's input, and the classes' scores."""'''
# behind what makes `centres` and `sizes`, or `centres` and `distances`
_AROUND = "    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)"
_BETWEEN = (
    "    corners = np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)"
)
_DISTRIBUTED = """    bins = bins.reshape(len(bins), 4, -1)
    shares = np.exp(bins - bins.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    distances = shares @ np.arange(bins.shape[2], dtype=np.float32) * stride"""
_APART = '''
def apart(corners, classes):
    """The rows that stay of boxes, best first: each takes away those of its class that share more
    than NMS_IOU of the union with it."""
    corners = corners.astype(np.float64)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    kept, left = [], np.arange(len(corners))
    while len(left) and len(kept) < MOST:
        best, left = left[0], left[1:]
        kept.append(best)
        low = np.maximum(corners[best, :2], corners[left, :2])
        high = np.minimum(corners[best, 2:], corners[left, 2:])
        shared = np.maximum(high - low, 0).prod(axis=1)
        few = shared <= NMS_IOU * (areas[best] + areas[left] - shared)
        left = left[few | (classes[left] != classes[best])]
    return kept


def objects(outputs):
    """Corners, scores and classes of what is found, best first."""
    corners, scores = found(outputs)
    rows, classes = np.nonzero(scores >= LEAST)
    best = np.argsort(-scores[rows, classes], kind="stable")[:CANDIDATES]
    rows, classes = rows[best], classes[best]
    kept = apart(corners[rows], classes)
    rows, classes = rows[kept], classes[kept]
    return corners[rows], scores[rows, classes], classes
'''
_ROWS = '''
def objects(outputs):
    """Corners, scores and classes of what is found, best first; the engine suppressed the rest."""
    rows = {rows}
    scores = {scores}
    best = np.argsort(-scores, kind="stable")
    best = best[scores[best] >= LEAST][:MOST]
    classes = np.maximum(np.rint(rows[best, 5]), 0).astype(np.int64)
    return rows[best, :4], scores[best], classes
'''
_ANSWER = '''
def answer(outputs, place):
    """What is found, best first: class, score, and x1, y1, x2, y2 in pixels of the picture."""
    corners, scores, classes = objects(outputs)
    scale, offset, size = place
    pairs = (corners.astype(np.float32).reshape(-1, 2, 2) - offset) / scale
    placed = np.clip(pairs, 0.0, size).astype(np.float32).reshape(-1, 4)
    count = len(scores)
    words = f"{count} object{'s' * (count != 1)}"
    lines = [f"{words}SCORED"]
    for box, score, index in zip(placed.tolist(), scores.astype(np.float32).tolist(), classes):
        name = LABELS[index] if index < len(LABELS) else f"class {index}"
        lines.append(f"  {name} {100 * score:.1f} %  {', '.join(f'{value:.1f}' for value in box)}")
    return lines
'''
# Of one image: the best candidates that are suppressed against each other.
CANDIDATES = 1000


def constants(reading: BoxesReading) -> Iterator[str]:
    """Yields the lines of numbers."""
    yield f"LEAST, MOST = {reading.least!r}, {reading.most}  # the score, and how many objects"
    if reading.head.decoder == "end2end":
        return
    yield "# of two boxes of a class that share more of their union the better one stays"
    yield f"NMS_IOU, CANDIDATES = {reading.nms_iou!r}, {max(CANDIDATES, reading.most)}"
    if _is_placed(reading):
        yield f"STRIDES = {list(reading.head.strides)}"


def functions(reading: BoxesReading) -> Iterator[str]:
    """Yields the functions, `answer` as the last."""
    head = reading.head
    if reading.logits:
        yield _SIGMOID
    if head.decoder == "end2end":
        rows = sample_expression(head.maps[0].box.sample)
        yield _ROWS.format(rows=rows, scores=_probable("rows[:, 4]", reading))
    else:
        if _is_placed(reading):
            yield _PLACES
        yield "\n".join([_FOUND, *_BODIES[head.decoder](reading), "    return corners, scores\n"])
        yield _APART
    yield _ANSWER.replace("SCORED", _scored(reading))


def _scored(reading: BoxesReading) -> str:
    """What is said of the objects behind their number, in an f-string of Python."""
    if not reading.threshold:
        return ""
    share = f"{100 * reading.threshold:g}"
    if reading.threshold == reading.least:
        share = "{100 * LEAST:g}"
    return f" that score{{'s' * (count == 1)}} {share} % or more"


def sample_expression(sample: Sample) -> str:
    """One sample's part of an output."""
    if sample.rows is None:
        return f"outputs[{sample.output}][0]"
    return f"outputs[{sample.output}]" + (f"[:{sample.rows}]" if sample.rows else "")


def _is_placed(reading: BoxesReading) -> bool:
    return reading.head.decoder in ("yolox", "nanodet", "nanodet-plus", "fcos", "yunet")


def _rows(part: Part) -> str:
    """An output as rows of columns."""
    text = sample_expression(part.sample)
    if part.planar:
        return (
            f"{text}.T" if len(part.sample.shape) == 2 else f"{text}.reshape({part.columns}, -1).T"
        )
    return text if len(part.sample.shape) == 2 else f"{text}.reshape(-1, {part.columns})"


def _joined(name: str, parts: Sequence[Part]) -> Iterator[str]:
    """Yields the statement that puts the rows of all maps one behind the other."""
    rows = list(map(_rows, parts))
    line = f"    {name} = np.concatenate([{', '.join(rows)}])"
    if len(line) <= 100:
        yield line
        return
    yield f"    {name} = np.concatenate("
    yield "        ["
    yield from (f"            {each}," for each in rows)
    yield "        ]"
    yield "    )"


def _probable(text: str, reading: BoxesReading) -> str:
    """Scores from 0 to 1."""
    return f"sigmoid({text})" if reading.logits else f"np.clip({text}, 0, 1)"


def _maps(reading: BoxesReading) -> tuple[Map, ...]:
    return reading.head.maps


def _decoded(reading: BoxesReading) -> Iterator[str]:
    (found,) = _maps(reading)
    part = found.scores
    end = part.first + reading.head.classes
    columns = f"{part.first}:" if end == part.columns else f"{part.first}:{end}"
    yield f"    rows = {_rows(part)}"
    yield "    centres, sizes = rows[:, :2], rows[:, 2:4]"
    yield _AROUND
    if found.more is None:
        yield f"    scores = {_probable(f'rows[:, {columns}]', reading)}"
    else:
        yield from _by_objectness(reading)


def _by_objectness(reading: BoxesReading) -> Iterator[str]:
    yield f"    scores = {_probable('rows[:, 4:]', reading)}"
    yield "    scores = scores[:, :1] * scores[:, 1:]  # objectness x class"


def _yolox(reading: BoxesReading) -> Iterator[str]:
    yield "    at, stride = places()"
    yield f"    rows = {_rows(_maps(reading)[0].scores)}"
    yield "    centres = (at + rows[:, :2]) * stride"
    yield "    sizes = np.exp(np.minimum(rows[:, 2:4], 12)) * stride"
    yield _AROUND
    yield from _by_objectness(reading)


def _yunet(reading: BoxesReading) -> Iterator[str]:
    maps = _maps(reading)
    yield "    at, stride = places()"
    yield from _joined("boxes", [each.box for each in maps])
    yield "    centres = (at + boxes[:, :2]) * stride"
    yield "    sizes = np.exp(np.minimum(boxes[:, 2:4], 12)) * stride"
    yield _AROUND
    yield from _joined("classes", [each.scores for each in maps])
    yield from _joined("objectness", [each.more for each in maps if each.more is not None])
    both = " * ".join(_probable(name, reading) for name in ("classes", "objectness"))
    yield f"    scores = np.sqrt({both})"


def _nanodet(reading: BoxesReading) -> Iterator[str]:
    maps, head = _maps(reading), reading.head
    yield "    at, stride = places()"
    yield f"    centres = {f'(at + {head.centre})' if head.centre else 'at'} * stride"
    if head.decoder == "nanodet":
        yield from _joined("bins", [each.box for each in maps])
        yield from _joined("scores", [each.scores for each in maps])
    else:
        yield f"    rows = {_rows(maps[0].scores)}"
        yield f"    scores, bins = rows[:, :{head.classes}], rows[:, {head.classes}:]"
    yield _DISTRIBUTED
    yield _BETWEEN
    yield f"    scores = {_probable('scores', reading)}"


def _fcos(reading: BoxesReading) -> Iterator[str]:
    maps = _maps(reading)
    yield "    at, stride = places()"
    yield f"    centres = (at + {reading.head.centre}) * stride"
    yield from _joined("distances", [each.box for each in maps])
    yield "    distances = np.maximum(distances, 0) * stride"
    yield _BETWEEN
    yield from _joined("classes", [each.scores for each in maps])
    yield from _joined("centred", [each.more for each in maps if each.more is not None])
    both = " * ".join(_probable(name, reading) for name in ("classes", "centred"))
    yield f"    scores = np.sqrt({both})"


def _fastestdet(reading: BoxesReading) -> Iterator[str]:
    (found,) = _maps(reading)
    size = f"{found.width}, {found.height}"
    yield f"    rows = {_rows(found.scores)}"
    yield f"    y, x = np.mgrid[:{found.height}, :{found.width}]"
    yield "    cells, whole = np.stack([x.ravel(), y.ravel()], axis=1), np.float32([WIDTH, HEIGHT])"
    yield f"    centres = (cells + np.tanh(rows[:, 1:3])) / np.float32([{size}]) * whole"
    yield "    sizes = (0.5 + 0.5 * np.tanh(0.5 * rows[:, 3:5])) * whole"
    yield _AROUND
    yield f"    classes = {_probable('rows[:, 5:]', reading)}"
    yield "    scores, each = np.zeros_like(classes), np.arange(len(rows))"
    yield "    best = classes.argmax(axis=1)"
    yield f"    objectness = {_probable('rows[:, 0]', reading)}"
    yield "    scores[each, best] = objectness**0.6 * classes[each, best] ** 0.4"


def _ssd(reading: BoxesReading) -> Iterator[str]:
    (found,) = _maps(reading)
    head = reading.head
    first = found.scores.first
    yield f"    corners = {_rows(found.box)}"
    if head.relative:
        yield "    corners = corners * np.float32([WIDTH, HEIGHT, WIDTH, HEIGHT])"
    if head.centred:
        yield "    centres, sizes = corners[:, :2], corners[:, 2:]"
        yield _AROUND
    rows = _rows(found.scores)
    if first:  # the ground is no class
        rows = f"{rows}[:, {first}:]"
    yield f"    scores = {_probable(rows, reading)}"


_BODIES = {
    "yolov5": _decoded,
    "yolov8": _decoded,
    "yolox": _yolox,
    "yunet": _yunet,
    "nanodet": _nanodet,
    "nanodet-plus": _nanodet,
    "fcos": _fcos,
    "fastestdet": _fastestdet,
    "ssd": _ssd,
}
