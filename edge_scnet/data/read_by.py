"""Files that a function of the user's reads into what the network takes: sound, and any other kind.

`sounds?read=package.module:spectrogram` calls the function with each file's path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.core.spec import ModelSpec
from edge_scnet.core.user_code import OBJECT, imported, place, user_code
from edge_scnet.data.arrays import check_memory
from edge_scnet.data.held import set_of
from edge_scnet.data.image_list import MOST_NAMED, SKIP_BAD, refuse_missing
from edge_scnet.data.iterables import Collected, Samples
from edge_scnet.data.labels import NO_LABELS, folder_labels
from edge_scnet.data.listed import listed_entries
from edge_scnet.data.listing import listing
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.data.truth import UNKNOWN, Truth
from edge_scnet.errors import DataError

_LITTER = ("thumbs.db", "desktop.ini")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    root: Path
    entries: Sequence[str]
    truth: Truth


def open_read(reading: Reading, model: ModelSpec) -> SampleSet:
    """The set of files that a function reads, in class folders, in one folder, or in a list.

    Args:
        reading: whose setting `read` names the function.

    A label or a target that it returns is the file's, where folders or the list say none.

    Raises:
        DataError: no files; the function fails, or what it returns does not fit the model.
    """
    function = _function(reading)
    files = _files(reading)
    picked = list(spread(len(files.entries), reading.limit))
    names = (model.input_name or "", *(item.name for item in model.more_inputs))
    inputs = names if len(names) > 1 else ()
    kept: list[int] = []
    items: list[Any] = []
    bad: list[DataError] = []
    for i in picked:
        path = files.root / files.entries[i]
        try:
            item = _read(function, path, reading)
        except DataError as error:
            if not reading.skip_bad:
                raise
            bad.append(error)
            continue
        kept.append(i)
        items.append(item)
        if len(items) == 1:
            _check_memory(item, inputs, len(picked), reading)
    if not items:
        raise DataError(
            f"none of the {len(picked)} files in {files.root} can be read; the first:"
            f" {bad[0].message}",
            hint=bad[0].hint,
        )
    where = reading.source.where
    collected: Collected = Samples(items, where, inputs=inputs).collect("samples")
    if reading.ignore_labels:
        collected = replace(collected, labels=None, targets=None)
    if collected.labels is None and collected.targets is None:
        found = _with_truth(set_of(collected, where, model, reading.role), files.truth, kept)
    else:
        _check_one_truth(files.truth, reading)
        found = set_of(collected, where, model, reading.role)
    return replace(
        found,
        name="",
        root=files.root,
        entries=tuple(files.entries[i] for i in kept),
        skipped=len(bad),
        unreadable=tuple(error.message for error in bad[:MOST_NAMED]),
    )


def _with_truth(samples: SampleSet, truth: Truth, kept: Sequence[int]) -> SampleSet:
    """The samples with what the folders or the list say of them."""
    labels, targets = truth.labels, truth.targets
    if targets is not None and kept != list(range(targets.count)):
        targets = targets.subset(kept)
    return replace(
        samples,
        labels=None if labels is None else tuple(labels.indices[i] for i in kept),
        label_rule=None if labels is None else labels.rule,
        class_names=None if labels is None else labels.names,
        targets=targets,
    )


def _check_one_truth(truth: Truth, reading: Reading) -> None:
    """Refuses labels or targets of the function where folders or a list say them too.

    Raises:
        DataError: says where the others are from.
    """
    if truth == UNKNOWN or reading.role == "calibration":
        return
    rule = truth.labels.rule if truth.labels is not None else "targets of the list"
    raise DataError(
        f"{reading.path}: {reading.setting('read')} returns a label or a target, and the source has"
        f" some too ({rule}); samples have one kind of ground truth",
        hint=f"let the function return the input alone; or {NO_LABELS}",
    )


def _function(reading: Reading) -> Any:
    name = reading.setting("read") or ""
    match = OBJECT.fullmatch(name)
    if match is None or match[3]:
        raise DataError(
            f"{reading.path}: read is {name!r}; package.module:function is needed",
            hint="the function is called with a path, and returns what the network takes",
        )
    return imported(match[1], match[2], raises=DataError)


def _files(reading: Reading) -> _Files:
    path = reading.path
    if path.is_file():
        root, entries, truth = listed_entries(reading)
        if not reading.skip_bad:
            refuse_missing(root, entries, where=path)
        return _Files(root=root, entries=entries, truth=truth)
    files, folders = listing(path)
    files = [file for file in files if file.name.lower() not in _LITTER]
    if files or not folders:
        if not files:
            raise DataError(f"no files in {path}", hint=f"ls {path}")
        return _Files(root=path, entries=[file.name for file in files], truth=UNKNOWN)
    classes = {folder.name: listing(folder)[0] for folder in folders}
    truth = UNKNOWN
    if not reading.ignore_labels:
        labels = folder_labels(path, list(classes), model=reading.model, role=reading.role)
        indices = [
            index
            for index, below in zip(labels.indices, classes.values(), strict=True)
            for _ in below
        ]
        truth = Truth(labels=replace(labels, indices=tuple(indices)))
    entries = [file.relative_to(path).as_posix() for below in classes.values() for file in below]
    if not entries:
        raise DataError(f"no files in {path} and its {len(folders)} folders", hint=f"ls {path}/*")
    return _Files(root=path, entries=entries, truth=truth)


def _read(function: Any, path: Path, reading: Reading) -> Any:
    """What the function makes of a file: an item as `iterables` has them."""
    if not path.is_file():
        raise DataError(f"cannot read {path}: it is not a regular file", hint=SKIP_BAD)
    hint = f"{reading.setting('read')} is called with the path, and returns an array; {SKIP_BAD}"
    try:
        with user_code(f"cannot read {path}", hint=hint, raises=DataError):
            return function(path)
    except DataError as error:
        cause = error.__cause__
        raise DataError(f"{error.message}{place(cause) if cause else ''}", hint=hint) from cause


def _check_memory(item: Any, inputs: Sequence[str], count: int, reading: Reading) -> None:
    """Refuses more samples than fit into memory, by the size of the first."""
    arrays = Samples([item], reading.source.where, inputs=inputs).first.arrays
    size = count * sum(array.nbytes for array in arrays.values())
    check_memory(
        size, f"{reading.path}: {count} samples", hint="list fewer: a .csv with their paths"
    )
