"""Scenes of one shape: its box's corners are keypoints, its kind and colour an identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_scnet.examples.shapes import CLASSES, Scene, Shape, paint

POINTS = ("upper left", "lower right")
# 0 to 255, RGB
COLOURS = (
    (230, 40, 40),
    (40, 200, 60),
    (50, 70, 230),
    (240, 220, 50),
    (230, 60, 220),
    (60, 220, 230),
    (245, 245, 245),
    (15, 15, 15),
)
IDENTITIES = len(CLASSES) * len(COLOURS)
_RADII = (14.0, 24.0)
_SHADES = 12.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """A picture of one shape."""

    scene: Scene
    # kind * number of colours + colour
    identity: int

    @property
    def name(self) -> str:
        """The identity in words."""
        return f"{CLASSES[self.identity // len(COLOURS)]}-{self.identity % len(COLOURS)}"


def singles(count: int, *, seed: int, side: int = 96, first: int = 0) -> Iterator[Single]:
    """Yields pictures of one shape in one of eight colours, each a little off.

    Args:
        seed: of the set; pictures `first` to `first + count` of it are drawn.
        side: of the pictures, in pixels.
    """
    for number in range(first, first + count):
        rng = np.random.default_rng((seed, number, 1))
        radius = float(rng.uniform(*_RADII))
        kind, colour = int(rng.integers(len(CLASSES))), int(rng.integers(len(COLOURS)))
        shape = Shape(
            kind=kind,
            x=float(rng.uniform(radius, side - radius)),
            y=float(rng.uniform(radius, side - radius)),
            radius=radius,
            angle=float(rng.uniform(0, 2 * np.pi)),
        )
        shade = np.clip(np.array(COLOURS[colour]) + rng.normal(0, _SHADES, 3), 0, 255)
        yield Single(
            scene=paint(rng, side, [shape], shade[None]), identity=kind * len(COLOURS) + colour
        )
