"""Images resized as Pillow does it, or as OpenCV does it: their results differ.

Pillow's filters grow with the factor by which an image shrinks, so that stripes do not alias;
OpenCV's bilinear and bicubic look at 2 x 2 and 4 x 4 pixels whatever the factor. Pillow's bicubic
has a = -0.5, OpenCV's -0.75. Both are imported only where something is resized.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require

if TYPE_CHECKING:
    from PIL import Image

    from edge_scnet.core.preprocessing import Preprocessing

# The methods by the names that each library has for them.
PILLOW_METHODS = {
    "nearest": "NEAREST",
    "bilinear": "BILINEAR",
    "bicubic": "BICUBIC",
    "area": "BOX",
    "lanczos": "LANCZOS",
}
OPENCV_METHODS = {
    "nearest": "INTER_NEAREST",
    "bilinear": "INTER_LINEAR",
    "bicubic": "INTER_CUBIC",
    "area": "INTER_AREA",
    "lanczos": "INTER_LANCZOS4",
}

# How far Pillow's filters reach, in pixels of the larger of both pictures.
_REACH = {"bilinear": 1.0, "bicubic": 2.0, "area": 0.5, "lanczos": 3.0}
# In less pixels two calls of Pillow cost more than is saved by what is not computed.
_WORTH_PIXELS = 60_000
# Whole numbers that float32 holds, in which Pillow keeps the edges of a box.
_EXACT = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A rectangle of a resized image, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The rectangle of an image H x W x C."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def check_resampler(preprocessing: Preprocessing) -> None:
    """Refuses a library that is not installed, before the first picture is read.

    Raises:
        MissingRuntimeError: with the extra that brings it.
    """
    if preprocessing.library == "opencv":
        require("cv2", extra="opencv")
    else:
        require("PIL.Image", extra="cpu")


def resized(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing, *, highest: int
) -> np.ndarray:
    """An image in another size.

    Args:
        image: uint8 or uint16, H x W x C with one or three channels.
        size: width and height.
        highest: the largest code, which a filter may not pass.

    Returns:
        uint8, or of uint16 float32 codes that are not rounded.

    Raises:
        MissingRuntimeError: the library that resizes is not installed.
    """
    if size == (image.shape[1], image.shape[0]):
        return image
    if image.dtype != np.uint8:
        image = image.astype(np.float32)
    function = _by_opencv if preprocessing.library == "opencv" else _by_pillow
    out = function(image, size, preprocessing)
    return out if out.dtype == np.uint8 else np.clip(out, 0, highest)


def resized_part(
    image: np.ndarray,
    size: tuple[int, int],
    part: Part,
    preprocessing: Preprocessing,
    *,
    highest: int,
) -> np.ndarray:
    """A part of an image in another size: the codes of the whole, without computing all of it.

    Args:
        image, highest: as `resized`.
        size: width and height of the whole.

    Returns:
        As `resized`.

    Raises:
        MissingRuntimeError: the library that resizes is not installed.
    """
    if _saves(image, size, part, preprocessing):
        return _part_by_pillow(image, size, part, preprocessing)
    return part.of(resized(image, size, preprocessing, highest=highest))


def _saves(
    image: np.ndarray, size: tuple[int, int], part: Part, preprocessing: Preprocessing
) -> bool:
    """Whether Pillow can compute a part by itself, to the code, and time is saved by that.

    Its filters work along x, then along y, with codes between. Pillow 13 begins with y where that
    leaves less to do: in columns that shrink by more than twice what rows do.
    """
    less_x, less_y = image.shape[1] - size[0], image.shape[0] - size[1]
    x_is_first = less_y <= 0 or less_y <= 2 * less_x
    is_filtered = preprocessing.library == "pillow" and preprocessing.antialias
    return (
        x_is_first
        and is_filtered
        and preprocessing.interpolation in _REACH
        and image.dtype == np.uint8
        and image.shape[2] in (1, 3)
        and image.shape[0] * image.shape[1] >= _WORTH_PIXELS
        and size not in ((part.width, part.height), (image.shape[1], image.shape[0]))
    )


def _part_by_pillow(
    image: np.ndarray, size: tuple[int, int], part: Part, preprocessing: Preprocessing
) -> np.ndarray:
    """What `_saves`: along x the rows that the part is made of, along y its columns."""
    require("PIL.Image", extra="cpu")
    from PIL import Image

    method = Image.Resampling[PILLOW_METHODS[preprocessing.interpolation]]
    rows, (width, height) = image.shape[0], size
    step = rows / height
    reach = _REACH[preprocessing.interpolation] * max(step, 1) + 1
    first = max(int((part.top + 0.5) * step - reach), 0)
    end = min(math.ceil((part.top + part.height - 0.5) * step + reach), rows)
    pixels = image[first:end] if image.shape[2] == 3 else image[first:end, :, 0]
    strip = Image.fromarray(pixels).resize((width, end - first), method)
    strip = strip.crop((part.left, 0, part.left + part.width, end - first))
    if height & (height - 1) == 0 and rows * height < _EXACT:
        # of a power of two Pillow computes the same weights from the part's edges, which are exact
        top, bottom = part.top * step - first, (part.top + part.height) * step - first
        out = strip.resize((part.width, part.height), method, box=(0, top, part.width, bottom))
    else:
        whole = Image.new(strip.mode, (part.width, rows))
        whole.paste(strip, (0, first))
        out = whole.resize((part.width, height), method)
        out = out.crop((0, part.top, part.width, part.top + part.height))
    return np.asarray(out).reshape(part.height, part.width, image.shape[2])


def _by_opencv(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    cv2 = require("cv2", extra="opencv")
    flag = getattr(cv2, OPENCV_METHODS[preprocessing.interpolation])
    out: np.ndarray = cv2.resize(image, size, interpolation=flag)
    return out.reshape(size[1], size[0], image.shape[2])


def _by_pillow(
    image: np.ndarray, size: tuple[int, int], preprocessing: Preprocessing
) -> np.ndarray:
    require("PIL.Image", extra="cpu")
    from PIL import Image

    if image.dtype == np.uint8 and image.shape[2] == 3:
        out = np.asarray(_of_pillow(Image.fromarray(image), size, preprocessing))
    else:  # Pillow has no pictures of three float channels
        planes = [
            np.asarray(_of_pillow(Image.fromarray(plane), size, preprocessing))
            for plane in np.moveaxis(image, -1, 0)
        ]
        out = np.stack(planes, axis=-1)
    return out.reshape(size[1], size[0], image.shape[2])


def _of_pillow(
    image: Image.Image, size: tuple[int, int], preprocessing: Preprocessing
) -> Image.Image:
    from PIL import Image

    method = Image.Resampling[PILLOW_METHODS[preprocessing.interpolation]]
    if preprocessing.antialias or preprocessing.interpolation == "nearest":
        return image.resize(size, method)
    # the same filter at its smallest, at the points where the pixels' centres come to lie
    scale_x, scale_y = image.width / size[0], image.height / size[1]
    return image.transform(
        size, Image.Transform.AFFINE, (scale_x, 0, 0, 0, scale_y, 0), resample=method
    )
