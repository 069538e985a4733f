"""Long rows of small numbers as short text, for JSON: class indices by image, scales by channel."""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections.abc import Sequence

MOST_IMAGES = 100_000_000
_WIDTHS = {"<u1": "B", "<u2": "H", "<u4": "I"}


def pack_classes(classes: Sequence[int]) -> str:
    """Class indices as text.

    Little-endian, 1, 2 or 4 bytes each as the largest needs, compressed by zlib, in base64, behind
    their type as in "<u1:".
    """
    largest = max(classes, default=0)
    kind = "<u1" if largest < 1 << 8 else "<u2" if largest < 1 << 16 else "<u4"
    data = zlib.compress(struct.pack(f"<{len(classes)}{_WIDTHS[kind]}", *classes), 9)
    return f"{kind}:{base64.b64encode(data).decode()}"


def unpack_classes(text: str, count: int) -> tuple[int, ...]:
    """The class indices in a text of `pack_classes`.

    Raises:
        ValueError: it is no such text, or not of `count` images.
    """
    kind, _, data = text.partition(":")
    if kind not in _WIDTHS:
        raise ValueError("packed classes begin with their type")
    if not 0 < count <= MOST_IMAGES:
        raise ValueError(f"{count} images cannot be")
    layout = struct.Struct(f"<{count}{_WIDTHS[kind]}")
    return layout.unpack(_unpacked(data, layout.size))


# of a binary logarithm: a step of 1 / 256 is 0.27 %, far below what any limit asks
_STEPS = 256


def pack_scales(scales: Sequence[float]) -> str:
    """Positive scales as text: their binary logarithms in steps of 1 / 256, 2 bytes each.

    0 and below become the lowest step.
    """
    steps = [
        max(-32768, min(32767, round(math.log2(scale) * _STEPS))) if scale > 0 else -32768
        for scale in scales
    ]
    return base64.b64encode(zlib.compress(struct.pack(f"<{len(steps)}h", *steps), 9)).decode()


def unpack_scales(text: str, count: int) -> tuple[float, ...]:
    """The scales in a text of `pack_scales`, to 0.14 %.

    Raises:
        ValueError: it is no such text, or not of `count` scales.
    """
    raw = _unpacked(text, 2 * count)
    return tuple(2.0 ** (step / _STEPS) for step in struct.unpack(f"<{count}h", raw))


def pack_values(values: Sequence[float]) -> str:
    """Any values as text: float32, compressed by zlib, in base64."""
    return base64.b64encode(zlib.compress(struct.pack(f"<{len(values)}f", *values), 9)).decode()


def unpack_values(text: str, count: int) -> tuple[float, ...]:
    """The values in a text of `pack_values`.

    Raises:
        ValueError: it is no such text, or not of `count` values.
    """
    if not 0 < count <= MOST_IMAGES:
        raise ValueError(f"{count} values cannot be")
    return struct.unpack(f"<{count}f", _unpacked(text, 4 * count))


def _unpacked(data: str, expected_bytes: int) -> bytes:
    """The bytes of a text.

    Raises:
        ValueError: it is damaged, or holds another number of bytes than expected.
    """
    try:
        # the text may be anybody's: no more is unpacked than there can be
        raw = zlib.decompressobj().decompress(
            base64.b64decode(data, validate=True), expected_bytes + 1
        )
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"packed values are damaged: {error}") from error
    if len(raw) != expected_bytes:
        raise ValueError(f"packed values are not of {expected_bytes} bytes")
    return raw
