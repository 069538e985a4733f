"""Sample lists: class folders, flat folders, idx files.

Owns what a folder of samples means (classes, labels, fingerprint) and the checks on sets: counts,
copies, overlap. Pixels and preprocessing are `images.py`'s. Knows nothing of engines, statistics or
reports.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_scnet.core.files import sha256_file
from edge_scnet.core.resources import bundled
from edge_scnet.data.idx import is_idx_images, labels_path_of, read_idx, read_pair
from edge_scnet.data.images import opened, to_uint8
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

Role = Literal["calibration", "evaluation"]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm", ".ppm")
MIN_CALIBRATION, FEW_CALIBRATION = 100, 300

SORTED_RULE = "folders in sorted order are the classes"
_NO_LABELS = "evaluate without labels: --ignore-labels"
SKIP_BAD = "leave unreadable images out, and count them: --skip-bad"
_OPTION = {"calibration": "--calib", "evaluation": "--eval"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Samples in a fixed order. Folders are read as needed; the pixels of an idx file are held (a
    few MB).
    """

    name: str
    root: Path
    kind: Literal["idx", "folder"]
    entries: tuple[str, ...]  # path below root, or the index in the idx file
    labels: tuple[int, ...] | None  # indices into the model's outputs
    label_rule: str | None  # how labels were found, for reports
    class_names: tuple[str, ...] | None  # what the labels index; None where nobody named them
    content_hashes: tuple[str, ...]  # sha256 of the file's bytes, or of the pixels in an idx file
    hash: str  # sha256 of content hashes in order, and labels
    skipped: int  # unreadable images left out under skip_bad
    pixels: np.ndarray | None = field(
        default=None, repr=False, compare=False
    )  # uint8 N x H x W of an idx set
    short_sides: tuple[int, ...] = ()  # of a folder's images, in pixels

    def __len__(self) -> int:
        return len(self.entries)


def open_samples(
    path: Path,
    *,
    model: ModelSpec | None,
    role: Role,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    limit: int | None = None,
) -> SampleSet:
    """Lists a folder: sub-folders of images, one per class; a flat folder of images (no labels); or
    one pair of idx files.

    Every image's header is read here, its pixels later: a file cut short is refused by
    `load_pixels`, by name. With `skip_bad` every image is decoded once here, and those that cannot
    be are left out and counted, so all engines see the same list. `limit` takes that many, evenly
    spaced over the sorted list: of sorted classes the first N would be one class. Hidden files
    (macOS writes `._x.jpg`) and other suffixes are no samples; class folders are searched to any
    depth.

    Labels of class folders, the first rule that fits: folder names are class names (case and
    punctuation aside: no folder can be called `T-shirt/top`), some or all of them; folder names are
    class indices; as many folders as classes, in sorted order (torchvision's ImageFolder). Where
    even the number of classes is unknown: indices, else sorted order; the caller then holds the
    labels to the number of outputs. For calibration labels only tell which classes are covered and
    never fail.

    Raises:
        DataError: no such folder, nothing usable in it, images beside class folders, labels that do
            not fit the model, an unreadable image or idx file.
    """
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} leaves no sample; at least 1")
    use = (
        f"{_OPTION[role]} DIR: a folder of images, of class folders of images, or of one pair of"
        " idx files"
    )
    if not path.exists():
        raise DataError(f"the {role} folder {path} does not exist", hint=use)
    if not path.is_dir():
        raise DataError(f"the {role} set {path} is a file, not a folder", hint=use)
    files, folders = _listing(path)
    if any(is_idx_images(file) for file in files):
        return _open_idx(path, files, model, role, ignore_labels=ignore_labels, limit=limit)

    flat = [file for file in files if file.suffix.lower() in SUFFIXES]
    classes = [(folder.name, _images_below(folder, set())) for folder in folders]
    if not flat and not any(images for _, images in classes):
        others = sorted({file.suffix or file.name for file in files})
        found = (
            f"{len(files)} files ({', '.join(others[:5])}), {len(folders)} folders"
            if files or folders
            else "it is empty"
        )
        raise DataError(
            f"no images in the {role} folder {path}: {found}; allowed are {' '.join(SUFFIXES)}",
            hint=use,
        )
    if flat and any(images for _, images in classes):
        raise DataError(
            f"{path} has {len(flat)} images (such as {flat[0].name}) beside class folders (such as"
            f" {folders[0].name}): either all images are in class folders or none is",
            hint=f"mkdir {path}-flat && mv {path}/*{flat[0].suffix} {path}-flat/",
        )

    images = flat or [image for _, below in classes for image in below]
    labels: list[int] | None = None
    rule = names = None
    if not flat and not ignore_labels:
        indices, rule, names = _folder_labels(path, [name for name, _ in classes], model, role)
        labels = [index for index, (_, below) in zip(indices, classes, strict=True) for _ in below]
    return _read_headers(path, images, labels, rule, names, skip_bad=skip_bad, limit=limit)


def subset(samples: SampleSet, count: int) -> SampleSet:
    """So many of the samples, evenly spaced, or all; its hash is its own."""
    picked = _spread(len(samples), count)
    return _sample_set(
        samples.root,
        samples.kind,
        [samples.entries[i] for i in picked],
        [samples.content_hashes[i] for i in picked],
        None if samples.labels is None else [samples.labels[i] for i in picked],
        samples.label_rule,
        samples.class_names,
        pixels=None if samples.pixels is None else samples.pixels[list(picked)],
        short_sides=[samples.short_sides[i] for i in picked] if samples.short_sides else (),
    )


def bundled_sets(dataset: str) -> tuple[Path, Path]:
    """The (calibration, evaluation) folders of a data set that ships with the package.

    Raises:
        DataError: no such set.
    """
    folder = bundled("calib_data") / dataset
    if not (dataset and (folder / "calib").is_dir() and (folder / "eval").is_dir()):
        known = ", ".join(sorted(f.parent.name for f in bundled("calib_data").glob("*/calib")))
        hint = "bring your own: edge-scnet build --calib DIR --eval DIR"
        raise DataError(
            f"no data set {dataset!r} ships with edge-scnet; there is {known}", hint=hint
        )
    return folder / "calib", folder / "eval"


def _listing(folder: Path) -> tuple[list[Path], list[Path]]:
    """(files, folders) sorted by name, without hidden ones. A broken link is a file: reading it
    fails by name.
    """
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        folders = [entry for entry in entries if entry.is_dir()]
    except OSError as error:
        raise DataError(
            f"cannot read folder {folder}: {error.strerror or error}", hint=f"ls -ld {folder}"
        ) from error
    return [entry for entry in entries if entry not in set(folders)], folders


def _images_below(folder: Path, seen: set[Path]) -> list[Path]:
    """Links to folders are followed, as torchvision does, but none twice: a link upwards would
    never end.
    """
    real = folder.resolve()
    if real in seen:
        return []
    seen.add(real)
    files, folders = _listing(folder)
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    return images + [image for inner in folders for image in _images_below(inner, seen)]


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "_", name.casefold())


def _folder_labels(
    root: Path, folders: list[str], model: ModelSpec | None, role: Role
) -> tuple[list[int], str, tuple[str, ...] | None]:
    """Class index per folder, the rule that gave it, and the names the indices stand for; the rules
    are `open_samples`'.
    """
    names, count = _classes(model)
    index = {_plain(name): i for i, name in enumerate(names)}
    wanted = [_plain(name) for name in folders]
    if len(index) == len(names) and len(set(wanted)) == len(wanted) and set(wanted) <= set(index):
        return [index[name] for name in wanted], "folder names are class names", names
    if all(name.isascii() and name.isdecimal() for name in folders):
        numbers = [int(name) for name in folders]
        if not count or max(numbers) < count:
            return numbers, "folder names are class indices", names or None
    if not count or len(folders) == count:
        return list(range(len(folders))), SORTED_RULE, names or tuple(folders)
    if role == "calibration":
        return list(range(len(folders))), "folder names", tuple(folders)
    assert model is not None
    strange = next((name for name in folders if _plain(name) not in index), folders[0])
    allowed = (
        ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
        if names
        else f"0 to {count - 1}"
    )
    raise DataError(
        f"{root} has {len(folders)} class folders and {model.name} has {count} classes; the folder"
        f" {strange!r} is not one of them: {allowed}",
        hint=(
            f"name the folders after the classes, or by index from 0 to {count - 1}; or is it"
            f" --num-classes {len(folders)}? or {_NO_LABELS}"
        ),
    )


def _classes(model: ModelSpec | None) -> tuple[tuple[str, ...], int]:
    """Class names, empty where nobody named them, and the number of classes, 0 where unknown."""
    return (
        ((), 0) if model is None else (model.classes, len(model.classes) or model.num_classes or 0)
    )


def _read_headers(
    root: Path,
    images: list[Path],
    labels: list[int] | None,
    rule: str | None,
    names: tuple[str, ...] | None,
    *,
    skip_bad: bool,
    limit: int | None,
) -> SampleSet:
    kept, hashes, short_sides, first_bad = [], [], [], None
    picked = _spread(len(images), limit)
    for i in picked:
        try:
            with opened(images[i]) as image:
                if skip_bad:
                    to_uint8(image, 3)
                hashes.append(sha256_file(images[i]))
                short_sides.append(min(image.size))
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
    return _sample_set(
        root,
        "folder",
        [images[i].relative_to(root).as_posix() for i in kept],
        hashes,
        None if labels is None else [labels[i] for i in kept],
        rule,
        names,
        skipped=len(picked) - len(kept),
        short_sides=short_sides,
    )


def _open_idx(
    root: Path,
    files: list[Path],
    model: ModelSpec | None,
    role: Role,
    *,
    ignore_labels: bool,
    limit: int | None,
) -> SampleSet:
    found = [file for file in files if is_idx_images(file)]
    if len(found) > 1:
        raise DataError(
            f"{root} has {len(found)} idx files of images:"
            f" {', '.join(file.name for file in found)}; one pair is allowed",
            hint=(
                f"give each pair its own folder: mkdir {root}/eval && mv {root}/t10k-* {root}/eval/"
            ),
        )
    labels_path = labels_path_of(found[0])
    unlabelled = ignore_labels or (role == "calibration" and not labels_path.is_file())
    if not unlabelled and not labels_path.is_file():
        raise DataError(
            f"{found[0]} has no labels beside it: {labels_path.name} is missing", hint=_NO_LABELS
        )
    images, all_labels = (
        read_pair(found[0], labels_path) if not unlabelled else (read_idx(found[0]), None)
    )
    if images.ndim != 3 or not images.size:
        raise DataError(f"{found[0]} holds {images.shape}; wanted N x H x W")
    names, count = _classes(model)
    if all_labels is not None and count and int(all_labels.max()) >= count:
        if role == "evaluation":
            raise DataError(
                f"{labels_path} has labels up to {all_labels.max()}; the model has {count} classes,"
                " from 0",
                hint=_NO_LABELS,
            )
        names = ()
    picked = _spread(len(images), limit)
    return _sample_set(
        root,
        "idx",
        [str(i) for i in picked],
        [hashlib.sha256(images[i].data).hexdigest() for i in picked],
        None if all_labels is None else [int(all_labels[i]) for i in picked],
        None if all_labels is None else "labels of the idx file",
        (names or None) if all_labels is not None else None,
        pixels=images if len(picked) == len(images) else images[list(picked)],
    )


def _spread(count: int, limit: int | None) -> range | list[int]:
    return (
        range(count)
        if limit is None or limit >= count
        else [i * count // limit for i in range(limit)]
    )


def _sample_set(
    root: Path,
    kind: Literal["idx", "folder"],
    entries: list[str],
    hashes: list[str],
    labels: list[int] | None,
    rule: str | None,
    names: tuple[str, ...] | None,
    *,
    skipped: int = 0,
    pixels: np.ndarray | None = None,
    short_sides: Sequence[int] = (),
) -> SampleSet:
    digest = hashlib.sha256("\n".join(hashes).encode())
    digest.update(f"\nlabels {labels}".encode())
    return SampleSet(
        name="/".join(root.resolve().parts[-2:]),
        root=root,
        kind=kind,
        entries=tuple(entries),
        labels=None if labels is None else tuple(labels),
        label_rule=rule,
        class_names=names,
        content_hashes=tuple(hashes),
        hash=digest.hexdigest(),
        skipped=skipped,
        pixels=pixels,
        short_sides=tuple(short_sides),
    )
