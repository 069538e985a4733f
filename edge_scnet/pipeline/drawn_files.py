"""Where drawings are written: found before anything runs, and no file of somebody else's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.files import make_folder, write_atomic
from edge_scnet.core.optional import require
from edge_scnet.errors import DataError, StorageError

if TYPE_CHECKING:
    from PIL import Image

# Of JPEG files and PNG files, the formats that are written.
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_MARK = "drawn by edge-scnet predict"
_JPEG_QUALITY = 92


def places_for(images: Sequence[Path], out: Path) -> list[Path]:
    """The file that each image's drawing is written to; folders are made.

    `out` is a file where its name ends in .png or .jpg and no folder has that name; else a folder,
    in which each drawing has its image's name, .png where the image is neither PNG nor JPEG.

    Raises:
        DataError: several images for one file, another format, or a file that is no drawing of
            this command, which is never overwritten.
        StorageError: the folder cannot be made or written.
    """
    places = _places(images, out)
    taken: dict[Path, Path] = {}
    originals = {image.resolve() for image in images}
    for image, place in zip(images, places, strict=True):
        other = taken.setdefault(place, image)
        if other is not image and other != image:
            raise DataError(
                f"{other} and {image} would both be drawn to {place}",
                hint="draw them in two calls, into two folders",
            )
        if place.resolve() in originals:
            raise DataError(
                f"--draw would overwrite the image {place}", hint="--draw another folder: drawn"
            )
        if (place.exists() or place.is_symlink()) and not _is_ours(place):
            raise DataError(
                f"{place} is there and is no drawing of edge-scnet's: it is not overwritten",
                hint=f"--draw {out.with_name('drawn')}, or remove it",
            )
    for folder in dict.fromkeys(place.parent for place in places):
        make_folder(folder)
    return places


def _places(images: Sequence[Path], out: Path) -> list[Path]:
    is_file = out.suffix.lower() in _FORMATS and not out.is_dir()
    if is_file and len(set(images)) > 1:
        raise DataError(
            f"--draw {out} is one file, and there are {len(set(images))} images",
            hint=f"name a folder: --draw {out.with_suffix('')}",
        )
    if is_file:
        return [out] * len(images)
    if out.exists() and not out.is_dir():
        raise DataError(
            f"--draw {out}: it is a file whose name does not end in .png or .jpg",
            hint=f"--draw {out.with_suffix('.png')}, or a folder",
        )
    if not out.exists() and len(out.suffix) > 1 and not out.suffix[1:].isdecimal():
        raise DataError(
            f"--draw {out}: drawings are written as .png or .jpg",
            hint=f"--draw {out.with_suffix('.png')}; of a folder that has a dot in its name: mkdir"
            f" {out}",
        )
    return [
        out / (image.name if image.suffix.lower() in _FORMATS else f"{image.name}.png")
        for image in images
    ]


def save(picture: Image.Image, place: Path) -> None:
    """Writes a drawing, whole or not at all, and marks it as one.

    Raises:
        StorageError: the folder cannot be written or the disk is full.
    """
    from PIL import PngImagePlugin

    kind = _FORMATS[place.suffix.lower()]
    with write_atomic(place) as temporary:
        if kind == "JPEG":
            picture.save(temporary, kind, quality=_JPEG_QUALITY, comment=_MARK.encode())
        else:
            info = PngImagePlugin.PngInfo()
            info.add_text("Software", _MARK)
            picture.save(temporary, kind, pnginfo=info)


def _is_ours(place: Path) -> bool:
    """Whether a file is a drawing of an earlier call.

    Raises:
        StorageError: it cannot be read.
    """
    require("PIL.Image", extra="cpu")
    from PIL import Image

    if place.is_symlink() or not place.is_file():
        return False
    try:
        with Image.open(place, formats=("PNG", "JPEG")) as image:
            mark = image.info.get("Software", image.info.get("comment"))
            return mark in (_MARK, _MARK.encode())
    except PermissionError as error:
        raise StorageError(
            f"cannot read {place}: {error.strerror}",
            hint=f"choose another place: --draw DIR; this one: ls -l {place}",
        ) from error
    except Exception:  # a damaged file makes Pillow's readers raise nearly anything
        return False
