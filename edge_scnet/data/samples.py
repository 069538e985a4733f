"""Lists of samples: class folders, flat folders, idx files.

What a folder of samples means is decided here: which files are samples, in which order, and with
which hash. Their labels are in `labels.py`, their pixels in `images.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge_scnet.core.files import sha256_file
from edge_scnet.core.resources import bundled
from edge_scnet.core.targets import Targets
from edge_scnet.data import arrays
from edge_scnet.data.idx import is_idx_images, labels_path_of, read_idx, read_pair
from edge_scnet.data.images import opened, to_uint8
from edge_scnet.data.labels import NO_LABELS, Labels, Role, folder_labels, known_classes
from edge_scnet.data.listing import SUFFIXES, contents, images_below, no_images
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec

MIN_CALIBRATION, FEW_CALIBRATION = 100, 300

SKIP_BAD = "leave unreadable images out, and count them: --skip-bad"
_OPTION = {"calibration": "--calib", "evaluation": "--eval"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Samples in a fixed order.

    The files of a folder are read as needed; the pixels of an idx file are held (a few MB).
    """

    # by default the last two parts of the folder's path
    name: str = ""
    root: Path
    kind: Literal["idx", "folder", "arrays"]
    # path below root, or the index in the idx file or in the arrays
    entries: tuple[str, ...]
    # indices into the model's outputs
    labels: tuple[int, ...] | None
    # how labels were found, for reports
    label_rule: str | None
    # what the labels index; None: nobody named the classes
    class_names: tuple[str, ...] | None
    # sha256 of the file's bytes, or of the pixels in an idx file
    content_hashes: tuple[str, ...]
    # sha256 of content hashes in order, and labels
    hash: str = field(init=False)
    # unreadable images that were left out
    skipped: int = 0
    # uint8 N x H x W of an idx set
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)
    # of a folder's images, in pixels
    short_sides: tuple[int, ...] = ()
    # what the network is fed with, of a set of arrays: a batch as `core.feeds` has them
    arrays: np.ndarray | None = field(default=None, repr=False, compare=False)
    # ground truth other than one class a sample
    targets: Targets | None = field(default=None, repr=False, compare=False)
    # width and height of a folder's images, upright, in pixels
    image_sizes: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        labels = None if self.labels is None else list(self.labels)
        digest = hashlib.sha256("\n".join(self.content_hashes).encode())
        digest.update(f"\nlabels {labels}".encode())
        if self.targets is not None:
            digest.update(f"\n{self.targets.kind} {self.targets.hash}".encode())
        if not self.name:
            object.__setattr__(self, "name", "/".join(self.root.resolve().parts[-2:]))
        object.__setattr__(self, "hash", digest.hexdigest())

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
    """Lists the samples of a folder.

    It holds sub-folders of images, one per class; or images (no labels); or one pair of idx files.
    Hidden files (macOS writes `._x.jpg`) and other suffixes are no samples; class folders are
    searched to any depth. Every image's header is read here, its pixels later: `load_pixels`
    refuses a file that is cut short, by name.

    Args:
        model: whose classes the labels are (`labels.folder_labels`); None: unknown.
        skip_bad: decodes every image once here, and leaves out and counts those that cannot be, so
            that all engines see the same list.
        ignore_labels: leaves labels out.
        limit: takes that many, evenly spaced over the sorted list: of sorted classes the first N
            would be one class.

    Raises:
        DataError: no such folder, nothing usable in it, images beside class folders, labels that do
            not fit the model, an unreadable image or idx file.
    """
    if limit is not None and limit < 1:
        raise DataError(f"a limit of {limit} leaves no sample; at least 1")
    use = (
        f"{_OPTION[role]} DIR: a folder of images, of class folders of images, of one pair of idx"
        " files, or of .npy or .npz files"
    )
    if not path.exists():
        raise DataError(f"the {role} folder {path} does not exist", hint=use)
    files, folders = contents(path, role, use)
    if model is not None:
        if of_arrays := _arrays_among(path, files, use):
            return _open_arrays(path, of_arrays, model, ignore_labels=ignore_labels, limit=limit)
        _check_takes_pictures(path, model, role)
    if any(is_idx_images(file) for file in files):
        images_path = _only_idx_file(path, files)
        return _open_idx(images_path, model, role, ignore_labels=ignore_labels, limit=limit)

    flat = [file for file in files if file.suffix.lower() in SUFFIXES]
    classes = {folder.name: images_below(folder, set()) for folder in folders}
    if not flat and not any(classes.values()):
        raise no_images(path, role, files, folders, use)
    if flat and any(classes.values()):
        raise DataError(
            f"{path} has {len(flat)} images (such as {flat[0].name}) beside class folders (such as"
            f" {folders[0].name}): either all images are in class folders or none is",
            hint=f"mkdir {path}-flat && mv {path}/*{flat[0].suffix} {path}-flat/",
        )
    if flat:
        return _read_headers(path, flat, None, skip_bad=skip_bad, limit=limit)
    labels = None
    if not ignore_labels:
        by_folder = folder_labels(path, list(classes), model=model, role=role)
        labels = replace(
            by_folder,
            indices=tuple(
                index
                for index, images in zip(by_folder.indices, classes.values(), strict=True)
                for _ in images
            ),
        )
    images = [image for below in classes.values() for image in below]
    return _read_headers(path, images, labels, skip_bad=skip_bad, limit=limit)


def _arrays_among(path: Path, files: list[Path], use: str) -> list[Path]:
    """The files of arrays; none where there are idx files, which they may be kept beside.

    Raises:
        DataError: there are images too.
    """
    found = [file for file in files if file.suffix in arrays.SUFFIXES]
    if not found or any(map(is_idx_images, files)):
        return []
    images = [file.name for file in files if file.suffix.lower() in SUFFIXES]
    if images:
        raise DataError(
            f"{path} has arrays ({found[0].name}) beside images ({images[0]}): one kind of samples"
            " is allowed",
            hint=use,
        )
    return found


def _check_takes_pictures(path: Path, model: ModelSpec, role: Role) -> None:
    """Refuses pictures for a model that they cannot feed.

    Raises:
        DataError: says what it takes.
    """
    if model.takes_pictures:
        return
    more = f" and {len(model.more_inputs)} more inputs" if model.more_inputs else ""
    raise DataError(
        f"{model.name} takes {' x '.join(map(str, model.input_shape))}{more}, which pictures in"
        f" {path} cannot fill",
        hint=f"{_OPTION[role]} DIR with .npy or .npz files: samples along the first axis",
    )


def in_memory(batch: np.ndarray, name: str, labels: Sequence[int] | None = None) -> SampleSet:
    """The set of samples that the caller holds.

    Args:
        batch: as `core.feeds` has them.
        name: of the set, for reports.
    """
    return SampleSet(
        name=name,
        root=Path(name),
        kind="arrays",
        entries=tuple(f"{name}[{i}]" for i in range(len(batch))),
        labels=None if labels is None else tuple(int(label) for label in labels),
        label_rule=None if labels is None else "given with the samples",
        class_names=None,
        content_hashes=arrays.content_hashes(batch),
        arrays=batch,
    )


def subset(samples: SampleSet, count: int) -> SampleSet:
    """As many of the samples, evenly spaced, or all of them; the set has a hash of its own."""
    picked = _spread(len(samples), count)
    labels, pixels, sides = samples.labels, samples.pixels, samples.short_sides
    return replace(
        samples,
        entries=tuple(samples.entries[i] for i in picked),
        content_hashes=tuple(samples.content_hashes[i] for i in picked),
        labels=None if labels is None else tuple(labels[i] for i in picked),
        skipped=0,
        pixels=None if pixels is None else pixels[list(picked)],
        short_sides=tuple(sides[i] for i in picked) if sides else (),
        arrays=None if samples.arrays is None else samples.arrays[list(picked)],
        targets=None if samples.targets is None else samples.targets.subset(picked),
        image_sizes=tuple(samples.image_sizes[i] for i in picked) if samples.image_sizes else (),
    )


def bundled_sets(dataset: str) -> tuple[Path, Path]:
    """The (calibration, evaluation) folders of a data set that ships with the package.

    Raises:
        DataError: no such set.
    """
    folder = bundled("calib_data") / dataset
    if not (dataset and (folder / "calib").is_dir() and (folder / "eval").is_dir()):
        names = ", ".join(sorted(f.parent.name for f in bundled("calib_data").glob("*/calib")))
        hint = "bring your own: edge-scnet build --calib DIR --eval DIR"
        raise DataError(
            f"no data set {dataset!r} ships with edge-scnet; there is {names}", hint=hint
        )
    return folder / "calib", folder / "eval"


def _read_headers(
    root: Path, images: list[Path], labels: Labels | None, *, skip_bad: bool, limit: int | None
) -> SampleSet:
    """The set of a folder's images.

    Args:
        labels: of each image.
    """
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
    return SampleSet(
        root=root,
        kind="folder",
        entries=tuple(images[i].relative_to(root).as_posix() for i in kept),
        labels=None if labels is None else tuple(labels.indices[i] for i in kept),
        label_rule=None if labels is None else labels.rule,
        class_names=None if labels is None else labels.names,
        content_hashes=tuple(hashes),
        skipped=len(picked) - len(kept),
        short_sides=tuple(short_sides),
    )


def _open_arrays(
    root: Path, files: list[Path], model: ModelSpec, *, ignore_labels: bool, limit: int | None
) -> SampleSet:
    """The set of the samples in files of arrays."""
    read = arrays.read_arrays(files, model)
    picked = list(_spread(len(read.entries), limit))
    labels = None if ignore_labels or read.labels is None else read.labels
    _, count = known_classes(model)
    if labels is not None and count and int(labels.max()) >= count:
        raise DataError(
            f"{root} has labels up to {labels.max()}; the model has {count} classes, from 0",
            hint=NO_LABELS,
        )
    return SampleSet(
        root=root,
        kind="arrays",
        entries=tuple(read.entries[i] for i in picked),
        labels=None if labels is None else tuple(int(labels[i]) for i in picked),
        label_rule=None if labels is None else f"{arrays.LABELS} of the files",
        class_names=None if labels is None else model.classes or None,
        content_hashes=arrays.content_hashes(read.batch[picked]),
        arrays=read.batch[picked],
    )


def _only_idx_file(root: Path, files: list[Path]) -> Path:
    """The idx file of images among `files`, of which there is at least one."""
    idx_files = [file for file in files if is_idx_images(file)]
    if len(idx_files) > 1:
        raise DataError(
            f"{root} has {len(idx_files)} idx files of images:"
            f" {', '.join(file.name for file in idx_files)}; one pair is allowed",
            hint=(
                f"give each pair its own folder: mkdir {root}/eval && mv {root}/t10k-* {root}/eval/"
            ),
        )
    return idx_files[0]


def _open_idx(
    images_path: Path,
    model: ModelSpec | None,
    role: Role,
    *,
    ignore_labels: bool,
    limit: int | None,
) -> SampleSet:
    """The set of an idx file of images and of its labels, if there are any."""
    labels_path = labels_path_of(images_path)
    images, labels = _read_idx_files(images_path, labels_path, role, ignore_labels=ignore_labels)
    names, count = known_classes(model)
    if labels is not None and count and int(labels.max()) >= count:
        if role == "evaluation":
            raise DataError(
                f"{labels_path} has labels up to {labels.max()}; the model has {count} classes,"
                " from 0",
                hint=NO_LABELS,
            )
        names = ()
    picked = _spread(len(images), limit)
    return SampleSet(
        root=images_path.parent,
        kind="idx",
        entries=tuple(str(i) for i in picked),
        labels=None if labels is None else tuple(int(labels[i]) for i in picked),
        label_rule=None if labels is None else "labels of the idx file",
        class_names=None if labels is None else names or None,
        content_hashes=tuple(hashlib.sha256(images[i].data).hexdigest() for i in picked),
        pixels=images if len(picked) == len(images) else images[list(picked)],
    )


def _read_idx_files(
    images_path: Path, labels_path: Path, role: Role, *, ignore_labels: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 N x H x W, and N labels or None."""
    if not ignore_labels:
        if labels_path.is_file():
            return read_pair(images_path, labels_path)
        if role == "evaluation":
            raise DataError(
                f"{images_path} has no labels beside it: {labels_path.name} is missing",
                hint=NO_LABELS,
            )
    images = read_idx(images_path)
    if images.ndim != 3 or not images.size:
        raise DataError(f"{images_path} holds {images.shape}; wanted N x H x W")
    return images, None


def _spread(count: int, limit: int | None) -> Sequence[int]:
    """The indices of `limit` samples out of `count`, evenly spaced; of all without a limit."""
    if limit is None or limit >= count:
        return range(count)
    return [i * count // limit for i in range(limit)]
