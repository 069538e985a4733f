"""Image files to uint8 pixels, and pixels to the network's input.

Calibration, evaluation and `predict` all go through `preprocess`. Pillow is imported only where a
file is decoded or resized, and only its readers of the formats below are used.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from edge_scnet.core.spec import ModelSpec

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
# As RGB that is 300 MB. The ratio keeps "short side to 224" from turning a strip of 1 x 90,000 into
# 20 million rows.
_MAX_PIXELS, _MAX_RATIO = 100_000_000, 100


def preprocess(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The network's input of an image: uint8 H x W x C to float32 C x height x width.

    Scaled to cover `spec.resize`, centre crop, / 255, - mean, / std. For squares this is
    torchvision's evaluation transform (Resize, CenterCrop, ToTensor, Normalize on a PIL image), to
    the bit: long side int(resize * long / short), antialiased bilinear, crop from
    round((side - size) / 2). Where the input is no square, the image is scaled to cover a rectangle
    of the input's proportions whose short side is `spec.resize`. Where that is None, it covers the
    input itself, which leaves images of that size untouched.

    Raises:
        DataError: `spec.resize` is smaller than the input's short side.
        ValueError: not uint8 H x W x `spec.channels`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != spec.channels:
        raise ValueError(f"{image.dtype} {image.shape} is not uint8 H x W x {spec.channels}")
    short = min(spec.height, spec.width)
    if spec.resize is not None and spec.resize < short:
        raise DataError(
            f"{spec.name}: images are resized to {spec.resize} and cannot fill an input of {short}"
        )
    height, width = image.shape[:2]
    wanted = _covering(width, height, spec)
    if wanted != (width, height):
        require("PIL.Image", extra="cpu")
        from PIL import Image

        picture = Image.fromarray(image if spec.channels == 3 else image[:, :, 0])
        image = np.asarray(picture.resize(wanted, Image.Resampling.BILINEAR)).reshape(
            wanted[1], wanted[0], spec.channels
        )
    top, left = (
        round((have - size) / 2)
        for have, size in zip(image.shape[:2], (spec.height, spec.width), strict=True)
    )
    return normalise(image[top : top + spec.height, left : left + spec.width], spec)


def _covering(width: int, height: int, spec: ModelSpec) -> tuple[int, int]:
    """The width and height that an image is scaled to before the crop, its proportions kept."""
    scale = 1.0 if spec.resize is None else spec.resize / min(spec.height, spec.width)
    box_width, box_height = round(spec.width * scale), round(spec.height * scale)
    if width * box_height <= height * box_width:
        return box_width, max(int(box_width * height / width), box_height)
    return max(int(box_height * width / height), box_width), box_height


def normalise(pixels: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Pixels / 255, - mean, / std: uint8 [...] x H x W x C to float32 [...] x C x H x W."""
    x = pixels.astype(np.float32) / np.float32(255)
    x = (x - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    return np.ascontiguousarray(np.moveaxis(x, -1, -3))


def read_image(path: Path, spec: ModelSpec) -> np.ndarray:
    """The network's input of an image file: float32 C x H x W.

    Raises:
        DataError: it does not exist or cannot be decoded.
    """
    hint = "save it anew as PNG or JPEG" if path.exists() else f"ls {path.parent}"
    return preprocess(decode(path, spec, hint=hint), spec)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Opens an image and checks its size; its pixels are not read yet.

    Raises:
        DataError: whatever fails in the context; the message names the file.
    """
    require("PIL.Image", extra="cpu")
    from PIL import Image, UnidentifiedImageError

    try:
        if not path.is_file():
            raise ValueError("it is not a regular file" if path.exists() else "no such file")
        with warnings.catch_warnings():
            # Pillow warns of odd EXIF, palettes and sizes that it reads all the same; what it
            # cannot read, it raises
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > _MAX_PIXELS:
                    raise ValueError(
                        f"{width} x {height} pixels; at most {_MAX_PIXELS // 1_000_000} million are"
                        " decoded"
                    )
                if max(width, height) > _MAX_RATIO * min(width, height):
                    raise ValueError(
                        f"{width} x {height} pixels; the long side may be {_MAX_RATIO} times the"
                        " short one"
                    )
                yield image
    except (DataError, MemoryError):
        raise
    except Exception as error:
        # a damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError,
        # struct.error, zlib.error
        reason = str(error) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"whatever its name says, it is not one of {', '.join(_FORMATS)}"
        if isinstance(error, Image.DecompressionBombError):
            reason = f"at most {_MAX_PIXELS // 1_000_000} million pixels are decoded ({error})"
        raise DataError(f"cannot read image {path}: {reason}") from error


def decode(path: Path, spec: ModelSpec, *, hint: str) -> np.ndarray:
    """The pixels of an image file, upright and at its own size.

    Args:
        hint: of the error.

    Returns:
        uint8 H x W x C with `spec.channels` channels.

    Raises:
        DataError: it does not exist or cannot be decoded.
    """
    if spec.channels not in (1, 3):
        raise DataError(
            f"{spec.name} wants {spec.channels} channels; an image has 1 (grey) or 3 (RGB)"
        )
    try:
        with opened(path) as image:
            return to_uint8(image, spec.channels)
    except DataError as error:
        raise DataError(error.message, hint=hint) from error


def to_uint8(image: Image.Image, channels: int) -> np.ndarray:
    """The pixels of an image as uint8 H x W x C, rotated as its EXIF data says.

    16 bits become 8 by v / 257, rounded (65535 / 257 = 255). What is transparent shows white, as on
    a page: dropping alpha alone would show the colours that an editor left beneath. Grey is ITU-R
    601 luma (Pillow's "L"), RGB of grey repeats it. Of an animation the first frame is read.
    """
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise ValueError(f"pixels from {wide.min()} to {wide.max()} are neither 8 nor 16 bits")
        image = Image.fromarray(((wide.astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.has_transparency_data:
        upper = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", upper.size, "white"), upper)
    pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels)
