"""Boxes of ground truth that can be none: corners in another order, or outside of the image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.core.targets import Boxes
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.errors import DataError


def check_corners(corners: Sequence[Sequence[float]], where: str) -> None:
    """Refuses corners that are no finite x1 <= x2 and y1 <= y2.

    Args:
        corners: x1, y1, x2, y2 in pixels.
        where: a line or a sample, for the message.

    Raises:
        DataError: shows the first.
    """
    array = np.asarray(corners, np.float64).reshape(-1, 4)
    for box in array[
        ~(np.isfinite(array).all(axis=1) & (array[:, 2:] >= array[:, :2]).all(axis=1))
    ]:
        shown = ", ".join(f"{value:g}" for value in box)
        raise DataError(
            f"{where}: the box {shown} is none; x1, y1, x2, y2 in pixels are needed, x2 at least x1"
            " and y2 at least y1",
            hint=f"from x, y, width and height: x2 = x + width, y2 = y + height; or {NO_LABELS}",
        )


def check_inside(boxes: Boxes, size: tuple[int, int], where: str) -> None:
    """Refuses boxes that no pixel of the image is in.

    Args:
        size: width and height in pixels.
        where: the image, for the message.

    Raises:
        DataError: shows the first.
    """
    corners = boxes.corners
    outside = (corners[:, 2:] < 0).any(axis=1) | (corners[:, :2] > size).any(axis=1)
    for box in corners[outside]:
        shown = ", ".join(f"{value:g}" for value in box)
        raise DataError(
            f"{where}: the box {shown} (x1, y1, x2, y2) is outside of the image of"
            f" {size[0]} x {size[1]} pixels",
            hint=f"are its boxes those of other images, or of another size? or {NO_LABELS}",
        )


def check_boxes(samples: SampleSet, where: Path) -> None:
    """Holds a set's boxes to the sizes of its images.

    Args:
        where: what the boxes are from, for the message.

    Raises:
        DataError: names the image.
    """
    if samples.targets is None or samples.targets.kind != "boxes":
        return
    for i, (entry, size) in enumerate(zip(samples.entries, samples.image_sizes, strict=True)):
        check_inside(samples.targets.at(i), size, f"{where}, image {entry}")
