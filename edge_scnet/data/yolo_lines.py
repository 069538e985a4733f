"""The lines of YOLO's label files, and what the numbers behind the class are.

The format: docs.ultralytics.com/datasets. A line is a box, `class cx cy w h`; an outline, `class x1
y1 x2 y2 ...`; or a box and the points of a pose behind it, each of 2 numbers or, with a visibility,
of 3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edge_scnet.core.foreign import read_text, reason
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.reading import Reading
from edge_scnet.errors import DataError

_MOST_BYTES, _MOST_CLASSES = 10_000_000, 1_000_000
# annotators round, and boxes may end a little outside
_LOW, _HIGH = -0.1, 1.1
# of the lines, that may be no box and points and the set still is one of poses
_FEW = 0.1
_POSE = re.compile(r"([1-9]\d{0,4})[xX]([23])", re.ASCII)

Rows = Mapping[Path, Sequence["Line"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One object."""

    # in its file, from 1
    number: int
    # its index
    label: int
    # behind the class
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the numbers behind the class are."""

    kind: Literal["box", "outline", "pose"]
    # of a pose: points, and numbers of each
    points: tuple[int, int] = (0, 0)

    @property
    def words(self) -> str:
        """As the setting `lines` has it."""
        return "x".join(map(str, self.points)) if self.kind == "pose" else self.kind


def form_of(
    rows: Rows, labels: Path, reading: Reading, *, points: tuple[int, int] | None, is_told: bool
) -> Form:
    """What the lines of a set are, as the setting `lines` or a data.yaml says, else by the numbers.

    Args:
        rows: the lines of each file.
        labels: the folder of the files or the data.yaml, for messages.
        points: what a data.yaml says of poses.
        is_told: there is a data.yaml, which would say so of poses: other long lines are outlines.

    Raises:
        DataError: lines that do not fit what is said; or they can be either.
    """
    said = _said(reading) or (Form(kind="pose", points=points) if points else None)
    if said is not None:
        if said.kind != "box" and not any(_longer(rows).values()):
            raise DataError(
                f"{labels}: all lines are boxes, class cx cy w h, and {said.words} is said of them",
                hint=(
                    f"leave lines={said.words} out"
                    if reading.setting("lines")
                    else f"leave kpt_shape out of it; or {reading.with_setting('lines', 'box')}"
                ),
            )
        _check_form(rows, said, reading)
        return said
    longer = _longer(rows)
    if not any(longer.values()):
        return Form(kind="box")
    found = _by_numbers(longer, labels, reading, is_told=is_told)
    _check_form(longer, found, reading)
    return found


def _longer(rows: Rows) -> dict[Path, list[Line]]:
    """The lines of more than a box."""
    return {file: [line for line in lines if len(line.numbers) > 4] for file, lines in rows.items()}


def _said(reading: Reading) -> Form | None:
    """The setting `lines`.

    Raises:
        DataError: it is none of what it may be.
    """
    text = reading.setting("lines")
    if text is None:
        return None
    if text in ("box", "outline"):
        return Form(kind="box" if text == "box" else "outline")
    if (match := _POSE.fullmatch(text)) is None:
        raise DataError(
            f"{reading.path}: lines is {text!r}; box, outline, or the points of a pose and the"
            " numbers of each, 2 or 3, are allowed",
            hint=reading.with_setting("lines", "17x3"),
        )
    return Form(kind="pose", points=(int(match[1]), int(match[2])))


def _by_numbers(rows: Rows, labels: Path, reading: Reading, *, is_told: bool) -> Form:
    """What lines of more than a box are.

    Poses have as many numbers in every line, behind a box within the image. The numbers alone do
    not tell where no line shows that its first four are no box, unless every third number behind
    them is a visibility: 0, 1 or 2.

    Raises:
        DataError: the lines can be either, or are neither.
    """
    table = [line.numbers for lines in rows.values() for line in lines]
    counts = Counter(map(len, table))
    odd = next((count for count in counts if count % 2), None)
    (count, _), *others = counts.most_common()
    if odd is None and others:
        return Form(kind="outline")
    if not others:
        array = np.asarray(table)
        if odd is None and not _are_boxes(array[:, :4]):
            return Form(kind="outline")
        threes = count > 4 and (count - 4) % 3 == 0
        if threes and np.isin(array[:, 6::3], (0, 1, 2)).all():
            return Form(kind="pose", points=((count - 4) // 3, 3))
        if odd is None and is_told:
            return Form(kind="outline")
    raise _cannot_tell(rows, odd or count, labels, reading)


def _are_boxes(numbers: np.ndarray) -> bool:
    """Whether nearly all of some rows cx, cy, w, h lie in the image."""
    half = numbers[:, 2:] / 2
    low, high = numbers[:, :2] - half, numbers[:, :2] + half
    is_box = (low >= _LOW).all(axis=1) & (high <= _HIGH).all(axis=1) & (half >= 0).all(axis=1)
    return bool((~is_box).mean() <= _FEW)


def _cannot_tell(rows: Rows, count: int, labels: Path, reading: Reading) -> DataError:
    """The error of lines that are too long, and of which nothing says why."""
    file, line = next(
        (file, line) for file, lines in rows.items() for line in lines if len(line.numbers) == count
    )
    ways = [] if count % 2 else ["outline"]
    ways += [
        f"{(count - 4) // size}x{size}" for size in (2, 3) if count > 6 and not (count - 4) % size
    ]
    words = [_way_words(way) for way in ways] or ["a box and something behind it"]
    return DataError(
        f"{labels}: lines have {count} numbers behind the class, such as {file.name}, line"
        f" {line.number}: {' or '.join(words)}; nothing tells which",
        hint=(
            f"say it: {reading.with_setting('lines', (*ways, 'box')[0])}"
            + "".join(f", lines={way}" for way in (*ways, "box")[1:])
            + f" (box: what is behind it is left out); or {NO_LABELS}"
        ),
    )


def _way_words(way: str) -> str:
    if way == "outline":
        return "an outline"
    points, size = way.split("x")
    return f"a box and {points} points of {size} numbers"


def _check_form(rows: Rows, form: Form, reading: Reading) -> None:
    """Holds lines to what is said of them.

    A box may stand among outlines and poses as a line of four numbers where boxes are read.

    Raises:
        DataError: names the first line that does not fit.
    """
    if form.kind == "box":
        return
    points, size = form.points
    wanted = 4 + points * size
    for file, lines in rows.items():
        for line in lines:
            count = len(line.numbers)
            if form.kind == "pose" and count not in (4, wanted):
                raise DataError(
                    f"{file}, line {line.number} has {count} numbers behind the class; a box and"
                    f" {points} points of {size} numbers are {wanted}",
                    hint=_other_forms(count, reading),
                )
            if form.kind == "outline" and count != 4 and (count % 2 or count < 6):
                raise DataError(
                    f"{file}, line {line.number} has {count} numbers behind the class; an outline"
                    " has x and y of 3 points and more",
                    hint=_other_forms(count, reading),
                )
            _check_points(file, line, form)


def _other_forms(count: int, reading: Reading) -> str:
    ways = [
        f"{(count - 4) // size}x{size}" for size in (3, 2) if count > 6 and not (count - 4) % size
    ]
    shown = " or ".join(reading.with_setting("lines", way) for way in (*ways, "box"))
    return f"is it {shown}? or correct kpt_shape of the data.yaml; or {NO_LABELS}"


def _check_points(file: Path, line: Line, form: Form) -> None:
    """Refuses points that are no shares of the image.

    Raises:
        DataError: names the line.
    """
    if form.kind == "outline":
        points, seen = np.asarray(line.numbers).reshape(-1, 2), None
    else:
        points = np.asarray(line.numbers[4:]).reshape(-1, form.points[1])
        seen = visible(points)
    shares = points[:, :2] if seen is None else points[seen, :2]
    if not ((shares >= _LOW) & (shares <= _HIGH)).all():
        worst = float(shares.flat[np.argmax(np.abs(shares - 0.5))])
        raise DataError(
            f"{file}, line {line.number} has a point at {worst:g}; shares of the image from 0 to 1"
            " are needed",
            hint=f"sed -n {line.number}p {file}; in pixels they belong into a COCO .json",
        )


def visible(points: np.ndarray) -> np.ndarray:
    """Which points are labelled: bool [points].

    Of 3 numbers the third says it; of 2, one that is below 0 is not, as in Ultralytics' reader.

    Args:
        points: [points, 2 or 3].
    """
    seen = points[:, 2] > 0 if points.shape[1] == 3 else (points >= 0).all(axis=1)
    return np.asarray(seen, np.bool_)


def read_lines(file: Path) -> list[Line]:
    """The objects of a label file.

    Raises:
        DataError: a line is no class and finite numbers, the first four from 0 to 1.
    """
    try:
        lines = read_text(file, most_bytes=_MOST_BYTES).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {file}: {reason(error)}", hint=NO_LABELS) from error
    found = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = [float(part) for part in line.split()]
        except ValueError:
            row = []
        is_box = len(row) >= 5 and bool(np.isfinite(row).all()) and row[0] == int(row[0]) >= 0
        if not is_box or min(row[1:5]) < _LOW or max(row[1:5]) > _HIGH or row[0] > _MOST_CLASSES:
            raise DataError(
                f"{file}, line {number} is {line.strip()[:60]!r}; class cx cy w h are needed, a"
                " whole number and shares of the image from 0 to 1",
                hint=f"sed -n {number}p {file}; in pixels they belong into a COCO .json",
            )
        found.append(Line(number=number, label=int(row[0]), numbers=tuple(row[1:])))
    return found
