"""Samples that the caller holds: any iterable of arrays, read into one batch.

An item is an array or a tensor, a dict of arrays by input, or a tuple of these with a label or a
target behind: one sample, or a batch of them. A dict may have a "label" or a "target" too. Samples
are what the network takes: nothing is preprocessed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_scnet.core.user_code import place
from edge_scnet.data.arrays import LABEL_KEYS, TARGET_KEYS, check_memory
from edge_scnet.errors import DataError, EdgeError, first_line

Axes = Literal["batches", "samples"]

# The name of the array of an item that is no dict.
ONLY = ""
_ITEMS = (
    "an array or a tensor, a dict of arrays by input name (and label or target), or a tuple (input,"
    " label)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What an iterable yields, as arrays."""

    # by input name, by position in a tuple, or of `ONLY`
    arrays: Mapping[str, np.ndarray]
    label: np.ndarray | None = None
    # ground truth that is no class index, as it was given
    target: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The samples of an iterable: by input, along the first axis."""

    arrays: Mapping[str, np.ndarray]
    labels: np.ndarray | None
    # by sample, as they were given; None: some or all have none
    targets: list[Any] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))


class Samples:
    """An iterable of samples, its first item looked at."""

    def __init__(self, source: Any, what: str, *, inputs: Sequence[str] = ()) -> None:
        """Reads the first item.

        Args:
            source: an iterable, a data set with a length, or one array (or dict of arrays) of all
                samples.
            what: the name of the set, for messages.
            inputs: the names of the network's inputs, in its order, which the parts of a tuple are
                taken for; empty: it has one.

        Raises:
            DataError: it is no iterable, is empty, or its first item is no array.
        """
        self.what = what
        self._inputs = tuple(inputs)
        # all samples are one array each, and not read one behind the other
        self.is_whole = _is_whole(source)
        self.known_axes = _known_axes(source)
        items = [source] if self.is_whole else _iterated(source, what)
        self._items = self._read(iter(items))
        try:
            self.first = next(self._items)
        except StopIteration:
            raise DataError(
                f"{what} gave nothing: it is empty, or a generator that was used up",
                hint="pass a list, or make the generator anew for every call",
            ) from None

    def shape_of(self, name: str, axes: Axes) -> tuple[int, ...]:
        """The shape of one sample of an input, without the batch axis."""
        shape = self.first.arrays[name].shape
        return shape[1:] if axes == "batches" else shape

    def collect(self, axes: Axes, *, limit: int | None = None) -> Collected:
        """Reads the items that are left, and returns all samples.

        Args:
            axes: what an item is.
            limit: reads no more than so many samples.

        Raises:
            DataError: an item that cannot be read, or has another form or shape than the first;
                labels or targets for some samples only.
        """
        kept: list[Item] = []
        count = size = 0
        for index, item in enumerate(itertools.chain([self.first], self._items)):
            whole = item if axes == "batches" else _as_batch(item)
            self._check_like_first(whole, index, axes)
            kept.append(whole)
            size += sum(array.nbytes for array in whole.arrays.values())
            check_memory(
                size,
                f"{self.what}: {count} samples",
                hint="does it end? A generator must; or yield fewer samples",
            )
            count += len(next(iter(whole.arrays.values())))
            if limit is not None and count >= limit:
                break
        self._check_all_or_none("label", [item.label is None for item in kept])
        self._check_all_or_none("target", [item.target is None for item in kept])
        arrays = {
            name: np.concatenate([item.arrays[name] for item in kept])[:limit]
            for name in kept[0].arrays
        }
        given = [item.label for item in kept if item.label is not None]
        labels = np.concatenate(given)[:limit] if given else None
        samples = len(next(iter(arrays.values())))
        if labels is not None and len(labels) != samples:
            raise DataError(
                f"{self.what} has {len(labels)} labels for {samples} samples",
                hint="one whole number for each sample",
            )
        return Collected(arrays=arrays, labels=labels, targets=self._targets(kept, axes, samples))

    def _check_all_or_none(self, kind: str, lacking: Sequence[bool]) -> None:
        if any(lacking) and not all(lacking):
            raise DataError(
                f"{self.what}: item {lacking.index(True)} has no {kind}, others have one",
                hint="label all samples or none",
            )

    def _targets(self, items: Sequence[Item], axes: Axes, count: int) -> list[Any] | None:
        """The targets by sample.

        Raises:
            DataError: a batch has another number of them than of samples.
        """
        if any(item.target is None for item in items):
            return None
        targets: list[Any] = []
        for index, item in enumerate(items):
            size = len(next(iter(item.arrays.values())))
            if axes == "samples":
                targets.append(item.target)
                continue
            try:
                rows = _rows(item.target)
            except TypeError:
                rows = []
            if len(rows) != size:
                raise DataError(
                    f"{self.what}: item {index} has {len(rows)} targets for {size} samples",
                    hint="an array with a row for each sample, or a list",
                )
            targets += rows
        return targets[:count]

    def _read(self, items: Iterator[Any]) -> Iterator[Item]:
        for index in itertools.count():
            try:
                item = next(items)
            except StopIteration:
                return
            except EdgeError:
                raise
            except Exception as error:
                raise DataError(
                    f"{self.what}: reading item {index} failed: {type(error).__name__}:"
                    f" {first_line(error)}{place(error)}",
                    hint=f"list(itertools.islice(samples, {index + 1})) shows the error alone",
                ) from error
            yield self._item(item, f"{self.what}: item {index}")

    def _item(self, value: Any, where: str) -> Item:
        """An item as arrays by input."""
        if isinstance(value, Mapping):
            return self._item_of_dict(value, where)
        if isinstance(value, (tuple, list)) and not _is_numbers(value):
            return self._item_of_parts(value, where)
        return Item(arrays={ONLY: _array(value, where)})

    def _item_of_dict(self, value: Mapping[Any, Any], where: str) -> Item:
        """An item of arrays by input, with a label or a target among them."""
        parts = {str(name): part for name, part in value.items()}
        truth = {
            name: parts.pop(name)
            for name in (*LABEL_KEYS, *TARGET_KEYS)
            if name in parts and name not in self._inputs
        }
        if not parts:
            raise DataError(f"{where} is a dict without arrays", hint=f"an item is {_ITEMS}")
        arrays = {name: _array(part, f"{where}, {name!r}") for name, part in parts.items()}
        if len(truth) > 1:
            raise DataError(
                f"{where} has {' and '.join(truth)}", hint="samples have one kind of ground truth"
            )
        for name, given in truth.items():
            label = _label([given], arrays)
            if label is not None and (name in LABEL_KEYS or label.dtype.kind in "iu"):
                return Item(arrays=arrays, label=label)
            return Item(arrays=arrays, target=given)
        return Item(arrays=arrays)

    def _item_of_parts(self, parts: Sequence[Any], where: str) -> Item:
        """An item of a tuple: the inputs in their order, or inputs and a label."""
        if not parts:
            raise DataError(f"{where} is an empty {type(parts).__name__}", hint=_hint())
        wanted = len(self._inputs)
        if isinstance(parts[0], (Mapping, tuple, list)) and not _is_numbers(parts[0]):
            inputs = self._item(parts[0], where)
            return _with_truth(inputs.arrays, parts[1:])
        if wanted > 1 and len(parts) >= wanted:
            arrays = {
                name: _array(part, f"{where}, {name!r}")
                for name, part in zip(self._inputs, parts, strict=False)
            }
            return _with_truth(arrays, parts[wanted:])
        return _with_truth({ONLY: _array(parts[0], where)}, parts[1:])

    def _check_like_first(self, item: Item, index: int, axes: Axes) -> None:
        """Holds an item to the form of the first, and its values to finite numbers.

        Raises:
            DataError: names the item, and what differs.
        """
        where, lengths = f"{self.what}: item {index}", set()
        first = self.first.arrays
        if item.arrays.keys() != first.keys():
            raise DataError(
                f"{where} has arrays {', '.join(item.arrays)}, item 0 {', '.join(first)}",
                hint="every item needs an array for each input",
            )
        for name, array in item.arrays.items():
            label = f" {name}" if name else ""
            wanted = self.shape_of(name, axes)
            if array.ndim == 0 or array.shape[1:] != wanted:
                raise DataError(
                    f"{where}{label} is {_words(array.shape[1:])}, item 0 {_words(wanted)}: all"
                    " samples need one shape",
                    hint="resize or crop them alike before they are passed",
                )
            # of several inputs one may be a mask, of 0 and minus infinity
            bad = np.isnan(array) if name else ~np.isfinite(array)
            if bad.any():
                raise DataError(
                    f"{where}{label} holds {'NaN' if name else 'NaN or infinite values'}",
                    hint="samples are finite numbers: leave it out",
                )
            lengths.add(len(array))
        if len(lengths) > 1 or 0 in lengths:
            found = ", ".join(f"{name} {len(array)}" for name, array in item.arrays.items())
            raise DataError(
                f"{where} has inputs of different or no length along the first axis: {found}",
                hint="the first axis of a batch counts its samples",
            )


def _is_whole(source: Any) -> bool:
    """Whether something is all samples at once: an array, a dict of arrays, or (arrays, labels)."""
    if isinstance(source, Mapping) or _is_array(source):
        return True
    return (
        isinstance(source, tuple)
        and len(source) == 2
        and all(map(_is_array, source))
        and len(source[1].shape) == 1 < len(source[0].shape)
        and source[0].shape[0] == source[1].shape[0]
        and _is_whole_number(source[1])
    )


def _known_axes(source: Any) -> Axes | None:
    """What the items of a source are, where its kind tells; None: only their shapes can."""
    if _is_whole(source):
        return "batches"
    if hasattr(source, "dataset") and hasattr(source, "batch_size"):  # torch's DataLoader
        return "batches" if source.batch_size is not None else None
    if not hasattr(source, "__iter__") and hasattr(source, "__getitem__"):  # torch's Dataset
        return "samples"
    return None


def _iterated(source: Any, what: str) -> Iterable[Any]:
    if isinstance(source, (str, bytes, Path)):
        raise DataError(f"{what} is the text {str(source)!r}; arrays are needed", hint=_hint())
    if hasattr(source, "__iter__"):
        return source  # type: ignore[no-any-return]
    if hasattr(source, "__getitem__") and hasattr(source, "__len__"):
        return (source[i] for i in range(len(source)))
    raise DataError(f"{what} of type {type(source).__name__} cannot be iterated over", hint=_hint())


def _hint() -> str:
    return f"samples are an iterable; an item is {_ITEMS}, of one sample or of a batch"


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_whole_number(value: Any) -> bool:
    return not any(kind in str(value.dtype) for kind in ("float", "complex", "bool"))


def _is_numbers(value: Any) -> bool:
    """Whether a list is an array that is spelled out."""
    inner = value
    while isinstance(inner, (list, tuple)) and inner:
        inner = inner[0]
    return isinstance(value, list) and isinstance(inner, (int, float))


def _array(value: Any, where: str) -> np.ndarray:
    """An array of a NumPy array, of a tensor of torch or of another library, or of a list.

    Raises:
        DataError: it is none, or holds no numbers.
    """
    if isinstance(value, np.ndarray):
        array = value
    elif _is_array(value) or isinstance(value, (int, float)) or _is_numbers(value):
        array = _converted(value, where)
    else:
        raise DataError(
            f"{where} is a {type(value).__module__}.{type(value).__name__}", hint=_hint()
        )
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where} is of {array.dtype}; numbers are needed", hint=_hint())
    return array


def _converted(value: Any, where: str) -> np.ndarray:
    try:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            if "bfloat16" in str(value.dtype):  # NumPy has none
                value = value.float()
        return np.asarray(value)
    except Exception as error:
        raise DataError(
            f"{where} is a {type(value).__name__} that is no array: {first_line(error)}",
            hint=_hint(),
        ) from error


def _as_batch(item: Item) -> Item:
    """One sample as a batch of one; one class index is a label, several are a target."""
    arrays = {name: array[None] for name, array in item.arrays.items()}
    if item.label is not None and item.label.size != 1:
        return Item(arrays=arrays, target=item.label)
    return Item(arrays=arrays, label=item.label, target=item.target)


def _with_truth(arrays: Mapping[str, np.ndarray], parts: Sequence[Any]) -> Item:
    """An item with what stands behind the inputs: a class index, or what else is known."""
    label = _label(parts, arrays)
    return Item(arrays=arrays, label=label, target=parts[0] if parts and label is None else None)


def _rows(target: Any) -> list[Any]:
    """The targets of a batch, one by one."""
    if hasattr(target, "detach"):
        target = target.detach().cpu()
    if isinstance(target, Mapping):
        raise TypeError("a dict is one sample's")
    return list(target)


def _label(parts: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """The class indices behind the inputs of a tuple; None where what is there are none."""
    if not parts:
        return None
    value = parts[0]
    if not (isinstance(value, (int, np.integer)) or _is_array(value) or _is_numbers(value)):
        return None
    array = _converted(value, "a label")
    first = next(iter(arrays.values()))
    fits = array.ndim == 0 or (array.ndim == 1 and first.ndim and len(array) in (1, len(first)))
    return array.reshape(-1) if array.dtype.kind in "iu" and fits else None


def _words(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
