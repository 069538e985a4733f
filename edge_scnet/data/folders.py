"""Folders of images: one per class, or one of unlabelled images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from edge_scnet.data.image_list import image_set
from edge_scnet.data.labels import folder_labels
from edge_scnet.data.listing import SUFFIXES, images_below, listing, no_images
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.truth import Truth
from edge_scnet.errors import DataError

# folders of the parts of a data set, by what each is for
_PARTS = {
    "calibration": ("train", "training"),
    "evaluation": ("val", "valid", "validation", "test", "testing", "eval"),
}
_ALL_PARTS = frozenset(part for parts in _PARTS.values() for part in parts)
# folders of images beside their annotations
_PICTURES = frozenset(("images", "jpegimages", "imgs"))
# what systems leave in folders
_LITTER = ("thumbs.db", "desktop.ini")


def open_folder(reading: Reading, use: str) -> SampleSet:
    """The set of a folder of images or of class folders.

    Raises:
        DataError: it has no images, some beside class folders, or parts of a data set; labels that
            do not fit the model; an unreadable image.
    """
    root = reading.path
    files, folders = listing(root)
    flat = [file for file in files if file.suffix.lower() in SUFFIXES]
    classes = {folder.name: images_below(folder, set()) for folder in folders}
    _refuse_parts(reading, [name for name, images in classes.items() if images])
    if not flat and not any(classes.values()):
        raise no_images(root, reading.role, files, folders, use)
    if flat and any(classes.values()):
        raise DataError(
            f"{root} has {len(flat)} images (such as {flat[0].name}) beside class folders (such as"
            f" {folders[0].name}): either all images are in class folders or none is",
            hint=f"mkdir {root}-flat && mv {root}/*{flat[0].suffix} {root}-flat/",
        )
    truth = Truth()
    if not flat and not reading.ignore_labels:
        by_folder = folder_labels(root, list(classes), model=reading.model, role=reading.role)
        sizes = [len(images) for images in classes.values()]
        indices = [
            index for index, size in zip(by_folder.indices, sizes, strict=True) for _ in range(size)
        ]
        truth = Truth(labels=replace(by_folder, indices=tuple(indices)))
    images = flat or [image for below in classes.values() for image in below]
    found = image_set(root, relative(root, images), reading, truth)
    return replace(found, ignored=other_files(files if flat else _files_below(root, set())))


def relative(root: Path, files: Iterable[Path]) -> list[str]:
    """The paths of files below a folder, as entries of a set."""
    return [file.relative_to(root).as_posix() for file in files]


def other_files(files: Iterable[Path]) -> tuple[tuple[str, int], ...]:
    """The number of files that are no images, by suffix, the most first."""
    kinds = (
        file.suffix.lower() or file.name
        for file in files
        if file.suffix.lower() not in SUFFIXES and file.name.lower() not in _LITTER
    )
    return tuple(sorted(Counter(kinds).items(), key=lambda item: (-item[1], item[0])))


def _refuse_parts(reading: Reading, folders: Sequence[str]) -> None:
    """Refuses a folder whose sub-folders are parts of a data set, and not classes.

    Args:
        folders: those that have images.

    Raises:
        DataError: the hint names the part that is meant, or a file that lists the images.
    """
    lower = {folder.lower() for folder in folders}
    if not lower or lower <= {name.lower() for name in reading.class_names}:
        return
    if lower <= _PICTURES:
        found = sorted((*reading.path.glob("*.json"), *reading.path.glob("annotations/*.json")))
        named = found or [reading.path / folders[0]]
        raise DataError(
            f"{reading.path} has images in {' and '.join(folders)}, which is no class",
            hint=f"name the images or the file that lists them: {reading.option} {named[0]}",
        )
    if not lower <= _ALL_PARTS:
        return
    wanted = [name for name in folders if name.lower() in _PARTS[reading.role]] or list(folders)
    raise DataError(
        f"{reading.path} holds the parts of a data set, {' and '.join(folders)}: they are no"
        " classes",
        hint=f"name the part: {reading.option} {reading.path / wanted[0]}",
    )


def sibling(root: Path, name: str) -> Path | None:
    """The folder whose path has `name` where that of a folder has `images`; None: there is none."""
    parts = list(root.resolve().parts)
    if "images" not in parts:
        return None
    parts[len(parts) - 1 - parts[::-1].index("images")] = name
    found = Path(*parts)
    return found if found.is_dir() else None


def refuse_parts_of_images(reading: Reading, images: Path, truth: Path) -> None:
    """Refuses a folder `images` of the parts of a data set: they would be judged as one set.

    Args:
        images: the folder of the images.
        truth: the folder of their labels or masks.

    Raises:
        DataError: the hint names the part that is meant.
    """
    folders = [folder.name for folder in listing(images)[1] if images_below(folder, set())]
    parts = [name for name in folders if name.lower().rstrip("0123456789_-") in _ALL_PARTS]
    if len(parts) < 2:
        return
    wanted = [n for n in parts if n.lower().rstrip("0123456789_-") in _PARTS[reading.role]] or parts
    command = f"{reading.option} {images / wanted[0]}"
    if reading.setting("images") or reading.setting("masks"):
        command += f"?masks={(truth / wanted[0]).resolve()}"
    raise DataError(
        f"{images} holds the parts of a data set, {' and '.join(parts)}: they are no one set",
        hint=f"name the part: {command}",
    )


def _files_below(folder: Path, seen: set[Path]) -> list[Path]:
    real = folder.resolve()
    if real in seen:
        return []
    seen.add(real)
    files, folders = listing(folder)
    return files + [file for inner in folders for file in _files_below(inner, seen)]
