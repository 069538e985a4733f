"""Drawn scenes: discs, squares and triangles on uneven ground, with all that is known of them.

A scene depends on its seed and number alone. Its shapes are drawn by their signed distances, with
soft edges, so that boxes and corners are known to a fraction of a pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CLASSES = ("disc", "square", "triangle")
# Of discs and of the circles around the others, in pixels.
_RADII = (6.0, 22.0)
_MOST_SHAPES = 4
_TRIES = 20
# Boxes of one scene share at most this part of the smaller one.
_MOST_OVERLAP = 0.15
_CORNERS = (0, 4, 3)
_LEAST_CONTRAST = 70.0
_NOISE = 9.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A picture and what is in it."""

    # uint8 [side, side, 3], RGB
    image: np.ndarray
    # float32 [shapes, 4]: x1, y1, x2, y2 in pixels
    corners: np.ndarray
    # int64 [shapes]: indices into CLASSES
    classes: np.ndarray
    # uint8 [side, side]: 0 for the ground, else the class + 1
    mask: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One shape; a disc has no corners."""

    kind: int
    x: float
    y: float
    radius: float
    # radians
    angle: float

    def points(self) -> np.ndarray:
        """The corners, float64 [corners, 2], in pixels, clockwise in the picture."""
        count = _CORNERS[self.kind]
        turns = self.angle + 2 * np.pi * np.arange(count) / max(count, 1)
        return np.stack(
            [self.x + self.radius * np.cos(turns), self.y + self.radius * np.sin(turns)], axis=1
        )

    def box(self) -> tuple[float, float, float, float]:
        """x1, y1, x2, y2 in pixels."""
        if not _CORNERS[self.kind]:
            r = self.radius
            return self.x - r, self.y - r, self.x + r, self.y + r
        points = self.points()
        return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())

    def coverage(self, side: int) -> tuple[tuple[slice, slice], np.ndarray]:
        """The rows and columns that it may touch, and the share of each pixel there within it."""
        x1, y1, x2, y2 = self.box()
        rows = slice(max(0, int(y1) - 1), min(side, int(y2) + 2))
        columns = slice(max(0, int(x1) - 1), min(side, int(x2) + 2))
        xs = np.arange(columns.start, columns.stop)[None, :] + 0.5 - self.x
        ys = np.arange(rows.start, rows.stop)[:, None] + 0.5 - self.y
        count = _CORNERS[self.kind]
        if not count:
            distance = np.hypot(xs, ys) - self.radius
        else:
            inner = self.radius * np.cos(np.pi / count)
            normals = self.angle + np.pi * (2 * np.arange(count) + 1) / count
            distance = np.max([xs * np.cos(n) + ys * np.sin(n) - inner for n in normals], axis=0)
        return (rows, columns), np.clip(0.5 - distance, 0.0, 1.0)


def scenes(count: int, *, seed: int, side: int = 96, first: int = 0) -> Iterator[Scene]:
    """Yields scenes of one to four shapes.

    Args:
        seed: of the set; scenes `first` to `first + count` of it are drawn.
        side: of the pictures, in pixels.
    """
    for number in range(first, first + count):
        rng = np.random.default_rng((seed, number))
        yield paint(rng, side, place(rng, side))


def place(rng: np.random.Generator, side: int) -> list[Shape]:
    """Draws shapes at random that lie within the picture and next to each other."""
    placed: list[Shape] = []
    wanted = int(rng.integers(1, _MOST_SHAPES + 1))
    for _ in range(_TRIES):
        radius = float(np.exp(rng.uniform(*np.log(_RADII))))
        shape = Shape(
            kind=int(rng.integers(len(CLASSES))),
            x=float(rng.uniform(radius, side - radius)),
            y=float(rng.uniform(radius, side - radius)),
            radius=radius,
            angle=float(rng.uniform(0, 2 * np.pi)),
        )
        if all(_shared(shape.box(), other.box()) <= _MOST_OVERLAP for other in placed):
            placed.append(shape)
        if len(placed) == wanted:
            break
    return placed


def paint(
    rng: np.random.Generator, side: int, shapes: list[Shape], colours: np.ndarray | None = None
) -> Scene:
    """Paints shapes over an uneven ground, with noise on top.

    Args:
        colours: float [shapes, 3], 0 to 255; None: at random, apart from the ground.
    """
    canvas = _ground(rng, side)
    mask = np.zeros((side, side), np.uint8)
    for number, shape in enumerate(shapes):
        ground = canvas[int(shape.y), int(shape.x)]
        colour = _colour(rng, ground) if colours is None else colours[number]
        window, covered = shape.coverage(side)
        canvas[window] += covered[:, :, None] * (colour - canvas[window])
        mask[window][covered >= 0.5] = shape.kind + 1
    canvas += rng.normal(0.0, _NOISE, canvas.shape)
    boxes = np.array([shape.box() for shape in shapes], np.float32).reshape(-1, 4)
    return Scene(
        image=np.clip(np.rint(canvas), 0, 255).astype(np.uint8),
        corners=boxes,
        classes=np.array([shape.kind for shape in shapes], np.int64),
        mask=mask,
    )


def _ground(rng: np.random.Generator, side: int, knots: int = 5) -> np.ndarray:
    """Random colours at a few knots, linear between them; float64 [side, side, 3]."""
    at = np.linspace(0, knots - 1, side)
    weights = np.maximum(0.0, 1.0 - np.abs(at[:, None] - np.arange(knots)))
    colours = rng.uniform(30, 225, 3) + rng.uniform(-45, 45, (knots, knots, 3))
    rows = (weights @ colours.reshape(knots, -1)).reshape(side, knots, 3)
    return np.stack([rows[:, :, c] @ weights.T for c in range(3)], axis=2)


def _colour(rng: np.random.Generator, ground: np.ndarray) -> np.ndarray:
    while True:
        colour = rng.uniform(0, 255, 3)
        if np.linalg.norm(colour - ground) >= _LEAST_CONTRAST:
            return colour


def _shared(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """The part of the smaller box that both share."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
