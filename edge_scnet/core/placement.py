"""Where an image's pixels come to lie in a network's input, and back.

Coordinates are those of pixels' corners: an image of width W reaches from x = 0 to x = W, and the
centre of its first pixel is at 0.5. Then x of the input = x of the image * scale + offset, whatever
the size of either; where coordinates name the centres of pixels by whole numbers, 0.5 is added
before, and subtracted afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """What happens to an image's height and width on its way to the input, in pixels."""

    # after resizing
    width: int
    height: int
    # the input's left and upper edge in the resized image; negative: padding is before the image
    left: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where an image lies in the input: x of the input = x of the image * scale + offset."""

    scale_x: float
    scale_y: float
    # in pixels of the input
    offset_x: float
    offset_y: float

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Points of the image in pixels of the input.

        Args:
            points: [..., 2 * n]: x and y in turn, as of points or of the corners of boxes.

        Returns:
            The same shape, float64.
        """
        pairs = _pairs(points) * (self.scale_x, self.scale_y) + (self.offset_x, self.offset_y)
        return pairs.reshape(np.shape(points))

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points of the input in pixels of the image, as `to_input`; they may lie outside of it."""
        pairs = (_pairs(points) - (self.offset_x, self.offset_y)) / (self.scale_x, self.scale_y)
        return pairs.reshape(np.shape(points))


def _pairs(points: np.ndarray) -> np.ndarray:
    array = np.asarray(points, np.float64)
    return array.reshape(*array.shape[:-1], array.shape[-1] // 2, 2)


def placement_of(image_size: tuple[int, int], spec: ModelSpec) -> Placement:
    """Where an image comes to lie in a network's input.

    Args:
        image_size: width and height in pixels, upright where the preprocessing turns it upright.

    Raises:
        DataError: as `geometry_of`.
    """
    geometry, (width, height) = geometry_of(image_size, spec), image_size
    return Placement(
        scale_x=geometry.width / width,
        scale_y=geometry.height / height,
        offset_x=float(-geometry.left),
        offset_y=float(-geometry.top),
    )


def geometry_of(image_size: tuple[int, int], spec: ModelSpec) -> Geometry:
    """How an image is resized, and what of it is cut out or where it is padded.

    - crop: torchvision's Resize and CenterCrop where the input is a square: long side
      int(short_side * long / short), offset round((side - size) / 2). Otherwise the image is scaled
      to cover a rectangle of the input's proportions whose short side is `short_side`.
    - stretch: to that rectangle, whatever the image's proportions; the centre is cut out.
    - letterbox: scale = min(input / image); sides round(side * scale), as Ultralytics pads in the
      centre, or int(side * scale), as YOLOX pads at the right and below.
    - none: the centre is cut out.

    Args:
        image_size: width and height in pixels.

    Raises:
        DataError: the image cannot fill the input so.
    """
    mode, (width, height) = spec.preprocessing.resize, image_size
    if mode == "letterbox":
        return _letterboxed(width, height, spec)
    if mode == "none":
        if width < spec.width or height < spec.height:
            raise DataError(
                f"{spec.name}: an image of {width} x {height} cannot fill an input of"
                f" {spec.width} x {spec.height} without being resized",
                hint="--resize-mode crop, stretch or letterbox",
            )
        resized = (width, height)
    else:
        box = _box(spec)
        resized = box if mode == "stretch" else _covering(width, height, *box)
    return Geometry(
        width=resized[0],
        height=resized[1],
        left=round((resized[0] - spec.width) / 2),
        top=round((resized[1] - spec.height) / 2),
    )


def _box(spec: ModelSpec) -> tuple[int, int]:
    """Width and height of the rectangle of the input's proportions that images are scaled to."""
    side, short = spec.preprocessing.short_side, min(spec.height, spec.width)
    if side is not None and side < short:
        raise DataError(
            f"{spec.name}: images are resized to {side} and cannot fill an input of {short}",
            hint=f"--resize {short} or more",
        )
    scale = 1.0 if side is None else side / short
    return round(spec.width * scale), round(spec.height * scale)


def _covering(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The smallest width and height of an image's proportions that cover a rectangle."""
    if width * box_height <= height * box_width:
        return box_width, max(int(box_width * height / width), box_height)
    return max(int(box_height * width / height), box_width), box_height


def _letterboxed(width: int, height: int, spec: ModelSpec) -> Geometry:
    scale = min(spec.width / width, spec.height / height)
    if spec.preprocessing.pad_anchor == "top-left":
        sides = int(width * scale), int(height * scale)
        return Geometry(width=max(sides[0], 1), height=max(sides[1], 1), left=0, top=0)
    wide, high = max(round(width * scale), 1), max(round(height * scale), 1)
    # Ultralytics rounds (W - w) / 2 - 0.1: of an odd rest the larger part is right and below
    return Geometry(
        width=wide,
        height=high,
        left=-round((spec.width - wide) / 2 - 0.1),
        top=-round((spec.height - high) / 2 - 0.1),
    )
