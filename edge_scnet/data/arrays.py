"""Sample sets of arrays: `.npy` and `.npz` files, and arrays in memory.

A file holds many samples, along the first axis, as the network takes them: nothing is preprocessed.
An `.npz` has an array for each input, by name, and may have one called `labels`, a class index for
each sample, or one called `targets`: numbers, 0 and 1, points or a mask for each.
"""

from __future__ import annotations

import functools
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.feeds import batch_of_arrays, first_type
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.errors import DataError
from edge_scnet.machine.memory import total_memory_bytes

SUFFIXES = (".npy", ".npz")
LABELS, TARGETS = "labels", "targets"
# what ground truth is called beside the inputs: one class a sample, or anything else
LABEL_KEYS = (LABELS, "label")
TARGET_KEYS = (TARGETS, "target")
# of the machine's memory, that samples may take
_SHARE = 0.5
# What the first input is called where it has no name of its own in the spec.
_FIRST = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """The samples of a set of arrays."""

    # a batch as `core.feeds` has them, of all samples
    batch: np.ndarray
    # by sample
    labels: np.ndarray | None
    # ground truth that is no class index, by sample
    targets: list[np.ndarray] | None
    # where each is from
    entries: tuple[str, ...]


def read_arrays(files: Sequence[Path], model: ModelSpec) -> Arrays:
    """Reads the samples of files, one behind the other.

    Raises:
        DataError: a file that cannot be read, lacks an input, or whose arrays do not fit it; some
            files have labels and some have none.
    """
    batches, labels, entries = [], [], []
    targets: list[np.ndarray | None] = []
    for file in files:
        arrays = _contents(file, model)
        found = arrays.pop(LABELS, None) if LABELS not in _wanted(model) else None
        of_file = arrays.pop(TARGETS, None) if TARGETS not in _wanted(model) else None
        batch = batch_of(arrays, model, str(file))
        if of_file is not None and (not of_file.ndim or len(of_file) != len(batch)):
            raise DataError(
                f"{file}: {TARGETS} is {of_file.shape} for {len(batch)} samples; a row each is"
                " needed"
            )
        targets.append(of_file)
        if found is not None and (found.ndim != 1 or len(found) != len(batch)):
            raise DataError(
                f"{file}: {LABELS} is {found.shape} for {len(batch)} samples; one number each is"
                " needed"
            )
        if found is not None:
            found = _whole(found, str(file))
        batches.append(batch)
        labels.append(found)
        entries += [f"{file.name}[{i}]" for i in range(len(batch))]
    for name, given in ((LABELS, labels), (TARGETS, targets)):
        bare = [file.name for file, found in zip(files, given, strict=True) if found is None]
        if 0 < len(bare) < len(files):
            raise DataError(
                f"{bare[0]} has no array {name!r}, other files have one: label all or none"
            )
    labelled = [found for found in labels if found is not None]
    rows = [row for found in targets if found is not None for row in found]
    return Arrays(
        batch=np.concatenate(batches),
        labels=np.concatenate(labelled) if labelled else None,
        targets=rows or None,
        entries=tuple(entries),
    )


def batch_of(arrays: Mapping[str, np.ndarray], model: ModelSpec, where: str) -> np.ndarray:
    """Returns arrays by input name as one batch, of the types and shapes that the model takes.

    Arrays of other names are left out: an input that they are for may be fixed.

    Args:
        where: what they are from, for messages.

    Raises:
        DataError: an input is missing, or an array does not fit it.
    """
    wanted = _wanted(model)
    if len(wanted) == 1 and len(arrays) == 1:
        arrays = dict(zip(wanted, arrays.values(), strict=True))
    if wanted.keys() - arrays.keys():
        raise DataError(
            f"{where} has arrays {', '.join(sorted(arrays)) or 'none'}; the model's inputs are"
            f" {', '.join(wanted)}",
            hint="save one array for each input, under its name: numpy.savez(FILE, NAME=ARRAY)",
        )
    taken = {name: _taken(arrays[name], spec, where) for name, spec in wanted.items()}
    if not model.more_inputs:
        return next(iter(taken.values()))
    try:
        return batch_of_arrays(taken)
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error


def check_memory(size: int, what: str, *, hint: str) -> None:
    """Refuses samples that take more than half of this machine's memory.

    Args:
        size: of the samples, in bytes.
        what: the samples, for the message.

    Raises:
        DataError: says both sizes.
    """
    memory = _memory_bytes()
    if memory is not None and size > memory * _SHARE:
        raise DataError(
            f"{what} take {size / 2**30:.1f} GiB and more; this machine has"
            f" {memory / 2**30:.1f} GiB, half of which they may take",
            hint=hint,
        )


@functools.cache
def _memory_bytes() -> int | None:
    return total_memory_bytes()


def content_hashes(batch: np.ndarray) -> tuple[str, ...]:
    """Returns the sha256 of each sample."""
    return tuple(hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() for row in batch)


def _whole(labels: np.ndarray, where: str) -> np.ndarray:
    """Labels as whole numbers from 0.

    Raises:
        DataError: some are none.
    """
    numbers = labels.dtype.kind in "iu" or (
        labels.dtype.kind == "f" and np.array_equal(labels, np.rint(labels))
    )
    if not numbers or (labels < 0).any():
        raise DataError(f"{where}: {LABELS} must be whole numbers from 0")
    whole: np.ndarray = labels.astype(np.int64)
    return whole


def _wanted(model: ModelSpec) -> dict[str, TensorSpec]:
    first = TensorSpec(
        name=model.input_name or _FIRST, shape=model.input_shape, dtype=first_type(model)
    )
    return {item.name: item for item in (first, *model.more_inputs)}


def _contents(file: Path, model: ModelSpec) -> dict[str, np.ndarray]:
    try:
        if not file.is_file():
            raise ValueError("it is not a regular file")
        with file.open("rb") as opened:
            content = np.load(opened, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {next(iter(_wanted(model))): content}
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"cannot read {file}: {error}",
            hint="save arrays without objects: numpy.save(FILE, ARRAY) or numpy.savez",
        ) from error


def _taken(array: np.ndarray, spec: TensorSpec, where: str) -> np.ndarray:
    """An array in the type that an input takes.

    Raises:
        DataError: another shape, values that the type cannot hold, or NaN.
    """
    if array.shape[1:] != spec.shape or array.ndim == 0 or not len(array):
        shape = " x ".join(map(str, array.shape))
        raise DataError(
            f"{where}: {spec.name} is {shape or 'a single number'}; samples x"
            f" {' x '.join(map(str, spec.shape))} is needed"
        )
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where}: {spec.name} is {array.dtype}; numbers are needed")
    with np.errstate(over="ignore", invalid="ignore"):
        converted: np.ndarray = np.ascontiguousarray(array.astype(spec.dtype))
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(f"{where}: {spec.name} holds NaN")
    is_exact = np.dtype(spec.dtype).kind == "f" or np.array_equal(converted, array)
    if not is_exact:
        raise DataError(f"{where}: {spec.name} holds values that {spec.dtype} cannot")
    return converted
