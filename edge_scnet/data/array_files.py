"""Sets of `.npy` and `.npz` files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import arrays
from edge_scnet.data.held_truth import targets_of
from edge_scnet.data.idx import is_idx_images
from edge_scnet.data.labels import NO_LABELS
from edge_scnet.data.listing import SUFFIXES
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.errors import DataError


def arrays_among(path: Path, files: Sequence[Path], use: str) -> list[Path]:
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


def open_array_files(reading: Reading, files: Sequence[Path], model: ModelSpec) -> SampleSet:
    """The set of the samples in files of arrays.

    Raises:
        DataError: as `arrays.read_arrays`; or labels that the model has no classes for.
    """
    read = arrays.read_arrays(files, model)
    picked = list(spread(len(read.entries), reading.limit))
    labels = None if reading.ignore_labels or read.labels is None else read.labels
    count = reading.class_count
    if labels is not None and count and int(labels.max()) >= count:
        raise DataError(
            f"{reading.path} has labels up to {labels.max()}; the model has {count} classes, from"
            " 0",
            hint=NO_LABELS,
        )
    targets = None
    if reading.wants_targets and read.targets is not None:
        rows = [read.targets[i] for i in picked]
        targets = targets_of(rows, model, str(reading.path))
    return SampleSet(
        root=reading.path,
        kind="arrays",
        entries=tuple(read.entries[i] for i in picked),
        labels=None if labels is None else tuple(int(labels[i]) for i in picked),
        label_rule=None if labels is None else f"{arrays.LABELS} of the files",
        class_names=None if labels is None else model.classes or None,
        content_hashes=arrays.content_hashes(read.batch[picked]),
        arrays=read.batch[picked],
        targets=targets,
    )
