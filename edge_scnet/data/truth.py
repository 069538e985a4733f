"""Ground truth as sources find it, and targets that are held in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.core.targets import Boxes, TargetKind, Targets
from edge_scnet.data.labels import Labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a source says of its samples, in its order."""

    # one class a sample
    labels: Labels | None = None
    # anything else
    targets: Targets | None = None


UNKNOWN = Truth()


def held_targets(
    kind: TargetKind, values: Sequence[Any], *, rule: str, names: Sequence[str] = ()
) -> Targets:
    """Targets whose values are in memory.

    Args:
        values: by sample, in the form of the kind.
        rule: how they were found, in words.
        names: of what they index.
    """
    digest = hashlib.sha256()
    for value in values:
        digest.update(_bytes(value))
    return Targets(
        kind=kind,
        rule=rule,
        count=len(values),
        at=_Held(values=tuple(values)),
        hash=digest.hexdigest(),
        names=tuple(names),
    )


def boxes_of(
    corners: Sequence[Sequence[float]],
    classes: Sequence[int],
    *,
    crowd: Sequence[bool] | None = None,
    areas: Sequence[float] | None = None,
) -> Boxes:
    """The record of an image's objects.

    Args:
        corners: x1, y1, x2, y2 in pixels of the upright image.
        areas: in square pixels; None: those of the boxes.
    """
    array = np.asarray(corners, np.float32).reshape(-1, 4)
    sides = array[:, 2:] - array[:, :2]
    return Boxes(
        corners=array,
        classes=np.asarray(classes, np.int64),
        crowd=np.asarray([False] * len(array) if crowd is None else crowd, np.bool_),
        areas=np.asarray(sides.prod(axis=1) if areas is None else areas, np.float32),
    )


def _bytes(value: Any) -> bytes:
    """A value's content, its shape included."""
    if isinstance(value, Boxes):
        parts = (value.corners, value.classes, value.crowd, value.areas)
        return b"".join(map(_bytes, parts))
    array = np.ascontiguousarray(value)
    return f"{array.dtype.str}{array.shape}".encode() + array.tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    """Looks a value up; an object, for sets are sent to other processes."""

    values: tuple[Any, ...]

    def __call__(self, i: int) -> Any:
        return self.values[i]
