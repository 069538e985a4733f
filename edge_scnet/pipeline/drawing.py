"""Draws what a network says of a picture onto it: boxes, masks, points, and captions.

Whatever a picture shows, each line is seen on it: a colour of the class between two dark edges.
Everything is as thick and as large as the picture's own size asks for.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.tasks.readout import Classes, Labels, Mask, Objects, Points, Readout, scaled
from edge_scnet.tasks.readout_words import captions, shown

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

# Far from each other, for those who see no red or no green too (after M. Okabe and K. Ito, Color
# Universal Design, 2008), brighter ones for lines on photographs.
_COLOURS = (
    (255, 178, 0),
    (64, 180, 255),
    (0, 205, 140),
    (255, 105, 60),
    (240, 120, 215),
    (250, 235, 70),
    (125, 120, 255),
    (190, 235, 120),
    (235, 60, 150),
    (120, 235, 235),
    (215, 165, 110),
    (200, 200, 210),
)
_DARK, _LIGHT = (16, 16, 20), (255, 255, 255)
# The golden ratio's part of the circle of hues, which keeps each next one far from the last.
_HUE_STEP = 0.618033988749895
_MASK_OPACITY = 0.5
# Captions are not legible on a smaller picture, which is enlarged first, in whole pixels.
_LEAST_SIDE, _LEGIBLE_SIDE = 128, 192
# Names of a class that is drawn as nothing.
_GROUNDS = ("background", "_background_", "bg", "__background__")
_MOST_CAPTIONS, _MOST_LETTERS = 12, 120
# Pillow's own font has Latin letters alone.
_FIRST_UNKNOWN = 0x250


def can_draw(readout: Readout) -> bool:
    """Whether there is anything to draw onto a picture."""
    return isinstance(readout.form, Objects | Mask | Points) or bool(captions(readout))


def colour_of(index: int) -> tuple[int, int, int]:
    """The colour of a class: red, green, blue, each 0 to 255; never dark."""
    if 0 <= index < len(_COLOURS):
        return _COLOURS[index]
    hue = (index * _HUE_STEP) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.55 + 0.1 * (index % 3), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def draw(picture: np.ndarray, readout: Readout) -> Image.Image:
    """The picture with what is said of it, at its own size.

    One whose sides are all shorter than 128 pixels is enlarged.

    Args:
        picture: uint8 height x width x 3, RGB: the image that the readout's positions are of.

    Raises:
        MissingRuntimeError: Pillow is not installed.
    """
    require("PIL.ImageDraw", extra="cpu")
    from PIL import Image

    side = max(picture.shape[:2])
    if side < _LEAST_SIDE:
        times = -(-_LEGIBLE_SIDE // side)
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
        readout = scaled(readout, times, times)
    readout = _named(readout)
    form = readout.form
    legend: list[tuple[str, tuple[int, int, int]]] = []
    if isinstance(form, Mask):
        picture, legend = _with_mask(picture, form, readout)
    canvas = _Canvas.on(Image.fromarray(picture))
    if isinstance(form, Objects):
        _draw_objects(canvas, form, readout)
    elif isinstance(form, Points):
        _draw_points(canvas, form, readout)
    elif isinstance(form, Classes | Labels):
        first = form.indices[0] if isinstance(form, Classes) and form.indices else 0
        legend = [(line, colour_of(first)) for line in captions(readout)]
    elif not isinstance(form, Mask):
        legend = [(line, _LIGHT) for line in captions(readout)]
    _draw_legend(canvas, legend)
    return canvas.image


@dataclass(slots=True, kw_only=True)
class _Canvas:
    """A picture that is drawn on, and where captions lie on it."""

    image: Image.Image
    pen: ImageDraw.ImageDraw
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    # of lines, in pixels
    line: int
    # of captions: left, top, right, bottom
    taken: list[tuple[float, float, float, float]] = field(default_factory=list)

    @staticmethod
    def on(image: Image.Image) -> _Canvas:
        from PIL import ImageDraw, ImageFont

        side = (image.width * image.height) ** 0.5
        return _Canvas(
            image=image,
            pen=ImageDraw.Draw(image),
            font=ImageFont.load_default(size=min(max(side / 34, 9.0), 72.0)),
            line=max(2, round(side / 320)),
        )

    @property
    def pad(self) -> int:
        """Between a caption's words and its edge."""
        return max(1, self.line)

    def size_of(self, words: str) -> tuple[int, int]:
        """Width and height of a caption, in pixels."""
        left, _, right, _ = self.pen.textbbox((0, 0), words, font=self.font)
        _, top, _, bottom = self.pen.textbbox((0, 0), "Ag", font=self.font)
        return int(right - left) + 2 * self.pad + 1, int(bottom - top) + 2 * self.pad + 1

    def cut(self, words: str, width: float) -> str:
        """The words, or as many of their letters as the width has room for."""
        if self.size_of(words)[0] <= width:
            return words
        least, most = 0, len(words)
        while least < most:
            middle = (least + most + 1) // 2
            fits = self.size_of(words[:middle] + "..")[0] <= width
            least, most = (middle, most) if fits else (least, middle - 1)
        return words[:least] + ".." if least else ""

    def caption(self, words: str, colour: tuple[int, int, int], left: float, top: float) -> None:
        """Writes words on a ground of a colour, inside the picture."""
        words = self.cut(_legible(words), self.image.width)
        if not words:
            return
        wide, high = self.size_of(words)
        left = min(max(left, 0.0), max(self.image.width - wide, 0))
        top = min(max(top, 0.0), max(self.image.height - high, 0))
        self.taken.append((left, top, left + wide, top + high))
        self.pen.rectangle((left, top, left + wide - 1, top + high - 1), fill=colour)
        _, above, _, _ = self.pen.textbbox((0, 0), "Ag", font=self.font)
        ink = _DARK if _brightness(colour) > 110 else _LIGHT
        self.pen.text((left + self.pad, top + self.pad - above), words, fill=ink, font=self.font)

    def is_free(self, left: float, top: float, size: tuple[int, int]) -> bool:
        """Whether a caption there is inside the picture and on no other."""
        right, bottom = left + size[0], top + size[1]
        if left < 0 or top < 0 or right > self.image.width or bottom > self.image.height:
            return False
        return all(
            right <= each[0] or left >= each[2] or bottom <= each[1] or top >= each[3]
            for each in self.taken
        )


def _draw_objects(canvas: _Canvas, form: Objects, readout: Readout) -> None:
    """Draws boxes, the best last so that it lies above, and then all captions, the best first."""
    rows = [row for row in shown(form) if np.isfinite(form.corners[row]).all()]
    for row in reversed(rows):
        _box(canvas, form.corners[row].tolist(), colour_of(int(form.classes[row])))
    for row in rows[: 4 * _MOST_CAPTIONS]:
        words = readout.name_of(int(form.classes[row]))
        if form.scores is not None:
            words += f" {100 * float(form.scores[row]):.0f} %"
        _beside(canvas, words, colour_of(int(form.classes[row])), form.corners[row].tolist())


def _box(canvas: _Canvas, corners: Sequence[float], colour: tuple[int, int, int]) -> None:
    left, top, right, bottom = corners
    left, right = sorted((left, right))
    top, bottom = sorted((top, bottom))
    # a box that ends at the picture's edge is seen there too
    left, right = max(left, 0.0), min(right, canvas.image.width) - 1
    top, bottom = max(top, 0.0), min(bottom, canvas.image.height) - 1
    if right < left or bottom < top:
        return
    edge = max(1, canvas.line // 2)
    for inset, width, ink in ((-edge, canvas.line + 2 * edge, _DARK), (0, canvas.line, colour)):
        box = (left + inset, top + inset, right - inset, bottom - inset)
        canvas.pen.rectangle(box, outline=ink, width=width)


def _beside(
    canvas: _Canvas, words: str, colour: tuple[int, int, int], corners: Sequence[float]
) -> None:
    """Writes a box's caption above it, or where else there is room."""
    left, top, right, bottom = corners
    size = canvas.size_of(canvas.cut(_legible(words), canvas.image.width))
    wide, high = size
    most = canvas.image.width - wide
    places = [
        (min(max(x, 0.0), max(most, 0)), y)
        for x in (left, right - wide)
        for y in (top - high, top, bottom, bottom - high)
    ]
    for x, y in places:
        if canvas.is_free(x, y, size):
            canvas.caption(words, colour, x, y)
            return
    canvas.caption(words, colour, *places[1])


def _draw_points(canvas: _Canvas, form: Points, readout: Readout) -> None:
    """Draws a dot for each point; names where there are few."""
    radius = max(2.0, 2.0 * canvas.line)
    edge = max(1.0, canvas.line / 2)
    size = np.array([canvas.image.width, canvas.image.height])
    is_inside = ((form.positions >= -radius) & (form.positions <= size + radius)).all(axis=1)
    visible = np.flatnonzero(is_inside & np.asarray(form.visible, bool)).tolist()
    for i in visible:
        x, y = (float(value) for value in form.positions[i])
        for reach, ink in ((radius + edge, _DARK), (radius, colour_of(i))):
            canvas.pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=ink)
    if not readout.names or len(visible) > _MOST_CAPTIONS:
        return
    for i in visible:
        x, y = (float(value) for value in form.positions[i])
        around = (x + 2 * radius, y - radius, x - 2 * radius, y + radius)
        _beside(canvas, readout.name_of(i), colour_of(i), around)


def _with_mask(
    picture: np.ndarray, form: Mask, readout: Readout
) -> tuple[np.ndarray, list[tuple[str, tuple[int, int, int]]]]:
    """The picture under the mask's colours, and what these mean, the largest first."""
    high, wide = picture.shape[:2]
    classes = form.at_image(wide, high)
    numbers, counts = np.unique(classes, return_counts=True)
    out = picture.copy()
    legend = []
    for number, count in sorted(
        zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]
    ):
        if number < 0 or _is_ground(number, readout):
            continue
        colour, where = colour_of(number), classes == number
        mixed = (1 - _MASK_OPACITY) * picture[where] + _MASK_OPACITY * np.array(colour)
        out[where] = mixed.round().astype(np.uint8)
        out[_rim(where, max(1, round((high * wide) ** 0.5 / 400)))] = colour
        share = 100 * count / max(int((classes >= 0).sum()), 1)
        legend.append((f"{readout.name_of(number)} {share:.0f} %", colour))
    return out, legend[:_MOST_CAPTIONS]


def _is_ground(number: int, readout: Readout) -> bool:
    """Whether a class is what lies behind all others: class 0 where nobody says anything else."""
    if number >= len(readout.names):
        return number == 0
    return readout.names[number].lower() in _GROUNDS


def _rim(where: np.ndarray, width: int) -> np.ndarray:
    """The pixels of an area that lie at its edge."""
    inner = where
    for _ in range(width):
        padded = np.pad(inner, 1, mode="edge")
        inner = inner & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    rim: np.ndarray = where & ~inner
    return rim


def _draw_legend(canvas: _Canvas, lines: Iterable[tuple[str, tuple[int, int, int]]]) -> None:
    """Writes lines below each other in the upper left corner, as many as there is room for."""
    top = 0.0
    for words, colour in lines:
        high = canvas.size_of(words)[1]
        if top and top + high > canvas.image.height:
            return
        canvas.caption(words, colour, 0.0, top)
        top += high


def _brightness(colour: tuple[int, int, int]) -> float:
    """Luma of a colour (ITU-R BT.601), 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def _legible(words: str) -> str:
    """Words in letters that Pillow's own font has, on one line."""
    flat = " ".join(words[:_MOST_LETTERS].split())
    return "".join(letter if _is_known(letter) else "?" for letter in flat)


def _is_known(letter: str) -> bool:
    return letter.isprintable() and ord(letter) < _FIRST_UNKNOWN


def _named(readout: Readout) -> Readout:
    """The readout without the names that Pillow's own font cannot write: numbers say more."""
    names = tuple(name if all(map(_is_known, name)) else "" for name in readout.names)
    last = max((i for i, name in enumerate(names) if name), default=-1)
    if names == readout.names:
        return readout
    kinds = [replace(readout, names=()).name_of(i) for i in range(last + 1)]
    return replace(readout, names=tuple(n or k for n, k in zip(names, kinds, strict=False)))
