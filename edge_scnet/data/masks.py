"""Segmentation masks: files whose pixels are classes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.files import sha256_file
from edge_scnet.core.targets import Targets
from edge_scnet.data.image_list import refuse_missing, size_of
from edge_scnet.data.images import opened
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.reading import Reading
from edge_scnet.errors import DataError

# of pixels that are not judged
NOT_JUDGED = 255
_LARGEST = 0xFFFF


def read_mask(path: Path, foreground: int | None = None) -> np.ndarray:
    """The classes of a mask's pixels: of a palette its indices, of grey its values.

    Args:
        foreground: the value that means class 1, all others mean 0; None: values are classes.

    Returns:
        int32 [height, width] of the upright image.

    Raises:
        DataError: it cannot be read, or is of colours.
    """
    from PIL import ImageOps

    with opened(path) as image:
        if image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
            raise DataError(
                f"{path} has colours ({image.mode}); a mask has the class of each pixel as grey"
                " value or as index of its palette",
                hint="save the indices: Image.fromarray(classes.astype('uint8')).save(FILE.png)",
            )
        ImageOps.exif_transpose(image, in_place=True)
        pixels: np.ndarray = np.asarray(image).astype(np.int32)
    if foreground is not None:
        pixels = (pixels == foreground).astype(np.int32)
    return pixels


def mask_targets(
    root: Path, entries: Sequence[str], rule: str, reading: Reading, *, images: Sequence[Path]
) -> Targets:
    """The masks of samples, each in a file; they are read once here, and again when asked for.

    Args:
        root: that the entries are relative to.
        entries: by sample.
        rule: how they were found, in words.
        reading: says the value of the foreground.
        images: the files that the masks are of.

    Raises:
        DataError: files are missing, cannot be read, or have another size than their image; values
            that are no classes of the model; all masks hold 0 and 255 alone.
    """
    hint = f"is it another folder? {reading.with_setting('masks', 'DIR')}; or {NO_LABELS}"
    refuse_missing(root, entries, where=reading.path, hint=hint)
    foreground = _foreground(reading)
    files = tuple(root / entry for entry in entries)
    digest, values, sizes = hashlib.sha256(f"{foreground}".encode()), set(), []
    for file in files:
        mask = read_mask(file, foreground)
        sizes.append((mask.shape[1], mask.shape[0]))
        found = np.unique(mask)
        _check_range(file, found, reading)
        values.update(found.tolist())
        digest.update(sha256_file(file).encode())
    _check_sizes(images, sizes, reading)
    if values <= {NOT_JUDGED}:
        raise DataError(f"{reading.path}: no mask has a pixel that is judged", hint=NO_LABELS)
    if values <= {0, NOT_JUDGED} and NOT_JUDGED in values:
        raise DataError(
            f"{reading.path}: all masks hold 0 and 255 alone, and 255 is not judged",
            hint=f"is 255 the foreground? {reading.with_setting('foreground', '255')}",
        )
    return Targets(
        kind="mask",
        rule=f"{rule}; 255 is not judged" if foreground is None else f"{rule}; {foreground} is 1",
        count=len(files),
        at=_MaskFiles(files=files, foreground=foreground),
        hash=digest.hexdigest(),
        names=reading.class_names,
    )


def _check_sizes(
    images: Sequence[Path], sizes: Sequence[tuple[int, int]], reading: Reading
) -> None:
    """Holds masks, of these widths and heights, to the sizes of their images.

    Raises:
        DataError: names those that differ, up to 20.
    """
    other = []
    for image, mask in zip(images, sizes, strict=True):
        try:
            size = size_of(image, reading)
        except DataError:  # told, or left out, where the images are listed
            continue
        if size != mask:
            other.append(f"{image.name} {size[0]} x {size[1]}, mask {mask[0]} x {mask[1]}")
    if other:
        shown = "".join(f"\n  {line}" for line in other[:20])
        raise DataError(
            f"{reading.path}: {len(other)} of {len(images)} masks have another size than their"
            f" image:{shown}",
            hint="save them anew in the image's size, with nearest neighbours",
        )


def _foreground(reading: Reading) -> int | None:
    text = reading.setting("foreground")
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and int(text) <= _LARGEST):
        raise DataError(
            f"{reading.path}: foreground is {text!r}; a pixel's value is needed",
            hint=reading.with_setting("foreground", "255"),
        )
    return int(text)


def _check_range(file: Path, values: np.ndarray, reading: Reading) -> None:
    """Holds a mask's values to the model's classes.

    A network of two classes, or of one output, has masks of 0 and 1.

    Raises:
        DataError: a value has no class.
    """
    count = max(reading.class_count, 2) if reading.class_count else 0
    wrong = [int(value) for value in values if value != NOT_JUDGED and count and value >= count]
    if wrong:
        binary = count == 2 and set(values.tolist()) <= {0, wrong[0], NOT_JUDGED}
        raise DataError(
            f"{file} has the value {wrong[0]}; the model has {reading.class_count} classes, from 0,"
            " and 255 is not judged",
            hint=(
                f"is it the foreground? {reading.with_setting('foreground', str(wrong[0]))}"
                if binary
                else f"is it --num-classes {max(wrong) + 1}? or {NO_LABELS}"
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _MaskFiles:
    """Reads a mask; an object, for sets are sent to other processes."""

    files: tuple[Path, ...]
    foreground: int | None

    def __call__(self, i: int) -> np.ndarray:
        return read_mask(self.files[i], self.foreground)
