"""Masks from COCO's segmentations: polygons, and run lengths, plain or packed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.targets import Targets
from edge_scnet.data.coco_classes import Mapped
from edge_scnet.data.masks import NOT_JUDGED
from edge_scnet.errors import DataError

_MOST_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rle:
    """Run lengths of a mask, column by column, of 0 and 1 in turn; a text is packed."""

    # height and width
    size: tuple[int, int]
    counts: str | list[int]


Shape = list[list[float]] | Rle


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """An object's pixels."""

    # its class
    value: int
    shape: Shape
    # in square pixels; None: not told
    area: float | None
    # a crowd, whose pixels are not judged
    crowd: bool


def rendered(
    regions: Sequence[Sequence[Region]],
    sizes: Sequence[tuple[int, int]],
    classes: Mapped,
    *,
    where: Path,
) -> Targets:
    """Masks that are drawn when asked for: small objects on top of large ones.

    Pixels of no object are class 0 where no category is, else they are not judged.

    Args:
        regions: the objects of each image.
        sizes: width and height of each image.
        classes: what the regions' values are.
        where: the file, for messages.

    Raises:
        DataError: a segmentation is no mask of its image's size.
    """
    rest = NOT_JUDGED if 0 in classes.index.values() else 0
    digest = hashlib.sha256(f"{rest}".encode())
    for found, size in zip(regions, sizes, strict=True):
        digest.update(f"{size}".encode())
        for region in found:
            digest.update(f"{region.value} {region.crowd} {_text(region.shape)}".encode())
            _check(region.shape, size, where)
    of_rest = "is class 0" if rest == 0 else "is not judged"
    return Targets(
        kind="mask",
        rule=f"segmentations, {classes.rule}; what is in none {of_rest}",
        count=len(regions),
        at=_Drawn(regions=tuple(map(tuple, regions)), sizes=tuple(sizes), rest=rest),
        hash=digest.hexdigest(),
        names=classes.names,
    )


def bounds(shape: Shape, where: Path) -> tuple[float, float, float, float]:
    """x, y, width and height of the pixels of a segmentation, which has some.

    Raises:
        DataError: it is no mask.
    """
    _check(shape, (shape.size[1], shape.size[0]) if isinstance(shape, Rle) else (0, 0), where)
    if isinstance(shape, Rle):
        rows, columns = np.nonzero(drawn(shape, (shape.size[1], shape.size[0])))
        if not len(rows):
            return 0.0, 0.0, 0.0, 0.0
        x, y = float(columns.min()), float(rows.min())
        return x, y, float(columns.max()) + 1 - x, float(rows.max()) + 1 - y
    points = np.concatenate([np.asarray(polygon).reshape(-1, 2) for polygon in shape])
    (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return float(x), float(y), float(right - x), float(bottom - y)


def drawn(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    """The pixels of a segmentation: bool [height, width].

    A pixel belongs to a polygon where its centre lies in it (even-odd rule).

    Args:
        size: width and height.
    """
    width, height = size
    if isinstance(shape, Rle):
        counts = _unpacked(shape.counts) if isinstance(shape.counts, str) else shape.counts
        values = np.arange(len(counts)) % 2 == 1
        turned: np.ndarray = np.repeat(values, counts).reshape(width, height).T
        return turned
    mask = np.zeros((height, width), np.bool_)
    for polygon in shape:
        mask |= _filled(np.asarray(polygon, np.float64).reshape(-1, 2), width, height)
    return mask


def _filled(points: np.ndarray, width: int, height: int) -> np.ndarray:
    """The pixels in a polygon: in each row, those behind an odd number of crossings."""
    toggles = np.zeros((height, width + 1), np.int64)
    following = np.roll(points, -1, axis=0)
    for (x1, y1), (x2, y2) in zip(points, following, strict=True):
        if y1 == y2:
            continue
        low, high = min(y1, y2), max(y1, y2)
        # rows whose centre is at or below the upper end, and above the lower one
        rows = np.arange(max(0, np.ceil(low - 0.5)), min(height, np.ceil(high - 0.5)), dtype=int)
        crossings = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        toggles[rows, columns] += 1
    filled: np.ndarray = np.cumsum(toggles, axis=1)[:, :width] % 2 == 1
    return filled


def _unpacked(text: str) -> list[int]:
    """The counts of packed run lengths: 5 bits a letter, differences to the last but one.

    As rleFrString of pycocotools has it (cocoapi, common/maskApi.c).

    Raises:
        ValueError: it ends within a number, or has a letter that is none.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError(f"the letter {letter!r}")
        value |= (code & 0x1F) << shift
        shift += 5
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise ValueError("it ends within a number")
    return counts


def _check(shape: Shape, size: tuple[int, int], where: Path) -> None:
    width, height = size
    if isinstance(shape, Rle):
        try:
            counts = _unpacked(shape.counts) if isinstance(shape.counts, str) else shape.counts
            if shape.size != (height, width):
                raise ValueError(f"it is {shape.size[1]} x {shape.size[0]}")
            if min(counts, default=0) < 0 or sum(counts) != width * height > 0:
                raise ValueError(f"it has {sum(counts)} pixels")
            if width * height > _MOST_PIXELS:
                raise ValueError(f"it has more than {_MOST_PIXELS:,} pixels")
        except ValueError as error:
            raise DataError(
                f"{where}: run lengths of a mask do not fit an image of {width} x {height}:"
                f" {error}",
                hint='"size" is height and width, "counts" go down each column',
            ) from error
        return
    for polygon in shape:
        if len(polygon) < 6 or len(polygon) % 2 or not np.isfinite(polygon).all():
            raise DataError(
                f"{where}: a polygon has {len(polygon)} numbers; x and y of 3 points and more are"
                " needed",
                hint="leave it out, or its annotation",
            )


def _text(shape: Shape) -> str:
    return f"{shape.size} {shape.counts}" if isinstance(shape, Rle) else f"{shape}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """Draws a mask; an object, for sets are sent to other processes."""

    regions: tuple[tuple[Region, ...], ...]
    sizes: tuple[tuple[int, int], ...]
    # the value of pixels of no object
    rest: int

    def __call__(self, i: int) -> np.ndarray:
        width, height = self.sizes[i]
        mask = np.full((height, width), self.rest, np.int32)
        pixels = [(drawn(region.shape, self.sizes[i]), region) for region in self.regions[i]]
        for inside, region in sorted(pixels, key=lambda pair: -pair[0].sum()):
            mask[inside] = NOT_JUDGED if region.crowd else region.value
        return mask
