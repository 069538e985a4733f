"""Folders `images` and `masks`: a mask beside each image, of the same stem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edge_scnet.data.folders import other_files, refuse_parts_of_images, relative, sibling
from edge_scnet.data.image_list import image_set
from edge_scnet.data.listing import SUFFIXES, images_below, listing
from edge_scnet.data.masks import mask_targets
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet
from edge_scnet.data.truth import UNKNOWN, Truth
from edge_scnet.errors import DataError

_IMAGES, _MASKS = "images", "masks"


def has_masks(reading: Reading, folders: Sequence[Path]) -> bool:
    """Whether masks lie beside the images: in a folder `masks`, or in one that was named.

    Of `images/val` it is `masks/val`.
    """
    names = {folder.name.lower() for folder in folders}
    if reading.setting("masks") is not None or {_IMAGES, _MASKS} <= names:
        return True
    beside = sibling(reading.path, _MASKS)
    if beside is None or reading.task == "detection":
        return False
    images = relative(reading.path, images_below(reading.path, set()))
    stems = {_stem(entry) for entry in _masks_below(beside)}
    return any(stem in stems or f"{stem}_mask" in stems for stem in map(_stem, images))


def open_mask_folders(reading: Reading) -> SampleSet:
    """The set of images with a mask each.

    Raises:
        DataError: no images, an image without a mask, or masks that do not fit.
    """
    root = reading.path
    folders = {folder.name.lower(): folder for folder in listing(root)[1]}
    inner = reading.folder("images") or folders.get(_IMAGES, root)
    masks = reading.folder("masks") or folders.get(_MASKS) or sibling(root, _MASKS) or root
    refuse_parts_of_images(reading, inner, masks)
    images = images_below(inner, set())
    if not images:
        raise DataError(
            f"no images in {inner}; allowed are {' '.join(SUFFIXES)}", hint=f"ls {inner}"
        )
    entries = relative(inner, images)
    truth = UNKNOWN
    if reading.wants_targets:
        paired = _paired(entries, masks, reading)
        rule = f"masks of {masks.name}, by name"
        truth = Truth(targets=mask_targets(masks, paired, rule, reading, images=images))
    found = image_set(inner, entries, reading, truth)
    name = "/".join(root.resolve().parts[-2:])
    return replace(found, name=name, ignored=other_files(listing(inner)[0]))


def _paired(entries: Sequence[str], masks: Path, reading: Reading) -> list[str]:
    """The mask of each image: of the same path but for the suffix.

    Raises:
        DataError: images without one; all are named up to 20.
    """
    by_stem = {_stem(entry): entry for entry in _masks_below(masks)}
    stems = [_stem(entry) for entry in entries]
    found = [by_stem.get(stem) or by_stem.get(f"{stem}_mask") for stem in stems]
    bare = [entry for entry, mask in zip(entries, found, strict=True) if mask is None]
    if bare:
        shown = "".join(f"\n  {entry}" for entry in bare[:20])
        raise DataError(
            f"{len(bare)} of {len(entries)} images have no mask of their name in {masks}:{shown}",
            hint="evaluate without masks: --ignore-labels; or name them after their images",
        )
    return [mask for mask in found if mask is not None]


def _stem(entry: str) -> str:
    return Path(entry).with_suffix("").as_posix()


def _masks_below(masks: Path) -> list[str]:
    return relative(masks, images_below(masks, set()))
