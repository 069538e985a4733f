"""Collects the statistics of every activation tensor over the calibration set, in one pass.

The result depends on the set of images only, exactly, not on order or chunking: a graph of batch 1
sees them one at a time (a runtime's sums may depend on the batch), and the histogram's bins merge
exactly (`histogram.py`). Minimum and maximum are those of all values; the histogram counts a sample
of them at fixed positions, for reading all 21 million values of an image costs SCNet-50 more time
than computing them (`summary.py`). Memory does not grow with the number of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.files import sha256_file
from edge_scnet.core.optional import require
from edge_scnet.errors import DataError, StorageError
from edge_scnet.graph.model import load
from edge_scnet.graph.operators import passes_scale
from edge_scnet.graph.work import multiply_adds
from edge_scnet.machine.linux import usable_cores
from edge_scnet.machine.memory import available_memory_bytes, return_freed_memory
from edge_scnet.quantizer.equalize import equalize, factors
from edge_scnet.quantizer.histogram import CHUNK_ELEMENTS, MAX_BINS, Accumulator
from edge_scnet.quantizer.statistics import Drift, Ranges
from edge_scnet.quantizer.summary import Summarizer, Summary
from edge_scnet.quantizer.thresholds import percentile

if TYPE_CHECKING:
    import onnx_ir as ir

# The thresholds by which two halves of the images are compared: half as many images hold half as
# many extremes.
DRIFT_PERCENT = 99.99
# Multiply-adds that the pass for the channel peaks may take, in all; the images that it takes
# whatever they cost, and at most.
_PEAK_GMAC, _FEWEST_PEAK_IMAGES, _MOST_PEAK_IMAGES = 100.0, 24, 128


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationImages:
    """The images of a calibration, preprocessed, and which they are."""

    # Batches as `core.feeds` has them, of any N.
    batches: Iterable[np.ndarray]
    # How many there should be in all.
    count: int
    # Of the whole set.
    samples_hash: str
    # Of each image; with them the two halves that are compared do not depend on the order.
    content_hashes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalization:
    """Cross-layer equalisation of the graph before its statistics are collected."""

    # Batches as `core.feeds` has them, of the images whose channel peaks decide the factors: a
    # channel that fires on none of them gets a factor that makes it an outlier where it does. They
    # should not depend on the order of the set: `pilot_indices`.
    pilot: Iterable[np.ndarray]
    # 0 (none) to 1.
    strength: float
    # Whether tensors that no layer in front can rescale get a product that does (`rescaling.py`).
    rescaled: bool = False


# Statistics by tensor, of two halves of the images.
Halves = tuple[dict[str, Accumulator], ...]
# Observes the images, and calls the function with the number of those done.
Run = Callable[[CalibrationImages, Callable[[int], None]], Halves]
# Makes that of a graph, the tensors to observe, and whether there are histograms.
Collect = Callable[["ir.Model", Sequence[str], bool], Run]


def tensors_to_observe(model: ir.Model) -> list[str]:
    """Returns the names of the float activations that some placement may quantize.

    Left out: tensors that only feed a Relu or Clip (fused into their producer), the outputs of
    Sigmoid (range known) and of operators that pass their input's scale on (`passes_scale`), and
    constants.
    """
    ir_module = require("onnx_ir", extra="quantize")
    floating = ir_module.DataType.FLOAT
    names = [value.name for value in model.graph.inputs if value.dtype == floating]
    for node in model.graph:
        if node.op_type in ("Sigmoid", "Constant") or passes_scale(node):
            continue
        for value in node.outputs:
            consumers = {use.node.op_type for use in value.uses()}
            if (
                value.dtype == floating
                and value.name
                and consumers
                and not consumers <= {"Relu", "Clip"}
            ):
                names.append(value.name)
    return [name for name in names if name]


def calibrate(
    model_path: Path,
    images: CalibrationImages,
    *,
    histogram: bool = True,
    equalization: Equalization | None = None,
    progress: Callable[[int], None] = lambda done: None,
    collect: Collect | None = None,
) -> Ranges:
    """Runs the float graph over the images, one by one, and returns the statistics.

    Args:
        histogram: minimum and maximum need none, and are faster without.
        equalization: the statistics are then those of the equalised graph.
        progress: called with the number of images done.
        collect: runs the graph; None: `collect_here`.

    Raises:
        DataError: everything that was observed is NaN or infinite, or fewer or more images came
            than expected.
        StorageError: the model and its activations do not fit the memory that is free.
    """
    model = load(model_path)
    names = tensors_to_observe(model)
    check_memory(model, names)
    factor_of: dict[str, np.ndarray] = {}
    if equalization is not None and equalization.strength:
        peaks = channel_peaks(model, names, equalization.pilot)
        factor_of = factors(
            model, peaks, strength=equalization.strength, rescaled=equalization.rescaled
        )
        model = equalize(model, factor_of)
        names = tensors_to_observe(model)
        return_freed_memory()
    # two halves by content, merged in the end: how far they differ tells whether there are enough
    # images
    run = (collect or collect_here)(model, names, histogram)
    del model  # its weights are the runtime's now
    return_freed_memory()
    halves = run(images, progress)
    del run
    return_freed_memory()
    not_finite = tuple(n for n in names if not all(half[n].finite for half in halves))
    finite = [name for name in names if name not in set(not_finite)]
    if not finite:
        raise DataError(
            f"the float model gives NaN or infinity on a calibration image, in {names[0]!r} and in"
            f" all of its {len(names)} tensors",
            hint=(
                "check the weights, and --mean and --std: edge-scnet export shows the parity alone"
            ),
        )
    drift = _drift(*halves, names=finite, images=images.count)
    for name in finite:
        halves[0][name].merge(halves[1][name])
    return Ranges(
        tensors={name: halves[0][name].stats() for name in finite},
        factors=factor_of,
        drift=drift,
        images=images.count,
        model_sha256=sha256_file(model_path),
        samples_hash=images.samples_hash,
        content_hashes=tuple(images.content_hashes),
        not_finite=not_finite,
    )


def collect_here(model: ir.Model, names: Sequence[str], histogram: bool) -> Run:
    """Observes a graph in this process, an image on each core; `model` is not kept."""
    summarizer = Summarizer(model, names, sample=histogram)

    def run(images: CalibrationImages, progress: Callable[[int], None]) -> Halves:
        halves = empty_halves(names, histogram=histogram)
        seen = 0
        for summaries in summarizer.run(images.batches):
            add(halves[half_of(images, seen)], summaries)
            seen += 1
            progress(seen)
        check_count(seen, images)
        return halves

    return run


def empty_halves(names: Sequence[str], *, histogram: bool) -> Halves:
    """The statistics of no images."""
    return tuple({name: Accumulator(histogram=histogram) for name in names} for _ in range(2))


def add(half: Mapping[str, Accumulator], summaries: Mapping[str, Summary]) -> None:
    """Adds one image to its half."""
    for name, summary in summaries.items():
        half[name].add(summary)


def half_of(images: CalibrationImages, index: int) -> int:
    """Which half an image belongs to: by its content, where that is known."""
    hashes = images.content_hashes
    return int(hashes[index][-8:], 16) % 2 if index < len(hashes) else index % 2


def check_count(seen: int, images: CalibrationImages) -> None:
    """Refuses another number of images than was listed.

    Raises:
        DataError: both are named.
    """
    if seen != images.count:
        raise DataError(f"{seen} calibration images were read, {images.count} were listed")


def _drift(
    first: dict[str, Accumulator],
    second: dict[str, Accumulator],
    *,
    names: Sequence[str],
    images: int,
) -> Drift | None:
    """How far the thresholds of two halves of the images lie apart; None where one is empty."""
    apart = {}
    for name in names:
        if first[name].is_empty or second[name].is_empty:
            return None
        (low_a, high_a), (low_b, high_b) = _ends(first[name]), _ends(second[name])
        span = max(high_a, high_b, 0.0) - min(low_a, low_b, 0.0)
        apart[name] = 100.0 * max(abs(low_a - low_b), abs(high_a - high_b)) / span if span else 0.0
    worst = max(apart, key=lambda name: apart[name])
    return Drift(
        median_percent=float(np.median([*apart.values()])),
        worst_percent=apart[worst],
        worst_tensor=worst,
        images=images,
    )


def _ends(half: Accumulator) -> tuple[float, float]:
    if half.histogram:
        return percentile(half.stats(), DRIFT_PERCENT)
    return half.minimum, half.maximum


def peak_images(model: ir.Model, available: int) -> int:
    """Returns of how many images the channel peaks should be taken.

    As many as that is little work for: on FastestDet 120 instead of 24 are worth 3.5 dB. More than
    some hundred show rare outliers rather than channels that seldom fire (scnet20: 1,024 instead of
    24 lose 0.4 dB).
    """
    work = sum(multiply_adds(model).values()) or 1
    affordable = max(_FEWEST_PEAK_IMAGES, int(_PEAK_GMAC * 1e9 / work))
    return min(available, affordable, _MOST_PEAK_IMAGES)


def pilot_indices(content_hashes: Sequence[str], count: int) -> list[int]:
    """Returns the indices of the images with the lowest hashes, in that order.

    The choice depends on the set alone, not on its order.
    """
    return sorted(range(len(content_hashes)), key=lambda i: content_hashes[i])[:count]


def channel_peaks(
    model: ir.Model, names: Sequence[str], batches: Iterable[np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the largest magnitude of every channel, by tensor; infinity: not finite."""
    peaks: dict[str, np.ndarray] = {}
    for summaries in Summarizer(model, names, sample=False).run(batches):
        for name, summary in summaries.items():
            if not summary.finite:
                peaks[name] = np.full_like(summary.high, np.inf)
                continue
            peaks[name] = np.maximum(peaks.get(name, 0.0), np.maximum(summary.high, -summary.low))
    return peaks


def estimate_bytes(model: ir.Model, names: Sequence[str]) -> int:
    """Returns the memory that calibration takes, in bytes, whatever the number of images.

    Weights are held by the float graph and the equalised one, and by the runtime in two layouts;
    the activations of one image by every core. SCNet-50: tests/benchmarks/ptq_peers.py has what was
    measured.
    """
    weights = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value is not None
    )
    wanted = set(names)
    activations = sum(_bytes(v) for node in model.graph for v in node.outputs if v.name in wanted)
    histograms = 2 * len(names) * (MAX_BINS * 8 + CHUNK_ELEMENTS * 4)
    return 4 * weights + 2 * activations * usable_cores() + histograms


def check_memory(model: ir.Model, names: Sequence[str]) -> None:
    """Raises StorageError where more memory is needed than is free; both are named."""
    needed, free = estimate_bytes(model, names), available_memory_bytes()
    if free is not None and needed > free:
        raise StorageError(
            f"calibration needs about {needed / 1e6:,.0f} MB of memory, {free / 1e6:,.0f} MB are"
            " free",
            hint="close other programs, or calibrate at --batch 1 or a smaller --input-size",
        )


def _bytes(value: ir.Value) -> int:
    """The size of a float32 tensor; open sizes count as 1."""
    shape = value.shape
    return math.prod(d if isinstance(d, int) else 1 for d in shape) * 4 if shape is not None else 0
