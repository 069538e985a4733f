"""What a bundle carries for a search on the board: its settings, and the calibration samples.

The float graph and the ranges of its tensors lie beside them. All samples that the build calibrated
with are in it: the all-INT8 plan of the search is then the one that the build made, and as much of
a limit can be proven as on the workstation.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core.foreign import read_bytes, reason
from edge_scnet.core.json_records import decode, encode_pretty
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.core.user_code import OBJECT
from edge_scnet.data.array_headers import read_npz
from edge_scnet.data.arrays import check_memory
from edge_scnet.data.batches import load as load_samples
from edge_scnet.data.samples import SampleSet, in_memory
from edge_scnet.errors import ArtifactError, DataError

SEARCH, CALIBRATION = "search.json", "calibration.npz"
# the files of the part, which a bundle has all of, or none
SEARCH_FILES = (FLOAT_ONNX, RANGES, SEARCH, CALIBRATION)
# of the samples as they are packed
_MOST_BYTES = 1 << 30
_AT_ONCE = 64  # samples that are packed together
_CODES = 256  # values that a byte tells apart


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOnBoard:
    """What a search on the board is for."""

    # what the network is for, said or told: the board has no evaluation samples to tell it from
    task: TaskSpec
    # highest loss in percentage points, of the target or of the build's --max-drop
    max_drop_pp: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFile(SearchOnBoard):
    """search.json: what the search is for, and what is known of the samples."""

    # of the set, for reports
    name: str
    # of the set; held to the contents and labels below
    sha256: str
    entries: tuple[str, ...]
    # of the samples as they were given
    content_hashes: tuple[str, ...]
    labels: tuple[int, ...] | None
    label_rule: str | None
    class_names: tuple[str, ...] | None
    # width and height, of pictures in files
    image_sizes: tuple[tuple[int, int], ...] = ()


def check_size(samples: SampleSet, spec: ModelSpec) -> None:
    """Refuses samples that are too many for a bundle.

    Raises:
        DataError: says how much they take, and how many may be.
    """
    each = spec.sample_bytes // (4 if spec.takes_pictures else 1)
    _check_bytes(len(samples) * each, len(samples))


def _check_bytes(size: int, count: int) -> None:
    if size > _MOST_BYTES:
        raise DataError(
            f"{count:,} calibration samples take {size / 2**30:.1f} GiB in the bundle of a search"
            f" on the board; {_MOST_BYTES / 2**30:.0f} GiB are allowed",
            hint=(
                f"quant.samples = {max(count * _MOST_BYTES // size, 1)} in the target, or leave"
                " --search-on-board out"
            ),
        )


def to_files(search: SearchOnBoard, samples: SampleSet, spec: ModelSpec) -> dict[str, bytes]:
    """The part's own files, by name.

    Ground truth other than classes is left out: such a task is then held to FP32's own outputs.

    Raises:
        DataError: the samples are too many for a bundle, or cannot be read.
    """
    # the same samples with no targets: what the file's hash is of
    bare = replace(samples, targets=None)
    record = SearchFile(
        task=search.task,
        max_drop_pp=search.max_drop_pp,
        name=samples.name,
        sha256=bare.hash,
        entries=samples.entries,
        content_hashes=samples.content_hashes,
        labels=samples.labels,
        label_rule=samples.label_rule,
        class_names=samples.class_names,
        image_sizes=samples.image_sizes,
    )
    arrays: dict[str, Any] = _packed(samples, spec)
    _check_bytes(sum(array.nbytes for array in arrays.values()), len(samples))
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return {SEARCH: encode_pretty(record).encode(), CALIBRATION: buffer.getvalue()}


def load(folder: Path, spec: ModelSpec) -> tuple[SearchOnBoard, SampleSet]:
    """Reads what `to_files` wrote: what the search is for, and the samples as the network has them.

    Raises:
        ArtifactError: a file is none of ours, or they do not fit each other or the model.
        DataError: the samples take more than half of this machine's memory.
    """
    path = folder / SEARCH
    try:
        record = decode(SearchFile, read_bytes(path))
        _check_no_code(record.task)
        arrays = read_npz(folder / CALIBRATION, most_bytes=_MOST_BYTES)
        count = len(record.entries)
        check_memory(
            count * spec.sample_bytes * 2,
            f"{count:,} calibration samples and a copy of them",
            hint="build the bundle with a lower quant.samples in the target",
        )
        samples = replace(
            in_memory(_unpacked(arrays, spec), record.name, record.labels),
            entries=record.entries,
            content_hashes=record.content_hashes,
            label_rule=record.label_rule,
            class_names=record.class_names,
            image_sizes=record.image_sizes,
        )
        _check_fits(record, samples)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{folder}: the part of the bundle that a search needs cannot be read:"
            f" {reason(error) if isinstance(error, OSError) else error}",
            hint="build the bundle again: edge-scnet build --target TARGET --search-on-board",
        ) from error
    return SearchOnBoard(task=record.task, max_drop_pp=record.max_drop_pp), samples


def names_code(task: TaskSpec) -> str | None:
    """The function or class of the user's own that a task is judged with; None: there is none."""
    return next((text for text in (task.kind, *_texts(task.arguments)) if OBJECT.match(text)), None)


def _texts(value: Any) -> Iterator[str]:
    """All texts in a value of JSON's."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (*_texts(key), *_texts(inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner)


def _check_no_code(task: TaskSpec) -> None:
    """Refuses a task whose code a bundle would have run.

    Raises:
        ValueError: names it.
    """
    if (name := names_code(task)) is not None:
        raise ValueError(f"its task is judged by {name!r}, and nothing of a bundle is imported")


def _packed(samples: SampleSet, spec: ModelSpec) -> dict[str, np.ndarray]:
    """Pictures as a byte for each value and a table by channel, where that loses nothing.

    A picture of bytes has 256 values a channel at most when it is normalised: a quarter of float32.
    Where resizing gave more, or of arrays, they are left as they are.
    """
    codes, values = [], []
    for start in range(0, len(samples) if spec.takes_pictures else 0, _AT_ONCE):
        part = load_samples(samples, spec, range(start, min(start + _AT_ONCE, len(samples))))
        pairs = [np.unique(part[:, c], return_inverse=True) for c in range(part.shape[1])]
        if any(len(table) > _CODES for table, _ in pairs):
            return {"samples": load_samples(samples, spec)}
        values.append([table for table, _ in pairs])
        # the shape of an inverse differs between versions of NumPy
        inverse = [code.reshape(part[:, 0].shape).astype(np.uint8) for _, code in pairs]
        codes.append(np.stack(inverse, axis=1))
    if not codes:
        return {"samples": load_samples(samples, spec)}
    tables = [np.unique(np.concatenate(of_channel)) for of_channel in zip(*values, strict=True)]
    if any(len(table) > _CODES for table in tables):
        return {"samples": load_samples(samples, spec)}
    for part, of_part in zip(codes, values, strict=True):
        for channel, (table, own) in enumerate(zip(tables, of_part, strict=True)):
            place = np.searchsorted(table, own).astype(np.uint8)
            part[:, channel] = place[part[:, channel]]
    whole = [np.pad(table, (0, _CODES - len(table)), mode="edge") for table in tables]
    return {"codes": np.concatenate(codes), "values": np.stack(whole)}


def _unpacked(arrays: Mapping[str, np.ndarray], spec: ModelSpec) -> np.ndarray:
    """The samples of the file.

    Raises:
        ValueError: they are none of this model's.
    """
    if "samples" in arrays:
        batch = arrays["samples"]
        wanted = spec.input_shape
        # of several inputs a record each (`core.feeds`)
        fits = batch.dtype.fields is not None or (
            batch.dtype == np.float32 and batch.shape[1:] == wanted
        )
        if not fits or not batch.ndim:
            raise ValueError(f"samples is {batch.dtype} {batch.shape}; the model takes {wanted}")
        return batch
    codes, values = arrays["codes"], arrays["values"]
    _check_codes(codes, values, spec.input_shape)
    out = np.empty(codes.shape, np.float32)
    for channel, table in enumerate(values):
        out[:, channel] = table[codes[:, channel]]
    return out


def _check_codes(codes: np.ndarray, values: np.ndarray, wanted: Sequence[int]) -> None:
    """Holds packed pictures to the model's input.

    Raises:
        ValueError: they are none of this model's.
    """
    if codes.dtype != np.uint8 or codes.shape[1:] != tuple(wanted):
        raise ValueError(f"codes is {codes.dtype} {codes.shape}; the model takes {tuple(wanted)}")
    if values.dtype != np.float32 or values.shape != (wanted[0], _CODES):
        raise ValueError(f"values is {values.dtype} {values.shape}; {wanted[0]} x {_CODES} is due")


def _check_fits(record: SearchFile, samples: SampleSet) -> None:
    """Holds what is known of the samples to the samples.

    Raises:
        ValueError: says what does not fit.
    """
    assert samples.arrays is not None
    count = len(samples.arrays)
    for name, known in (
        ("entries", record.entries),
        ("content_hashes", record.content_hashes),
        ("labels", record.labels),
        ("image_sizes", record.image_sizes or None),
    ):
        if known is not None and len(known) != count:
            raise ValueError(f"{SEARCH} has {len(known)} {name} for {count} samples")
    if samples.hash != record.sha256:
        raise ValueError(f"the sha256 in {SEARCH} is not of its labels and contents")
