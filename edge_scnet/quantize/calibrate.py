"""Streaming statistics of every activation tensor over the calibration set, in one pass and flat memory.

Owns the histogram and its file. Knows nothing of thresholds, schemes or targets.

The result depends on the set of images only, exactly, not on order or chunking: a graph of batch 1 sees them one at a time
(a runtime's sums may depend on the batch), bins lie on a grid of power-of-two width anchored at zero that doubles as the range
grows, so that merging two bins is exact.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.artifact import sha256_file, write_atomic
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.optional import require
from edge_scnet.quantize.graph import passes_scale
from edge_scnet.quantize.statistics import Ranges, TensorStats
from edge_scnet.simulate import ort_session

if TYPE_CHECKING:
    import onnx_ir as ir

MAX_BINS = 4096
# Values of several images are binned together up to this many, so that NumPy's cost per call does not dominate on small
# networks; more would leave the cache.
_CHUNK_ELEMENTS = 1 << 17
_SMALLEST_EXPONENT = -126
FORMAT = 2


class Accumulator:
    """The statistics of one tensor, fed one image at a time."""

    def __init__(self) -> None:
        self.minimum, self.maximum = np.inf, -np.inf
        self.exponent = _SMALLEST_EXPONENT
        self.first_bin = 0
        self.counts = np.zeros(0, np.int64)
        self.elements = 0
        self._pending: list[np.ndarray] = []
        self._pending_elements = 0

    def add(self, values: np.ndarray) -> None:
        """Adds values of any shape, float32.

        Raises:
            DataError: the values are not finite.
        """
        self._pending.append(values.reshape(-1))
        self._pending_elements += values.size
        if self._pending_elements >= _CHUNK_ELEMENTS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        flat = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        self._pending, self._pending_elements = [], 0
        low, high = float(flat.min()), float(flat.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise DataError(
                "the float model gives NaN or infinity on the calibration images",
                hint="check the weights, and --mean and --std: edge-scnet export shows the parity alone",
            )
        self.elements += flat.size
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        exponent = _exponent(self.minimum, self.maximum)
        if exponent > self.exponent:
            self._coarsen(exponent)
        # scaling by a power of two is exact in float32, so an edge value lands in the same bin on every machine
        scaled = flat * np.float32(2.0**-self.exponent)
        first = int(np.floor(low * 2.0**-self.exponent))
        np.floor(scaled, out=scaled)
        # the counts of a chunk: bins are at most MAX_BINS apart, so the difference is exact in float32 too
        self._merge(first, np.bincount((scaled - np.float32(first)).astype(np.intp)))

    def stats(self) -> TensorStats:
        """The statistics so far.

        Raises:
            ValueError: nothing was added.
        """
        self._flush()
        if not self.elements:
            raise ValueError("no values were added")
        return TensorStats(
            minimum=self.minimum, maximum=self.maximum, elements=self.elements, exponent=self.exponent,
            first_bin=self.first_bin, counts=self.counts,
        )  # fmt: skip

    def _coarsen(self, exponent: int) -> None:
        if self.counts.size:
            step = exponent - self.exponent
            bins = (np.arange(self.counts.size, dtype=np.int64) + self.first_bin) >> step
            self.first_bin = int(bins[0])
            merged = np.zeros(int(bins[-1]) - self.first_bin + 1, np.int64)
            np.add.at(merged, bins - self.first_bin, self.counts)
            self.counts = merged
        self.exponent = exponent

    def _merge(self, first: int, counts: np.ndarray) -> None:
        if not self.counts.size:
            self.first_bin, self.counts = first, counts.astype(np.int64)
            return
        low = min(first, self.first_bin)
        high = max(first + counts.size, self.first_bin + self.counts.size)
        if low != self.first_bin or high != self.first_bin + self.counts.size:
            grown = np.zeros(high - low, np.int64)
            grown[self.first_bin - low : self.first_bin - low + self.counts.size] = self.counts
            self.first_bin, self.counts = low, grown
        self.counts[first - low : first - low + counts.size] += counts


def _exponent(low: float, high: float) -> int:
    """The smallest exponent at which [low, high] needs at most MAX_BINS bins: a function of the range alone."""
    span = max(high - low, abs(high), abs(low))
    if span == 0.0:
        return _SMALLEST_EXPONENT
    exponent = max(int(np.ceil(np.log2(span / MAX_BINS))) - 1, _SMALLEST_EXPONENT)
    while np.floor(high * 2.0**-exponent) - np.floor(low * 2.0**-exponent) + 1 > MAX_BINS:
        exponent += 1
    return exponent


def tensors_to_observe(model: ir.Model) -> list[str]:
    """Names of the float activations that some placement may quantize.

    Left out: tensors that only feed a Relu or Clip (fused into their producer), the outputs of Sigmoid (range known) and of
    operators that pass their input's scale on (`passes_scale`), and constants.
    """
    ir = require("onnx_ir", extra="quantize")
    names = [value.name for value in model.graph.inputs]
    for node in model.graph:
        if node.op_type in ("Sigmoid", "Constant") or passes_scale(node):
            continue
        for value in node.outputs:
            consumers = {use.node.op_type for use in value.uses()}
            if value.dtype == ir.DataType.FLOAT and value.name and consumers and not consumers <= {"Relu", "Clip"}:
                names.append(value.name)
    return [name for name in names if name]


def calibrate(
    model_path: Path,
    images: Iterable[np.ndarray],
    *,
    expected_images: int,
    samples_hash: str,
    content_hashes: Sequence[str] = (),
    progress: Callable[[int], None] = lambda done: None,
) -> Ranges:
    """Runs the float graph over the images, one by one, and returns the statistics of its activations.

    Args:
        images: preprocessed batches, N x C x H x W float32, of any N.
        expected_images: how many images there should be in all.
        progress: called with the number of images done.

    Raises:
        DataError: an image makes the model give NaN or infinity, or fewer or more images came than expected.
    """
    ort = require("onnxruntime", extra="quantize")
    ir = require("onnx_ir", extra="quantize")
    model = ir.load(model_path)
    names = tensors_to_observe(model)
    by_name = {v.name: v for node in model.graph for v in node.outputs}
    input_value = model.graph.inputs[0]
    batch = input_value.shape[0] if isinstance(input_value.shape[0], int) else 1
    outputs = [name for name in names if name != input_value.name]
    present = {v.name for v in model.graph.outputs}
    model.graph.outputs.extend(by_name[name] for name in outputs if name not in present)
    session = ort_session(ort, model, optimize=True)

    accumulators = {name: Accumulator() for name in names}
    seen = 0
    for group in _groups(images, batch):
        # the last group of a graph with a larger static batch is filled up with its own images, and their rows left out
        data = group[np.arange(batch) % len(group)]
        accumulators[str(input_value.name)].add(group)
        for name, value in zip(outputs, session.run(outputs, {input_value.name: data}), strict=True):
            accumulators[name].add(value[: len(group)] if value.shape[:1] == (batch,) else value)
        seen += len(group)
        progress(seen)
    if seen != expected_images:
        raise DataError(f"{seen} calibration images were read, {expected_images} were listed")
    return Ranges(
        tensors={name: accumulator.stats() for name, accumulator in accumulators.items()},
        images=seen, model_sha256=sha256_file(model_path), samples_hash=samples_hash, content_hashes=tuple(content_hashes),
    )  # fmt: skip


def _groups(images: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Chunks of any length as groups of `size` images; the last may be shorter."""
    rest: list[np.ndarray] = []
    for chunk in images:
        rest += list(chunk)
        while len(rest) >= size:
            yield np.stack(rest[:size])
            rest = rest[size:]
    if rest:
        yield np.stack(rest)


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Writes the statistics as .npz (arrays and one JSON header; no pickles)."""
    header = {
        "format": FORMAT, "images": ranges.images, "model_sha256": ranges.model_sha256, "samples_hash": ranges.samples_hash,
        "content_hashes": ranges.content_hashes,
        "tensors": [
            {
                "name": name, "minimum": s.minimum, "maximum": s.maximum, "elements": s.elements,
                "exponent": s.exponent, "first_bin": s.first_bin,
            }
            for name, s in ranges.tensors.items()
        ],
    }  # fmt: skip
    arrays = {f"counts_{i}": s.counts for i, s in enumerate(ranges.tensors.values())}
    with write_atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)  # type: ignore[arg-type]


def load_ranges(path: Path) -> Ranges:
    """Reads what `save_ranges` wrote.

    Raises:
        ArtifactError: not such a file, or of another format.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(arrays["header"].tobytes())
            if header["format"] != FORMAT:
                raise ArtifactError(
                    f"{path} has format {header['format']}, this version reads {FORMAT}", hint="calibrate again"
                )
            tensors = {
                entry.pop("name"): TensorStats(counts=arrays[f"counts_{i}"], **entry)
                for i, entry in enumerate(header["tensors"])
            }
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} is not a file of calibration statistics: {error}", hint="calibrate again") from error
    return Ranges(
        tensors=tensors,
        images=header["images"],
        model_sha256=header["model_sha256"],
        samples_hash=header["samples_hash"],
        content_hashes=tuple(header["content_hashes"]),
    )
