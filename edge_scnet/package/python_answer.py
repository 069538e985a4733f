"""The lines of a Python program that say what an engine's outputs mean: what `predict` prints.

A program has those of its own network alone. `answer(outputs)` returns lines of text; where
positions are told it is `answer(outputs, place)`, with the place of the picture in the input.
"""

from __future__ import annotations

from collections.abc import Iterator

from edge_scnet.package import python_boxes
from edge_scnet.package.reading import (
    BoxesReading,
    ClassesReading,
    LabelsReading,
    Named,
    NumbersReading,
    PairReading,
    PointsReading,
    RawReading,
    Reading,
    SharesReading,
    VectorReading,
)

_CLASSES = '''
def answer(outputs):
    """The most probable classes, best first."""
    scores = outputs[0][0].astype(np.float64)
    if scores.min() < 0 or abs(scores.sum() - 1) > 1e-3:  # no probabilities yet: softmax
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    best = np.argsort(-scores, kind="stable")[:TOP]
    names = [LABELS[i] if i < len(LABELS) else f"class {i}" for i in best]
    return [", ".join(f"{name} {100 * scores[i]:.1f} %" for name, i in zip(names, best))]
'''
_RAW = '''
def answer(outputs):
    """The outputs as they are: this program does not decode them."""
    lines = [f"{len(outputs)} output{'s' * (len(outputs) > 1)}, not decoded"]
    for number, array in enumerate(outputs):
        values = array[0].astype(np.float64)
        shape = " x ".join(map(str, values.shape)) or "one number"
        spread = f"{values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}"
        lines.append(f"  output {number}  {shape} {array.dtype}, {spread}")
    return lines
'''
# of one score: the share of class 1, and whether it is class 1
_ONE_SCORE = """    score = outputs[OUTPUT][0].ravel().astype(np.float32)
{limit}    is_one, share = (score > limit)[0], score.astype(np.float64)[0]
    if not (limit > 0 and 0 <= share <= 1):  # no probability yet
        share = 0.5 + 0.5 * np.tanh(0.5 * share)
"""
_TWO_COLUMNS = """    scores = outputs[OUTPUT][0].ravel().astype(np.float32)
    shares = scores.astype(np.float64)
    if shares.min() < 0 or abs(shares.sum() - 1) > 1e-3:  # no probabilities yet: softmax
        shares = np.exp(shares - shares.max())
        shares /= shares.sum()
    share = shares[1]
    is_one = {said}
"""
_PAIR = '''
def answer(outputs):
    """The class that is said, and the other, each with its probability."""
SHARE    both = [(1, share), (0, 1 - share)]
    names = [*LABELS[:2], *(f"class {i}" for i in range(len(LABELS), 2))]
    return [", ".join(f"{names[i]} {100 * s:.1f} %" for i, s in both[:: 1 if is_one else -1])]
'''
_LABELS = '''
def answer(outputs):
    """The labels that apply, the surest first; where none does, the one that is nearest to it."""
    scores = outputs[OUTPUT][0].ravel().astype(np.float32)
LIMIT    applies, shares = scores > limit, scores.astype(np.float64)
    if not (limit > 0 and shares.min() >= 0 and shares.max() <= 1):  # no probabilities yet
        shares = 0.5 + 0.5 * np.tanh(0.5 * shares)
    best = np.argsort(-shares, kind="stable")
    names = [LABELS[i] if i < len(LABELS) else f"label {i}" for i in best]
    said = [f"{name} {100 * shares[i]:.1f} %" for name, i in zip(names, best)]
    found = [words for words, i in zip(said, best) if applies[i]]
    return [", ".join(found) or f"no label applies; {said[0]}"]
'''
_NUMBERS = '''
def answer(outputs):
    """The values in the output's own units."""
    values = outputs[OUTPUT][0].ravel().astype(np.float32).tolist()
    told = [f"value {i} {value:.6g}" for i, value in enumerate(values[:8])]
    more = [f"{len(values) - 8} more"] * (len(values) > 8)
    return [", ".join(told + more)]
'''
_NUMBER = '''
def answer(outputs):
    """The value in the output's own unit."""
    return [f"{outputs[OUTPUT][0].astype(np.float32).item():.6g}"]
'''
_VECTOR = '''
def answer(outputs):
    """How many values there are, their Euclidean norm, and the first of them."""
    values = outputs[OUTPUT][0].ravel().astype(np.float32)
    norm = np.linalg.norm(values.astype(np.float64))
    first = " ".join(f"{value:.4g}" for value in values[:8].tolist()) + " ..." * (len(values) > 8)
    return [f"{len(values)} values of norm {norm:.4g}: {first}"]
'''
_POINTS = '''
def answer(outputs, place):
    """The points, x and y in pixels of the picture."""
POINTS    scale, offset, _ = place
    points = (points - offset) / scale
    lines = [f"{len(points)} points"]
    lines += [f"  point {i}  {x:.1f}, {y:.1f}" for i, (x, y) in enumerate(points.tolist())]
    return lines
'''
_PEAKS = """    maps = {maps}.astype(np.float64)
    count, height, width = maps.shape
    y, x = np.unravel_index(maps.reshape(count, -1).argmax(axis=1), (height, width))
    each, edged = np.arange(count), np.pad(maps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    right = np.sign(edged[each, y + 1, x + 2] - edged[each, y + 1, x])
    below = np.sign(edged[each, y + 2, x + 1] - edged[each, y, x + 1])
    # the highest place of each map, a quarter of a place towards its higher neighbour
    points = np.stack([x + 0.5 + 0.25 * right, y + 0.5 + 0.25 * below], axis=1)
    points = points * (WIDTH, HEIGHT) / (width, height)
"""
_SHARES = '''
def answer(outputs, place):
    """What each class takes of the picture's pixels that the map covers, the largest first."""
    classes = CLASSES
    high, wide = classes.shape
    scale, offset, size = place
    # how many pixels of the picture have their centre in a column of the map, and in a row
    counts = []
    for axis, (cells, whole) in enumerate([(wide, WIDTH), (high, HEIGHT)]):
        centres = np.arange(size[axis]) + 0.5
        at = centres * (scale[axis] * (cells / whole)) + offset[axis] * (cells / whole)
        at = np.floor(at + 1e-9).astype(np.int64)
        counts.append(np.bincount(at[(at >= 0) & (at < cells)], minlength=cells))
    pixels = np.outer(counts[1], counts[0])
    known = (classes >= 0) & (pixels > 0)
    numbers, each = np.unique(classes[known], return_inverse=True)
    totals = np.bincount(each.ravel(), pixels[known])
    order = np.argsort(-totals, kind="stable")
    names = [LABELS[i] if i < len(LABELS) else f"class {i}" for i in numbers[order]]
    shares = 100 * totals[order] / max(totals.sum(), 1)
    return [", ".join(f"{name} {share:.1f} %" for name, share in zip(names, shares))]
'''


def is_placed(reading: Reading) -> bool:
    """Whether the answer needs to know where the picture lies in the input."""
    return isinstance(reading, PointsReading | SharesReading | BoxesReading)


def constants(reading: Reading) -> Iterator[str]:
    """Yields the lines of numbers that the functions use; class names are `LABELS`."""
    if isinstance(reading, ClassesReading):
        yield "TOP = 5"
    elif isinstance(reading, BoxesReading):
        yield from python_boxes.constants(reading)


def functions(reading: Reading) -> Iterator[str]:
    """Yields the functions, `answer` as the last."""
    if isinstance(reading, BoxesReading):
        yield from python_boxes.functions(reading)
    elif isinstance(reading, PairReading):
        yield _PAIR.replace("SHARE", _share(reading)).replace("OUTPUT", str(reading.output))
    elif isinstance(reading, PointsReading):
        yield _POINTS.replace("POINTS", _points(reading))
    elif isinstance(reading, SharesReading):
        yield _SHARES.replace("CLASSES", _classes(reading))
    else:
        yield _of_values(reading)


def _of_values(
    reading: ClassesReading | LabelsReading | NumbersReading | VectorReading | RawReading,
) -> str:
    if isinstance(reading, ClassesReading):
        return _CLASSES
    if isinstance(reading, RawReading):
        return _RAW
    if isinstance(reading, LabelsReading):
        text = _LABELS.replace("LIMIT", _limit(reading.limit, "scores"))
    elif isinstance(reading, VectorReading):
        text = _VECTOR
    else:
        text = _NUMBERS if reading.count > 1 else _NUMBER
    return text.replace("OUTPUT", str(reading.output))


def _limit(known: float | None, of: str) -> str:
    """The statement that says above which score something applies."""
    if known is not None:
        return f"    limit = {known!r}\n"
    return f"    limit = 0.5 if {of}.min() >= 0 and {of}.max() <= 1 else 0.0\n"


def _share(reading: PairReading) -> str:
    if reading.columns == 1:
        return _ONE_SCORE.format(limit=_limit(reading.limit, "score"))
    said = "scores[1] - scores[0] > 0"
    if reading.limit is not None:
        said = f"np.float32(share) > {reading.limit!r}"
    return _TWO_COLUMNS.format(said=said)


def _points(reading: PointsReading) -> str:
    own = f"outputs[{reading.output}][0]"
    if reading.layout == "heatmaps":
        return _PEAKS.format(maps=f"np.moveaxis({own}, -1, 0)" if reading.channels_last else own)
    text = {
        "xyxy": f"{own}.astype(np.float64).reshape(-1, 2)",
        "xxyy": f"{own}.astype(np.float64).reshape(2, -1).T",
        "points": f"{own}[:, :2].astype(np.float64)",
    }[reading.layout]
    scaled = "    points = points * (WIDTH, HEIGHT)\n"
    if reading.in_unit is None:
        scaled = f"    if np.abs(points).max() <= 2:  # from 0 to 1 of the input\n    {scaled}"
    return f"    points = {text}\n" + ("" if reading.in_unit is False else scaled)


def _classes(reading: SharesReading) -> str:
    own = f"outputs[{reading.output}][0]"
    plane = f"{own}.reshape({reading.height}, {reading.width})"
    if reading.channels == 0:
        return f"{plane}.astype(np.int64)"
    if reading.channels == 1:
        return f"({plane} > {reading.limit!r}).astype(np.int64)"
    return f"{own}.argmax(axis={-1 if reading.channels_last else 0})"


def is_named(reading: Reading) -> bool:
    """Whether the answer has names of classes or labels in it."""
    return isinstance(reading, Named)
