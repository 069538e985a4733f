"""Sets of image files: headers are read, contents hashed, and unreadable ones found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.files import sha256_file
from edge_scnet.data.images import opened, pixels_of
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.data.truth import UNKNOWN, Truth
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SKIP_BAD = "leave unreadable images out, and count them: --skip-bad"
MOST_NAMED = 20
_ORIENTATION = 0x0112
# values of the EXIF tag that swap width and height
_TURNED = (5, 6, 7, 8)
# where a PNG may keep the orientation, behind the pixels too
_PNG_MARKS = (b"eXIf", b"Raw profile type", b"tiff:Orientation")


def image_set(
    root: Path,
    entries: Sequence[str],
    reading: Reading,
    truth: Truth = UNKNOWN,
) -> SampleSet:
    """The set of image files, in the order of the list.

    Args:
        root: that the entries are relative to.
        reading: says how many are taken, and whether those that cannot be decoded are left out.
        truth: of each entry.

    Raises:
        DataError: an image cannot be read.
    """
    picked = spread(len(entries), reading.limit)
    kept, hashes, sizes, bad, transparent, deep = [], [], [], [], 0, 0
    for i in picked:
        path = root / entries[i]
        try:
            with opened(path) as image:
                size = _size(image, path, turned=reading.turned)
                if reading.skip_bad:
                    pixels_of(image, reading.model)
                hashes.append(sha256_file(path))
                transparent += image.has_transparency_data
                deep += image.mode.startswith("I")
            sizes.append(size)
            kept.append(i)
        except DataError as error:
            if not reading.skip_bad:
                raise DataError(error.message, hint=SKIP_BAD) from error
            bad.append(error.message)
    if bad and not kept:
        raise DataError(
            f"none of the {len(picked)} images in {root} can be read; the first: {bad[0]}",
            hint=f"look at what they are: file {root}/*",
        )
    labels, targets = truth.labels, truth.targets
    if targets is not None and kept != list(range(targets.count)):
        targets = targets.subset(kept)
    return SampleSet(
        root=root,
        kind="folder",
        entries=tuple(entries[i] for i in kept),
        labels=None if labels is None else tuple(labels.indices[i] for i in kept),
        label_rule=None if labels is None else labels.rule,
        class_names=None if labels is None else labels.names,
        content_hashes=tuple(hashes),
        skipped=len(bad),
        unreadable=tuple(bad[:MOST_NAMED]),
        short_sides=tuple(map(min, sizes)),
        targets=targets,
        image_sizes=tuple(sizes),
        transparent=transparent,
        deep=deep,
    )


def refuse_missing(
    root: Path, entries: Sequence[str], *, where: Path, hint: str | None = None
) -> None:
    """Refuses a list that names files that do not exist.

    Args:
        root: that the entries are relative to.
        where: the list, for the message.
        hint: None: of files that are samples.

    Raises:
        DataError: names up to 20 of them.
    """
    missing = [entry for entry in entries if not is_there(root / entry)]
    if not missing:
        return
    shown = "".join(f"\n  {name}" for name in missing[:MOST_NAMED])
    more = f"\n  and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    far = "; paths are files, nothing is downloaded" if "://" in missing[0] else ""
    raise DataError(
        f"{where}: {len(missing)} of {len(entries)} files do not exist below"
        f" {root}{far}:{shown}{more}",
        hint=hint or f"is it another folder? {where.name}?images=DIR (--images DIR); or {SKIP_BAD}",
    )


def size_of(path: Path, reading: Reading) -> tuple[int, int]:
    """Width and height of an image file as it is read, in pixels.

    Raises:
        DataError: it cannot be read.
    """
    with opened(path) as image:
        return _size(image, path, turned=reading.turned)


def _size(image: Image.Image, path: Path, *, turned: bool) -> tuple[int, int]:
    from PIL import Image

    if not turned:
        return image.size
    if image.format != "PNG" or any(mark in path.read_bytes() for mark in _PNG_MARKS):
        exif = image.getexif()
    else:
        # the reader of PNG files decodes all pixels to look for EXIF data behind them
        exif = Image.Image.getexif(image)
    width, height = image.size
    return (height, width) if exif.get(_ORIENTATION) in _TURNED else (width, height)


def is_there(path: Path) -> bool:
    """Whether a path is a file's; what can be no path is none."""
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
