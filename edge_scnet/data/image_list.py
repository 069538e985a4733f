"""Sets of image files: headers are read, contents hashed, and unreadable ones found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.files import sha256_file
from edge_scnet.data.images import opened, pixels_of
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.data.truth import UNKNOWN, Truth
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

SKIP_BAD = "leave unreadable images out, and count them: --skip-bad"
_MOST_NAMED = 20
_ORIENTATION = 0x0112
# values of the EXIF tag that swap width and height
_TURNED = (5, 6, 7, 8)
# where a PNG may keep the orientation, behind the pixels too
_PNG_MARKS = (b"eXIf", b"Raw profile type", b"tiff:Orientation")


def image_set(
    root: Path,
    entries: Sequence[str],
    truth: Truth = UNKNOWN,
    *,
    skip_bad: bool,
    limit: int | None,
    turned: bool = True,
) -> SampleSet:
    """The set of image files, in the order of the list.

    Args:
        root: that the entries are relative to.
        truth: of each entry.
        skip_bad: decodes every image once, and leaves out and counts those that cannot be.
        limit: takes that many, evenly spaced.
        turned: pictures are turned as their EXIF data says.

    Raises:
        DataError: an image cannot be read.
    """
    picked = spread(len(entries), limit)
    kept, hashes, sizes, first_bad = [], [], [], None
    for i in picked:
        path = root / entries[i]
        try:
            with opened(path) as image:
                size = _upright_size(image, path) if turned else image.size
                if skip_bad:
                    pixels_of(image)
                hashes.append(sha256_file(path))
            sizes.append(size)
            kept.append(i)
        except DataError as error:
            if not skip_bad:
                raise DataError(error.message, hint=SKIP_BAD) from error
            first_bad = first_bad or error
    if first_bad is not None and not kept:
        raise DataError(
            f"none of the {len(picked)} images in {root} can be read; the first:"
            f" {first_bad.message}"
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
        skipped=len(picked) - len(kept),
        short_sides=tuple(map(min, sizes)),
        targets=targets,
        image_sizes=tuple(sizes),
    )


def refuse_missing(root: Path, entries: Sequence[str], *, where: Path) -> None:
    """Refuses a list that names files that do not exist.

    Args:
        root: that the entries are relative to.
        where: the list, for the message.

    Raises:
        DataError: names up to 20 of them.
    """
    missing = [entry for entry in entries if not _is_there(root / entry)]
    if not missing:
        return
    shown = "".join(f"\n  {name}" for name in missing[:_MOST_NAMED])
    more = f"\n  and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    far = "; paths are files, nothing is downloaded" if "://" in missing[0] else ""
    raise DataError(
        f"{where}: {len(missing)} of {len(entries)} files do not exist below"
        f" {root}{far}:{shown}{more}",
        hint=f"is it another folder? {where.name}?images=DIR (--images DIR); or {SKIP_BAD}",
    )


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of an image file when turned as its EXIF data says, in pixels.

    Raises:
        DataError: it cannot be read.
    """
    with opened(path) as image:
        return _upright_size(image, path)


def _upright_size(image: Image.Image, path: Path) -> tuple[int, int]:
    from PIL import Image

    if image.format != "PNG" or any(mark in path.read_bytes() for mark in _PNG_MARKS):
        exif = image.getexif()
    else:
        # the reader of PNG files decodes all pixels to look for EXIF data behind them
        exif = Image.Image.getexif(image)
    width, height = image.size
    return (height, width) if exif.get(_ORIENTATION) in _TURNED else (width, height)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        return False
