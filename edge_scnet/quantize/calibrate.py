"""Streaming statistics of every activation tensor over the calibration set, in one pass and flat memory.

Owns the histogram and its file. Knows nothing of thresholds, schemes or targets.

The result depends on the set of images only, exactly, not on order or chunking: a graph of batch 1 sees them one at a time
(a runtime's sums may depend on the batch), bins lie on a grid of power-of-two width anchored at zero that doubles as the range
grows, so that merging two bins is exact. Minimum and maximum are those of all values; the histogram counts a sample of them
at fixed positions, for reading all 21 million values of an image costs SCNet-50 more time than computing them (`summary.py`).
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.manifest import sha256_file, write_atomic
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, DataError, StorageError
from edge_scnet.graph.operators import passes_scale
from edge_scnet.machine.environment import available_memory_bytes, return_freed_memory, usable_cores
from edge_scnet.quantize.equalize import equalize, factors
from edge_scnet.quantize.statistics import Drift, Ranges, TensorStats
from edge_scnet.quantize.summary import Summarizer, Summary, summarize
from edge_scnet.quantize.thresholds import percentile

if TYPE_CHECKING:
    import onnx_ir as ir

MAX_BINS = 4096
# The thresholds by which two halves of the images are compared: half as many images hold half as many extremes.
DRIFT_PERCENT = 99.99
# Values of several images are binned together up to this many, so that NumPy's cost per call does not dominate on small
# networks; more would leave the cache.
_CHUNK_ELEMENTS = 1 << 15
_SMALLEST_EXPONENT = -126
FORMAT = 3


class Accumulator:
    """The statistics of one tensor, fed one image at a time; `histogram=False` keeps minimum and maximum only."""

    def __init__(self, name: str = "", *, histogram: bool = True) -> None:
        self.name, self.histogram = name, histogram
        self.minimum, self.maximum = np.inf, -np.inf
        self.exponent = _SMALLEST_EXPONENT
        self.first_bin = 0
        self.counts = np.zeros(0, np.int64)
        self._pending: list[np.ndarray] = []
        self._pending_elements = 0

    def add(self, values: np.ndarray) -> None:
        """Adds one image's values, of any shape, float32: `add_summary` of them."""
        self.add_summary(summarize(values, sample=self.histogram))

    def add_summary(self, summary: Summary) -> None:
        """Adds one image's.

        Raises:
            DataError: the values are not finite.
        """
        low, high = float(summary.low.min()), float(summary.high.max())
        if not (summary.finite and math.isfinite(low) and math.isfinite(high)):
            raise DataError(
                f"the float model gives NaN or infinity on a calibration image, in {self.name!r}",
                hint="check the weights, and --mean and --std: edge-scnet export shows the parity alone",
            )
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        if not self.histogram:
            return
        self._pending.append(summary.sample)
        self._pending_elements += self._pending[-1].size
        if self._pending_elements >= _CHUNK_ELEMENTS:
            self._flush()

    def _flush(self) -> None:
        if not self._pending:
            return
        flat = self._pending[0] if len(self._pending) == 1 else np.concatenate(self._pending)
        self._pending, self._pending_elements = [], 0
        exponent = _exponent(self.minimum, self.maximum)
        if exponent > self.exponent:
            self._coarsen(exponent)
        first = math.floor(float(flat.min()) * 2.0**-self.exponent)
        # scaling by a power of two is exact in float32, so an edge value lands in the same bin on every machine
        scaled = flat * np.float32(2.0**-self.exponent)
        np.floor(scaled, out=scaled)
        # the counts of a chunk: bins are at most MAX_BINS apart, so the difference is exact in float32 too
        self._merge(first, np.bincount((scaled - np.float32(first)).astype(np.intp)))

    def stats(self) -> TensorStats:
        """The statistics so far.

        Raises:
            ValueError: nothing was added.
        """
        self._flush()
        if self.minimum > self.maximum:
            raise ValueError("no values were added")
        # the range may have grown after the last values were binned
        self._coarsen(max(self.exponent, _exponent(self.minimum, self.maximum)))
        return TensorStats(
            minimum=self.minimum, maximum=self.maximum, elements=int(self.counts.sum()), exponent=self.exponent,
            first_bin=self.first_bin, counts=self.counts,
        )  # fmt: skip

    def merge(self, other: Accumulator) -> None:
        """Takes in what another one was fed: the same as if this one had been."""
        self._flush()
        other._flush()
        self.minimum, self.maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        if self.minimum <= self.maximum:
            exponent = _exponent(self.minimum, self.maximum)
            self._coarsen(max(self.exponent, exponent))
            other._coarsen(self.exponent)
        if other.counts.size:
            self._merge(other.first_bin, other.counts)

    def _coarsen(self, exponent: int) -> None:
        step = exponent - self.exponent
        if self.counts.size and step:
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
    histogram: bool = True,
    pilot: np.ndarray | None = None,
    equalization: float = 0.0,
    progress: Callable[[int], None] = lambda done: None,
) -> Ranges:
    """Runs the float graph over the images, one by one, and returns the statistics of its activations.

    Args:
        images: preprocessed batches, N x C x H x W float32, of any N.
        expected_images: how many images there should be in all.
        histogram: minimum and maximum need none, and are faster without.
        pilot: images whose channel peaks decide the factors of cross-layer equalisation; the statistics are then those of
            the equalised graph. They should not depend on the order of the images: `pilot_indices`.
        equalization: its strength, 0 (none) to 1.
        progress: called with the number of images done.

    Raises:
        DataError: an image makes the model give NaN or infinity, or fewer or more images came than expected.
        StorageError: the model and its activations do not fit the memory that is free.
    """
    ir = require("onnx_ir", extra="quantize")
    model = ir.load(model_path)
    names = tensors_to_observe(model)
    check_memory(model, names)
    factor_of: dict[str, np.ndarray] = {}
    if equalization and pilot is not None:
        factor_of = factors(model, _channel_peaks(model, names, pilot), strength=equalization)
        model = equalize(model, factor_of)
        return_freed_memory()
    # two halves by content, merged in the end: how far they differ tells whether there are enough images
    halves = [{name: Accumulator(name, histogram=histogram) for name in names} for _ in range(2)]
    summarizer = Summarizer(model, names, sample=histogram)
    del model  # its weights are the runtime's now
    return_freed_memory()
    seen = 0
    for summaries in summarizer.run(images):
        half = halves[int(content_hashes[seen][-8:], 16) % 2 if seen < len(content_hashes) else seen % 2]
        for name, summary in summaries.items():
            half[name].add_summary(summary)
        seen += 1
        progress(seen)
    if seen != expected_images:
        raise DataError(f"{seen} calibration images were read, {expected_images} were listed")
    del summarizer
    return_freed_memory()
    drift = _drift(*halves, images=seen)
    for name in names:
        halves[0][name].merge(halves[1][name])
    return Ranges(
        tensors={name: halves[0][name].stats() for name in names}, factors=factor_of, drift=drift,
        images=seen, model_sha256=sha256_file(model_path), samples_hash=samples_hash, content_hashes=tuple(content_hashes),
    )  # fmt: skip


def _drift(first: dict[str, Accumulator], second: dict[str, Accumulator], *, images: int) -> Drift | None:
    """How far the thresholds of two halves of the images lie apart, in percent of the range; None where one half is empty."""
    apart = {}
    for name in first:
        if first[name].minimum > first[name].maximum or second[name].minimum > second[name].maximum:
            return None
        (low_a, high_a), (low_b, high_b) = (
            percentile(half[name].stats(), DRIFT_PERCENT) if half[name].histogram else (half[name].minimum, half[name].maximum)
            for half in (first, second)
        )
        range_ = max(high_a, high_b, 0.0) - min(low_a, low_b, 0.0)
        apart[name] = 100.0 * max(abs(low_a - low_b), abs(high_a - high_b)) / range_ if range_ else 0.0
    worst = max(apart, key=lambda name: apart[name])
    return Drift(
        median_percent=float(np.median([*apart.values()])), worst_percent=apart[worst], worst_tensor=worst, images=images
    )


def pilot_indices(content_hashes: Sequence[str], count: int) -> list[int]:
    """The images with the lowest hashes, in that order: a choice that depends on the set alone, not on its order."""
    return sorted(range(len(content_hashes)), key=lambda i: content_hashes[i])[:count]


def _channel_peaks(model: ir.Model, names: Sequence[str], images: np.ndarray) -> dict[str, np.ndarray]:
    """The largest magnitude of every channel, by tensor."""
    peaks: dict[str, np.ndarray] = {}
    for summaries in Summarizer(model, names, sample=False).run([images]):
        for name, summary in summaries.items():
            peaks[name] = np.maximum(peaks.get(name, 0.0), np.maximum(summary.high, -summary.low))
    return peaks


def estimate_bytes(model: ir.Model, names: Sequence[str]) -> int:
    """Memory that calibration takes, whatever the number of images: the graph's copies and one run's activations.

    Weights are held by the float graph and the equalised one, and by the runtime in two layouts; the activations of one image
    by every core. SCNet-50: tests/benchmarks/ptq_peers.py has what was measured.
    """
    weights = sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None)
    wanted = set(names)
    activations = sum(_bytes(v) for node in model.graph for v in node.outputs if v.name in wanted)
    histograms = 2 * len(names) * (MAX_BINS * 8 + _CHUNK_ELEMENTS * 4)
    return 4 * weights + 2 * activations * usable_cores() + histograms


def check_memory(model: ir.Model, names: Sequence[str]) -> None:
    """Refuses a run that cannot fit.

    Raises:
        StorageError: more memory is needed than is free; both are named.
    """
    needed, free = estimate_bytes(model, names), available_memory_bytes()
    if free is not None and needed > free:
        raise StorageError(
            f"calibration needs about {needed / 1e6:,.0f} MB of memory, {free / 1e6:,.0f} MB are free",
            hint="close other programs, or calibrate at --batch 1 or a smaller --input-size",
        )


def _bytes(value: ir.Value) -> int:
    shape = value.shape
    return math.prod(d if isinstance(d, int) else 1 for d in shape) * 4 if shape is not None else 0


def save_ranges(ranges: Ranges, path: Path) -> None:
    """Writes the statistics as .npz (arrays and one JSON header; no pickles)."""
    header = {
        "format": FORMAT, "images": ranges.images, "model_sha256": ranges.model_sha256, "samples_hash": ranges.samples_hash,
        "content_hashes": ranges.content_hashes, "factors": list(ranges.factors),
        "drift": asdict(ranges.drift) if ranges.drift else None,
        "tensors": [
            {
                "name": name, "minimum": s.minimum, "maximum": s.maximum, "elements": s.elements,
                "exponent": s.exponent, "first_bin": s.first_bin,
            }
            for name, s in ranges.tensors.items()
        ],
    }  # fmt: skip
    arrays = {f"counts_{i}": s.counts for i, s in enumerate(ranges.tensors.values())}
    arrays |= {f"factors_{i}": values for i, values in enumerate(ranges.factors.values())}
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
            drift = Drift(**header["drift"]) if header["drift"] else None
            factor_of = {name: arrays[f"factors_{i}"] for i, name in enumerate(header["factors"])}
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} is not a file of calibration statistics: {error}", hint="calibrate again") from error
    return Ranges(
        tensors=tensors,
        factors=factor_of,
        drift=drift,
        images=header["images"],
        model_sha256=header["model_sha256"],
        samples_hash=header["samples_hash"],
        content_hashes=tuple(header["content_hashes"]),
    )
