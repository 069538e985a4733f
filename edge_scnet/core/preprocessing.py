"""The record of how a picture becomes a network's input."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Colour = Literal["RGB", "BGR", "grey"]
ResizeMode = Literal["crop", "stretch", "letterbox", "none"]
Interpolation = Literal["bilinear", "bicubic", "nearest", "area", "lanczos"]
Resampler = Literal["pillow", "opencv"]
PadAnchor = Literal["center", "top-left"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# The origin of a value that nobody gave.
BY_DEFAULT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How a picture becomes a network's input.

    It is turned upright, resized, cropped or padded to the input's height and width, and its codes
    (0 to 255, of 16 bits 0 to 65535) become numbers from 0 to `pixel_max`, from which `mean` is
    subtracted and which `std` then divides. Arrays that a data set holds are fed as they are.
    """

    # the order of the input's channels; "grey" for three of them repeats the luma; an input of one
    # channel is grey whatever is said here
    colour: Colour = "RGB"
    # the number that the largest code becomes
    pixel_max: float = 1.0
    # by channel of the input, in the units of `pixel_max`; empty: nothing is subtracted or divided
    mean: tuple[float, ...]
    std: tuple[float, ...]
    # crop: scaled to cover the input, its proportions kept, and the centre cut out; stretch: scaled
    # to the input's size; letterbox: scaled to fit into the input, and padded; none: not scaled,
    # the centre cut out
    resize: ResizeMode = "crop"
    # of what crop and stretch scale to before the centre is cut out, in pixels; None: the input's
    # own
    short_side: int | None = None
    interpolation: Interpolation = "bilinear"
    # Pillow's filters grow as an image shrinks, OpenCV's do not, but for area
    antialias: bool = True
    # whose arithmetic resizes
    library: Resampler = "pillow"
    # codes of 8 bits around a letterboxed picture: one for all channels, or one for each, in the
    # order of the input's channels
    pad_value: tuple[int, ...] = (0,)
    pad_anchor: PadAnchor = "center"
    # pictures are turned as their EXIF data says
    exif: bool = True
    # where values come from, by the names of these fields: an option, a ready name, `BY_DEFAULT`;
    # what is not listed, nobody knows
    origins: dict[str, str] = field(default_factory=dict, compare=False)

    def origin(self, name: str) -> str:
        """Where a field's value comes from; empty where nobody knows."""
        return self.origins.get(name, "")

    @property
    def keeps_codes(self) -> bool:
        """Whether the codes of 8-bit pictures become numbers as they are."""
        is_plain = not any(self.mean) and all(value == 1 for value in self.std)
        return self.pixel_max == 255 and is_plain

    def in_order(self, colour: Colour) -> Preprocessing:
        """The same for channels in another order; the padding is in the order of the channels."""
        if colour == self.colour:
            return self
        return replace(self, colour=colour, pad_value=self.pad_value[::-1])


def antialiases(library: Resampler, interpolation: Interpolation) -> bool:
    """Whether a library's filter grows as a picture shrinks, where nothing is said."""
    return interpolation == "area" or (library == "pillow" and interpolation != "nearest")


def antialias_fits(asked: bool, library: Resampler, interpolation: Interpolation) -> bool:
    """Whether a library can do so: Pillow's filters can be kept from growing, two of them."""
    plain = library == "pillow" and interpolation in ("bilinear", "bicubic")
    return asked == antialiases(library, interpolation) or (not asked and plain)
