"""Sets of a pair of idx files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.data.idx import is_idx_images, labels_path_of, read_idx, read_pair
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.errors import DataError


def open_idx(reading: Reading, files: Sequence[Path]) -> SampleSet:
    """The set of an idx file of images and of its labels, if there are any.

    Args:
        files: with at least one idx file of images among them.

    Raises:
        DataError: several pairs; as `idx.read_pair`; or labels that do not fit the model.
    """
    images_path = _only_file(reading.path, files)
    labels_path = labels_path_of(images_path)
    images, labels = _read_files(images_path, labels_path, reading)
    names, count = reading.class_names, reading.class_count
    if labels is not None and count and int(labels.max()) >= count:
        if reading.role == "evaluation":
            raise DataError(
                f"{labels_path} has labels up to {labels.max()}; the model has {count} classes,"
                " from 0",
                hint=NO_LABELS,
            )
        names = ()
    picked = spread(len(images), reading.limit)
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


def _only_file(root: Path, files: Sequence[Path]) -> Path:
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


def _read_files(
    images_path: Path, labels_path: Path, reading: Reading
) -> tuple[np.ndarray, np.ndarray | None]:
    """uint8 N x H x W, and N labels or None."""
    if not reading.ignore_labels:
        if labels_path.is_file():
            return read_pair(images_path, labels_path)
        if reading.role == "evaluation":
            raise DataError(
                f"{images_path} has no labels beside it: {labels_path.name} is missing",
                hint=NO_LABELS,
            )
    images = read_idx(images_path)
    if images.ndim != 3 or not images.size:
        raise DataError(f"{images_path} holds {images.shape}; wanted N x H x W")
    return images, None
