"""Sample sets of arrays: `.npy` and `.npz` files, and arrays in memory.

A file holds many samples, along the first axis, as the network takes them: nothing is preprocessed.
An `.npz` has an array for each input, by name, and may have one called `labels` or `label`, a class
index for each sample, or one called `targets` or `target`: numbers, 0 and 1, points or a mask for
each.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_scnet.core.feeds import batch_of_arrays, first_type
from edge_scnet.core.foreign import open_regular
from edge_scnet.core.spec import ModelSpec, TensorSpec
from edge_scnet.data.array_headers import UNREADABLE, claimed_bytes, why
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
    # whether a file holds the first input as bytes, whatever the batch holds them as
    were_bytes: bool


def read_arrays(files: Sequence[Path], model: ModelSpec) -> Arrays:
    """Reads the samples of files, one behind the other.

    Raises:
        DataError: a file that cannot be read, lacks an input, or whose arrays do not fit it; some
            files have labels and some have none.
    """
    batches, labels, entries = [], [], []
    were_bytes = False
    targets: list[np.ndarray | None] = []
    size = 0
    for file in files:
        size += _claimed(file)
        check_memory(size, f"{file} and the files before it", hint="pass fewer samples")
        arrays = _contents(file)
        found = _popped(arrays, LABEL_KEYS, model, file)
        of_file = _popped(arrays, TARGET_KEYS, model, file)
        batch = batch_of(arrays, model, str(file))
        first = arrays.get(model.input_name or _FIRST, next(iter(arrays.values())))
        were_bytes |= first.dtype == np.uint8
        if of_file is not None and (not of_file.ndim or len(of_file) != len(batch)):
            raise DataError(
                f"{file}: {TARGETS} is {of_file.shape} for {len(batch)} samples; a row each is"
                " needed",
                hint=f"a row each: numpy.savez(FILE, NAME=ARRAY, {TARGETS}=ROWS)",
            )
        targets.append(of_file)
        if found is not None and (found.ndim != 1 or len(found) != len(batch)):
            raise DataError(
                f"{file}: {LABELS} is {found.shape} for {len(batch)} samples; one number each is"
                " needed",
                hint=(
                    f"several labels or numbers for each sample are called {TARGETS}:"
                    f" numpy.savez(FILE, NAME=ARRAY, {TARGETS}=ARRAY)"
                ),
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
                f"{bare[0]} has no array {name!r}, other files have one: label all or none",
                hint=f"add {name} to it, or leave {name} out of the others",
            )
    labelled = [found for found in labels if found is not None]
    rows = [row for found in targets if found is not None for row in found]
    return Arrays(
        batch=np.concatenate(batches),
        labels=np.concatenate(labelled) if labelled else None,
        targets=rows or None,
        entries=tuple(entries),
        were_bytes=were_bytes,
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
    # what the user calls an input, which may have no name in the spec
    called = {name: name for name in wanted}
    if len(wanted) == 1 and len(arrays) == 1:
        called = {name: own or name for name, own in zip(wanted, arrays, strict=True)}
        arrays = dict(zip(wanted, arrays.values(), strict=True))
    if wanted.keys() - arrays.keys():
        raise DataError(
            f"{where} has arrays {', '.join(sorted(arrays)) or 'none'}; the model's inputs are"
            f" {', '.join(wanted)}",
            hint="save one array for each input, under its name: numpy.savez(FILE, NAME=ARRAY)",
        )
    # of several inputs one may be a mask, of 0 and minus infinity
    finite = len(wanted) == 1
    taken = {
        name: _taken(
            _channels_first(arrays[name], model),
            spec,
            f"{where}: {called[name]}",
            finite=finite,
        )
        for name, spec in wanted.items()
    }
    if not model.more_inputs:
        return next(iter(taken.values()))
    try:
        return batch_of_arrays(taken)
    except ValueError as error:
        raise DataError(
            f"{where}: {error}", hint="one row for each sample in every array: cut the longer ones"
        ) from error


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
        raise DataError(
            f"{where}: {LABELS} must be whole numbers from 0",
            hint=f"numpy.savez(FILE, NAME=ARRAY, {LABELS}=LABELS.astype(int))",
        )
    whole: np.ndarray = labels.astype(np.int64)
    return whole


def _wanted(model: ModelSpec) -> dict[str, TensorSpec]:
    first = TensorSpec(
        name=model.input_name or _FIRST, shape=model.input_shape, dtype=first_type(model)
    )
    return {item.name: item for item in (first, *model.more_inputs)}


def _popped(
    arrays: dict[str, np.ndarray], keys: Sequence[str], model: ModelSpec, file: Path
) -> np.ndarray | None:
    """Takes the ground truth out of a file's arrays, where no input is called so.

    Raises:
        DataError: it is there under both names.
    """
    found = [name for name in keys if name in arrays and name not in _wanted(model)]
    if len(found) > 1:
        raise DataError(
            f"{file} has {' and '.join(found)}", hint="samples have one kind of ground truth"
        )
    return arrays.pop(found[0]) if found else None


def _channels_first(array: np.ndarray, spec: ModelSpec) -> np.ndarray:
    """Pictures as the prepared graph takes them: a file may want the channels last."""
    shape, wanted = array.shape[1:], spec.input_shape
    if shape != wanted and len(shape) == 3 and (shape[2], *shape[:2]) == wanted:
        return np.moveaxis(array, -1, 1)
    return array


def _claimed(file: Path) -> int:
    try:
        return claimed_bytes(file)
    except UNREADABLE as error:
        raise _unreadable(file, error) from error


def _contents(file: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; of an `.npy` one without a name."""
    try:
        with open_regular(file) as opened:
            content = np.load(opened, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"": content}
            read = {name: content[name] for name in content.files}
            return {name: array for name, array in read.items() if isinstance(array, np.ndarray)}
    except UNREADABLE as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: BaseException) -> DataError:
    return DataError(
        f"cannot read {file}: {why(error)}",
        hint="save arrays without objects: numpy.save(FILE, ARRAY) or numpy.savez",
    )


def _taken(array: np.ndarray, spec: TensorSpec, where: str, *, finite: bool) -> np.ndarray:
    """An array in the type that an input takes.

    Args:
        where: the array and what it is from, for messages.
        finite: infinite values are refused.

    Raises:
        DataError: another shape, values that the type cannot hold, NaN or infinite values.
    """
    wanted = f"samples x {' x '.join(map(str, spec.shape))}"
    if spec.dtype == "uint8" and _is_no_code(array):
        raise DataError(
            f"{where} is {array.dtype} {' x '.join(map(str, array.shape))}; the engine takes uint8"
            f" {wanted}: pixels as they are, 0 to 255, channels last",
            hint="save the pixels, resized and not normalised; an engine of floats: --input float",
        )
    if array.shape[1:] != spec.shape or array.ndim == 0 or not len(array):
        shape = " x ".join(map(str, array.shape))
        raise DataError(
            f"{where} is {shape or 'a single number'}; {wanted} is needed",
            hint=(
                "there is no sample in it: save some"
                if array.ndim and array.shape[1:] == spec.shape
                else f"samples are along the first axis: ARRAY.shape is ({_axes(spec.shape)})"
            ),
        )
    if array.dtype.kind not in "fiub":
        raise DataError(
            f"{where} is {array.dtype}; numbers are needed",
            hint=f"ARRAY.astype({spec.dtype!r}) before it is saved",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        converted: np.ndarray = np.ascontiguousarray(array.astype(spec.dtype))
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(
            f"{where} holds NaN{_places(np.isnan(array))}", hint="leave those samples out"
        )
    if finite and converted.dtype.kind == "f" and not np.isfinite(converted).all():
        raise DataError(
            f"{where} holds infinite values, or ones that {spec.dtype} cannot hold"
            f"{_places(~np.isfinite(converted))}",
            hint="leave those samples out",
        )
    is_exact = np.dtype(spec.dtype).kind == "f" or np.array_equal(converted, array)
    if not is_exact:
        raise DataError(
            f"{where} holds values that {spec.dtype} cannot",
            hint=f"save what the network takes: ARRAY.astype('{spec.dtype}')",
        )
    return converted


def _is_no_code(array: np.ndarray) -> bool:
    """Whether an array holds real numbers that are no pixels."""
    if array.dtype.kind != "f":
        return False
    return not bool(((array >= 0) & (array <= 255) & (array == np.rint(array))).all())


def _axes(shape: Sequence[int]) -> str:
    return ", ".join(("N", *map(str, shape)))


def _places(wrong: np.ndarray) -> str:
    """In which of the samples values are wrong, in words."""
    of_sample = wrong.reshape(len(wrong), -1).any(axis=1)
    found = np.flatnonzero(of_sample)
    shown = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
    return f" in {len(found)} of {len(wrong)} samples, from 0: {shown}"
