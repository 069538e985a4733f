"""Image files to pixels, and pixels to the network's input.

Calibration, evaluation and `predict` all go through `preprocess`. Pillow is imported only where a
file is decoded or resized, and only its readers of the formats below are used.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.foreign import exists, file_fault
from edge_scnet.core.optional import require
from edge_scnet.core.placement import Geometry, geometry_of
from edge_scnet.core.spec import takes_codes
from edge_scnet.data.resize import Part, resized, resized_part
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from edge_scnet.core.spec import ModelSpec

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")
# As RGB that is 300 MB. The ratio keeps "short side to 224" from turning a strip of 1 x 90,000 into
# 20 million rows.
_MAX_PIXELS, _MAX_RATIO = 100_000_000, 100
# The largest code, by the type of pixels.
_HIGHEST = {"uint8": 255, "uint16": 65535}


class _NoWarnings:
    """Keeps warnings off while any thread reads an image.

    `warnings.catch_warnings` belongs to the whole process: of threads that enter and leave it in
    turn, the last to leave would restore what another had set.
    """

    def __init__(self) -> None:
        self._lock, self._readers = threading.Lock(), 0
        self._kept = warnings.catch_warnings()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No warnings are shown until all that hold this are done."""
        with self._lock:
            self._readers += 1
            if self._readers == 1:
                self._kept = warnings.catch_warnings()
                self._kept.__enter__()
                warnings.simplefilter("ignore")
        try:
            yield
        finally:
            with self._lock:
                self._readers -= 1
                if not self._readers:
                    self._kept.__exit__(None, None, None)


_NO_WARNINGS = _NoWarnings()


def preprocess(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The network's input of an image: H x W x C to float32 C x height x width.

    Resized, cropped or padded as `core.placement.geometry_of` says, then normalised. Short side,
    crop and Pillow's bilinear are torchvision's evaluation transform of a PIL image (Resize,
    CenterCrop, ToTensor, Normalize), to the bit.

    Args:
        image: uint8 or uint16, grey or RGB.

    Raises:
        DataError: the image cannot fill the input so.
        MissingRuntimeError: the library that resizes is not installed.
        ValueError: of another type, or without `spec.channels` channels.
    """
    pixels, highest = _of_input_size(image, spec)
    return normalise(pixels, spec, highest=highest)


def codes_of(image: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """The pixels that an engine of bytes takes of an image, uint8 height x width x C.

    They are those that `preprocess` normalises, in the order of the input's channels.

    Args:
        image: uint8, grey or RGB; 16 bits do not fit into bytes.

    Raises:
        DataError, MissingRuntimeError: as `preprocess`.
        ValueError: of another type, or without `spec.channels` channels.
    """
    if image.dtype != np.uint8:
        raise ValueError(f"{image.dtype} does not fit into bytes")
    pixels, _ = _of_input_size(image, spec)
    return pixels[..., channel_order(spec)] if spec.preprocessing.colour == "BGR" else pixels


def _of_input_size(image: np.ndarray, spec: ModelSpec) -> tuple[np.ndarray, int]:
    """An image resized, cropped or padded to the input's size, and its highest possible code."""
    highest = _HIGHEST.get(image.dtype.name)
    if highest is None or image.ndim != 3 or image.shape[2] != spec.channels:
        raise ValueError(
            f"{image.dtype} {image.shape} is not uint8 or uint16 H x W x {spec.channels}"
        )
    if spec.preprocessing.short_side is None and image.shape[:2] == (spec.height, spec.width):
        # of any mode the picture as it is; to find that out takes longer than a small picture
        return image, highest
    geometry = geometry_of((image.shape[1], image.shape[0]), spec)
    size = (geometry.width, geometry.height)
    if geometry.width >= spec.width and geometry.height >= spec.height:
        part = Part(left=geometry.left, top=geometry.top, width=spec.width, height=spec.height)
        return resized_part(image, size, part, spec.preprocessing, highest=highest), highest
    image = resized(image, size, spec.preprocessing, highest=highest)
    return _padded(image, geometry, spec, highest), highest


def _padded(image: np.ndarray, geometry: Geometry, spec: ModelSpec, highest: int) -> np.ndarray:
    """A resized image in the input's size, what it does not cover filled with the pad."""
    top, left = geometry.top, geometry.left
    pads = spec.preprocessing.pad_value
    if len(pads) == spec.channels:
        pads = tuple(pads[channel] for channel in channel_order(spec))
    canvas = np.empty((spec.height, spec.width, spec.channels), image.dtype)
    canvas[:] = np.array(pads) * (highest // 255)
    canvas[-top : -top + geometry.height, -left : -left + geometry.width] = image
    return canvas


def channel_order(spec: ModelSpec) -> list[int]:
    """The channels of an RGB or grey image in the order of the input's."""
    order = list(range(spec.channels))
    return order[::-1] if spec.preprocessing.colour == "BGR" else order


def normalise(pixels: np.ndarray, spec: ModelSpec, *, highest: int = 255) -> np.ndarray:
    """Codes as the network takes them: [...] x H x W x C to float32 [...] x C x H x W.

    code / highest * pixel_max - mean, / std, in float32 and in this order.

    Args:
        highest: the code that becomes `pixel_max`.
    """
    rule = spec.preprocessing
    out = np.empty((*pixels.shape[:-3], spec.channels, *pixels.shape[-3:-1]), np.float32)
    for channel, source in enumerate(channel_order(spec)):
        plane = out[..., channel, :, :]
        # in place, one channel after the other: several times faster than whole images
        if rule.pixel_max == highest:
            plane[...] = pixels[..., source]
        else:
            np.divide(
                pixels[..., source],
                np.float32(highest),
                out=plane,
                dtype=np.float32,
                casting="unsafe",
            )
            if rule.pixel_max != 1:
                plane *= np.float32(rule.pixel_max)
        if rule.mean:
            plane -= np.float32(rule.mean[channel])
            plane /= np.float32(rule.std[channel])
    return out


def hint_for(path: Path) -> str:
    """What helps where an image file cannot be read."""
    return "save it anew as PNG or JPEG" if exists(path) else f"ls {path.parent}"


def colours_of(path: Path, spec: ModelSpec) -> np.ndarray:
    """The pixels of an image file to look at: uint8 H x W x 3, RGB, turned as the network sees it.

    Raises:
        DataError: it does not exist or cannot be decoded.
    """
    shown = replace(
        spec,
        input_shape=(3, *spec.input_shape[1:]),
        preprocessing=replace(spec.preprocessing, colour="RGB"),
    )
    pixels = decode(path, shown, hint=hint_for(path))
    return pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Opens an image and checks its size; its pixels are not read yet.

    Raises:
        DataError: whatever fails in the context; the message names the file.
    """
    require("PIL.Image", extra="cpu")
    from PIL import Image, UnidentifiedImageError

    try:
        if fault := file_fault(path):
            raise ValueError(fault)
        # Pillow warns of odd EXIF, palettes and sizes that it reads all the same; what it cannot
        # read, it raises
        with _NO_WARNINGS.held(), Image.open(path, formats=_FORMATS) as image:
            width, height = image.size
            if width * height > _MAX_PIXELS:
                raise ValueError(
                    f"{width} x {height} pixels; at most {_MAX_PIXELS // 1_000_000} million are"
                    " decoded"
                )
            if max(width, height) > _MAX_RATIO * min(width, height):
                raise ValueError(
                    f"{width} x {height} pixels; the long side may be {_MAX_RATIO} times the short"
                    " one"
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
        uint8, or uint16 of 16-bit grey, H x W x C with `spec.channels` channels: grey or RGB.

    Raises:
        DataError: it does not exist or cannot be decoded; or has 16 bits a pixel, and `spec` is of
            an engine that takes bytes.
    """
    if spec.channels not in (1, 3):
        raise DataError(
            f"{spec.name} wants {spec.channels} channels; an image has 1 (grey) or 3 (RGB)",
            hint="samples of other channels are arrays: name a folder of .npy or .npz files",
        )
    try:
        with opened(path) as image:
            pixels = pixels_of(image, spec)
    except DataError as error:
        raise DataError(error.message, hint=hint) from error
    if pixels.dtype != np.uint8 and takes_codes(spec):
        raise DataError(
            f"{path} has 16 bits a pixel, and the engine takes bytes",
            hint="save it with 8 bits; or build an engine that takes floats: --input float",
        )
    return pixels


def pixels_of(image: Image.Image, spec: ModelSpec | None = None) -> np.ndarray:
    """The pixels of an image as H x W x C, rotated as its EXIF data says where that is wanted.

    Grey of 16 bits stays uint16, everything else is uint8. What is transparent shows white, as on a
    page: dropping alpha alone would show the colours that an editor left beneath. Grey is ITU-R 601
    luma (Pillow's "L"), RGB of grey repeats it. Of an animation the first frame is read.

    Args:
        spec: whose input it is for; None: RGB.

    Raises:
        ValueError: pixels that cannot be read with all their bits.
    """
    from PIL import Image, ImageOps

    channels = 3 if spec is None else spec.channels
    turned = spec is None or spec.preprocessing.exif
    colour = "RGB" if spec is None else spec.preprocessing.colour
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not image.mode.startswith("I") and _has_16_bits(image):
        raise ValueError(
            "it has 16 bits per channel, of which 8 are read in colour: save it with 8 bits, or"
            " pass arrays (.npy)"
        )
    if turned:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        wide = np.asarray(image)
        if wide.min() < 0 or wide.max() > 0xFFFF:
            raise ValueError(f"pixels from {wide.min()} to {wide.max()} are neither 8 nor 16 bits")
        return np.repeat(wide.astype(np.uint16)[..., None], channels, axis=2)
    if image.has_transparency_data:
        upper = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", upper.size, "white"), upper)
    if channels == 1 or colour == "grey":
        return np.repeat(np.asarray(_of_mode(image, "L"))[..., None], channels, axis=2)
    return np.asarray(_of_mode(image, "RGB"))


def _of_mode(image: Image.Image, mode: str) -> Image.Image:
    """An image in a mode, its pixels read; one that has it is not copied, as Pillow does."""
    image.load()
    return image if image.mode == mode else image.convert(mode)


def _has_16_bits(image: Image.Image) -> bool:
    """Whether the file of an image that is not loaded yet has more bits than Pillow reads."""
    tiles = getattr(image, "tile", None)
    if not tiles:
        return False
    raw = tiles[0].args
    kind, most = (raw, None) if isinstance(raw, str) else (raw[0], raw[1] if raw[1:] else None)
    # a PPM says its largest code
    return ";16" in str(kind) or (image.format == "PPM" and isinstance(most, int) and most > 255)
