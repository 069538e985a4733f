"""A readout as JSON's values: a record for each form, told apart by `form`.

They are msgspec's own records, not dataclasses: some keys are Python's words, and a union needs a
field to tell its kinds by.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import msgspec

from edge_scnet.tasks.readout import (
    Classes,
    Labels,
    Mask,
    Numbers,
    Objects,
    Outputs,
    Points,
    Readout,
    Vector,
    Words,
)
from edge_scnet.tasks.readout_words import norm, shares, shown


class _Said(msgspec.Struct, frozen=True, kw_only=True, tag_field="form", tag="none"):
    """What an engine says of one sample."""

    # the file, with the number of the sample in a file of arrays
    image: str
    task: str
    # the drawing's file, where one was asked for
    drawn: str | None


class SaidClass(msgspec.Struct, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """A class and its probability, 0 to 1."""

    class_name: str
    probability: float | None


class SaidClasses(_Said, frozen=True, kw_only=True, tag="classes"):
    """The most probable classes, best first."""

    top: tuple[SaidClass, ...]


class SaidLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A label, whether it applies, and its probability, 0 to 1."""

    label: str
    applies: bool
    probability: float | None


class SaidLabels(_Said, frozen=True, kw_only=True, tag="labels"):
    """All labels, of which any number can apply."""

    labels: tuple[SaidLabel, ...]


class SaidObject(msgspec.Struct, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """An object: its class, its score, 0 to 1, and x1, y1, x2, y2 in pixels of the image."""

    class_name: str
    score: float | None
    corners: tuple[float | None, ...]


class SaidObjects(_Said, frozen=True, kw_only=True, tag="objects"):
    """The objects that score the task's threshold or more, best first."""

    objects: tuple[SaidObject, ...]


class SaidPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A point, where it is in pixels of the image, and whether it is visible."""

    point: str
    x: float | None
    y: float | None
    visible: bool


class SaidPoints(_Said, frozen=True, kw_only=True, tag="points"):
    """The points of an object."""

    points: tuple[SaidPoint, ...]


class SaidShare(msgspec.Struct, frozen=True, kw_only=True, rename={"class_name": "class"}):
    """A class, and what percentage of the image it covers."""

    class_name: str
    percent: float


class SaidShares(_Said, frozen=True, kw_only=True, tag="shares"):
    """The classes of a map, the largest first."""

    shares: tuple[SaidShare, ...]


class SaidValue(msgspec.Struct, frozen=True, kw_only=True, rename={"number": "is"}):
    """A value by its name, in the outputs' own unit."""

    value: str
    number: float | None


class SaidValues(_Said, frozen=True, kw_only=True, tag="values"):
    """Numbers, each with a meaning of its own."""

    values: tuple[SaidValue, ...]


class SaidVector(_Said, frozen=True, kw_only=True, tag="vector"):
    """Numbers that mean something together alone, and their Euclidean length."""

    norm: float | None
    vector: tuple[float | None, ...]


class SaidOutput(msgspec.Struct, frozen=True, kw_only=True, rename={"dtype": "type"}):
    """An output by its shape, without the batch axis, its type, and its finite values' range."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float | None
    high: float | None
    mean: float | None


class SaidOutputs(_Said, frozen=True, kw_only=True, tag="outputs"):
    """Outputs that nobody said the meaning of."""

    outputs: tuple[SaidOutput, ...]


class SaidLines(_Said, frozen=True, kw_only=True, tag="lines"):
    """What only sentences can say, as of a user's own task."""

    lines: tuple[str, ...]


Said: TypeAlias = (
    SaidClasses
    | SaidLabels
    | SaidObjects
    | SaidPoints
    | SaidShares
    | SaidValues
    | SaidVector
    | SaidOutputs
    | SaidLines
)


def record_of(
    readout: Readout, size: tuple[int, int] | None, *, image: str, drawn: str | None
) -> Said:
    """The whole readout as a record; what is not finite is None.

    Args:
        size: width and height of the image; None: it is none.
        image: what the sample is called.
        drawn: the drawing's file.
    """
    form = readout.form
    common: dict[str, Any] = {"image": image, "task": readout.task, "drawn": drawn}
    if isinstance(form, Classes):
        rows = zip(form.indices, form.shares, strict=True)
        top = (SaidClass(class_name=readout.name_of(i), probability=_number(s, 6)) for i, s in rows)
        return SaidClasses(**common, top=tuple(top))
    if isinstance(form, Objects):
        objects = tuple(_object(readout, form, row) for row in shown(form))
        return SaidObjects(**common, objects=objects)
    if isinstance(form, Points):
        return SaidPoints(**common, points=_points(readout, form))
    if isinstance(form, Mask):
        parts = (
            SaidShare(class_name=name, percent=round(share, 4))
            for name, share in shares(readout, size)
        )
        return SaidShares(**common, shares=tuple(parts))
    return _of_numbers(readout, common)


def _of_numbers(readout: Readout, common: dict[str, Any]) -> Said:
    form = readout.form
    if isinstance(form, Labels):
        scores = [None] * len(form.applies) if form.scores is None else form.scores
        labels = tuple(
            SaidLabel(
                label=readout.name_of(i),
                applies=bool(applies),
                probability=None if score is None else _number(score, 6),
            )
            for i, (applies, score) in enumerate(zip(form.applies, scores, strict=True))
        )
        return SaidLabels(**common, labels=labels)
    if isinstance(form, Numbers):
        values = tuple(
            SaidValue(value=readout.name_of(i), number=_exact(value))
            for i, value in enumerate(form.values)
        )
        return SaidValues(**common, values=values)
    if isinstance(form, Vector):
        vector = tuple(_exact(value) for value in form.values)
        return SaidVector(**common, norm=_exact(norm(form)), vector=vector)
    if isinstance(form, Outputs):
        outputs = tuple(
            SaidOutput(
                name=output.name,
                shape=tuple(output.shape),
                dtype=output.dtype,
                low=output.low,
                high=output.high,
                mean=_finite(output.mean),
            )
            for output in form.outputs
        )
        return SaidOutputs(**common, outputs=outputs)
    assert isinstance(form, Words)
    return SaidLines(**common, lines=tuple(form.lines))


def _object(readout: Readout, form: Objects, row: int) -> SaidObject:
    return SaidObject(
        class_name=readout.name_of(int(form.classes[row])),
        score=None if form.scores is None else _number(form.scores[row], 6),
        corners=tuple(_number(value) for value in form.corners[row]),
    )


def _points(readout: Readout, form: Points) -> tuple[SaidPoint, ...]:
    return tuple(
        SaidPoint(
            point=readout.name_of(i),
            x=_number(form.positions[i][0]),
            y=_number(form.positions[i][1]),
            visible=bool(form.visible[i]),
        )
        for i in range(len(form.positions))
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _number(value: Any, digits: int = 3) -> float | None:
    return round(float(value), digits) if math.isfinite(float(value)) else None


def _exact(value: Any) -> float | None:
    """A float32 with the digits that it has."""
    return float(f"{float(value):.9g}") if math.isfinite(float(value)) else None
