"""Sets of arrays in memory: of what iterables gave, and of a user's function that yields them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from edge_scnet.core.json_records import loads
from edge_scnet.core.source import Source
from edge_scnet.core.spec import ModelSpec
from edge_scnet.core.user_code import OBJECT, imported, place, user_code
from edge_scnet.data.arrays import batch_of
from edge_scnet.data.held_truth import targets_of
from edge_scnet.data.iterables import Axes, Collected, Samples
from edge_scnet.data.labels import Role, known_classes
from edge_scnet.data.reading import Reading
from edge_scnet.data.sample_set import SampleSet, in_memory, subset, unlabelled
from edge_scnet.errors import DataError

AS_TAKEN = "pass what the network takes: no preprocessing is done"
_OWN_SETTINGS = ("duplicates",)


def set_of(collected: Collected, what: str, model: ModelSpec, role: Role) -> SampleSet:
    """The set of samples that were read, of the shapes and types that the model takes.

    Args:
        what: the name of the set, for messages and reports.

    Raises:
        DataError: samples, labels or targets that do not fit the model.
    """
    try:
        batch = batch_of(collected.arrays, model, what)
    except DataError as error:
        raise DataError(error.message, hint=AS_TAKEN) from error
    # calibration takes none: they may be of another task
    if role == "calibration":
        return in_memory(batch, what)
    task = model.task.kind if model.task is not None else None
    labels, given = collected.labels, collected.targets
    if collected.labels is not None and task in ("regression", "embedding"):
        labels, given = None, list(collected.labels)
    targets = None if given is None else targets_of(given, model, what)
    count = known_classes(model)[1]
    if labels is not None and count and not 0 <= labels.min() <= labels.max() < count:
        raise DataError(
            f"{what} has labels from {labels.min()} to {labels.max()}; the model has {count}"
            " classes, from 0",
            hint="leave the labels out: yield the inputs alone",
        )
    whole = None if labels is None else [int(label) for label in labels]
    return in_memory(batch, what, whole, targets=targets)


def made_by(source: Source) -> Iterable[Any]:
    """What a user's function "package.module:samples?split=val" returns, its arguments given.

    Raises:
        DataError: it cannot be imported or called.
    """
    match = OBJECT.fullmatch(source.where)
    assert match is not None
    found = imported(match[1], match[2], raises=DataError)
    arguments = {
        name: _value(text) for name, text in source.settings.items() if name not in _OWN_SETTINGS
    }
    if not callable(found):
        if arguments:
            raise DataError(
                f"{source.where} is a {type(found).__name__}, and takes no arguments",
                hint="name the function that makes the samples",
            )
        if isinstance(found, Iterator):
            raise DataError(
                f"{source.where} is a {type(found).__name__}, which can be read once; samples are"
                " read more than once",
                hint="name a function that returns it, or make it a list",
            )
        return found  # type: ignore[no-any-return]
    call = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    hint = f"it is called as {match[2]}({call}), and yields or returns samples"
    try:
        with user_code(f"{source.where} failed", hint=hint, raises=DataError):
            return found(**arguments)  # type: ignore[no-any-return]
    except DataError as error:
        cause = error.__cause__
        if cause is None:
            raise
        raise DataError(f"{error.message}{place(cause)}", hint=hint) from cause


def open_code(reading: Reading, model: ModelSpec) -> SampleSet:
    """The set of what a user's function yields.

    Raises:
        DataError: as `made_by` and `set_of`.
    """
    made = made_by(reading.source)
    inputs = [model.input_name or "", *(item.name for item in model.more_inputs)]
    what = reading.source.where
    samples = Samples(made, what, inputs=inputs if len(inputs) > 1 else ())
    axes = samples.known_axes or axes_by_rank(samples, len(model.input_shape))
    most = None if samples.is_whole else reading.limit
    found = set_of(samples.collect(axes, limit=most), what, model, reading.role)
    if reading.ignore_labels:
        found = unlabelled(found)
    return found if reading.limit is None else subset(found, reading.limit)


def axes_by_rank(samples: Samples, rank: int) -> Axes:
    """What an item is, by the number of axes of a sample.

    Raises:
        DataError: it is neither a sample nor a batch of them.
    """
    array = next(iter(samples.first.arrays.values()))
    if array.ndim not in (rank, rank + 1):
        raise DataError(
            f"{samples.what}: item 0 is {_words(array)}; the model takes samples of {rank}"
            f" axes, or batches of {rank + 1}",
            hint=AS_TAKEN,
        )
    return "samples" if array.ndim == rank else "batches"


def _value(text: str) -> Any:
    words: Mapping[str, Any] = {"True": True, "False": False, "None": None}
    if text in words:
        return words[text]
    try:
        return loads(text)
    except ValueError:
        return text


def _words(array: np.ndarray) -> str:
    return " x ".join(map(str, array.shape)) or "a single number"
