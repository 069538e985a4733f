"""The range of an activation to keep, from its statistics, by five methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge_scnet.quantizer.params import Codes, activation_params
from edge_scnet.quantizer.statistics import TensorStats


def min_max(stats: TensorStats) -> tuple[float, float]:
    """Returns the range as seen: nothing saturates, an outlier costs resolution."""
    return stats.minimum, stats.maximum


def percentile(stats: TensorStats, percent: float) -> tuple[float, float]:
    """Returns the range in which `percent` of all values lie, the rest cut evenly at both ends.

    An end at which values pile up (zero after ReLU) is not cut: the threshold is never inside the
    outermost bin that holds more than its share. Accurate to one bin, which is at most 1/2048 of
    the range.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent must be in (0, 100], got {percent}")
    tail = (100.0 - percent) / 200.0 * stats.elements
    if tail < 1.0:
        return min_max(stats)
    cumulated = np.cumsum(stats.counts)
    low_bin = int(np.searchsorted(cumulated, tail, side="right"))
    high_bin = int(np.searchsorted(cumulated, stats.elements - tail, side="left"))
    width = stats.bin_width
    low = max((stats.first_bin + low_bin) * width, stats.minimum)
    high = min((stats.first_bin + high_bin + 1) * width, stats.maximum)
    return low, high


def mse(stats: TensorStats, *, dtype: Codes = "uint8") -> tuple[float, float]:
    """Returns the range with the least expected squared error, its ends searched in 5 % steps."""
    low, high = min(stats.minimum, 0.0), max(stats.maximum, 0.0)

    def judged(low: float, high: float) -> tuple[float, float, float]:
        return expected_error(stats, low, high, dtype=dtype), low, high

    best = judged(low, high)
    shares = np.geomspace(1.0, 0.2, 33)
    for _ in range(2):
        best = min([best, *[judged(best[1], high * share) for share in shares]])
        if low < 0:
            best = min([best, *[judged(low * share, best[2]) for share in shares]])
    return best[1], best[2]


def entropy(stats: TensorStats) -> tuple[float, float]:
    """Returns the range at which the magnitudes, cut and quantized, diverge least from themselves.

    The divergence is Kullback and Leibler's, as in Migacz, "8-bit Inference with TensorRT" (GTC
    2017): 128 levels of magnitude, the cut values counted into the last bin, the mass of a level
    spread over its bins that are not empty. The first bin holds the zeros of a ReLU, which every
    scale represents exactly: it counts as much as the second, or it would decide alone (as in
    NVIDIA's pytorch-quantization).
    """
    magnitudes, mass = _magnitudes(stats)
    mass[0] = min(mass[0], mass[1]) if mass.size > 1 else mass[0]
    levels, bins = 128, mass.size
    if bins <= levels:
        return min_max(stats)
    best, best_end = np.inf, bins
    for end in range(levels, bins + 1, max(1, (bins - levels) // 256)):
        reference = mass[:end].astype(np.float64)
        occupied = reference > 0
        reference[-1] += mass[end:].sum()
        edges = np.linspace(0, end, levels + 1).astype(int)[:-1]
        level_mass = np.add.reduceat(mass[:end], edges)
        level_bins = np.maximum(np.add.reduceat(occupied.astype(np.int64), edges), 1)
        sizes = np.diff(np.append(edges, end))
        spread = np.repeat(level_mass / level_bins, sizes) * occupied
        if not spread.any() or not reference.any():
            continue
        p, q = reference / reference.sum(), spread / spread.sum()
        both = (p > 0) & (q > 0)
        # mass that the quantized distribution cannot hold at all counts as if it held a thousandth
        # of the smallest share
        missing = p[(p > 0) & (q == 0)].sum() * 14.0
        divergence = float((p[both] * np.log(p[both] / q[both])).sum()) + missing
        if divergence < best:
            best, best_end = divergence, end
    threshold = float(magnitudes[best_end - 1] + stats.bin_width / 2)
    return max(stats.minimum, -threshold), min(stats.maximum, threshold)


def _magnitudes(stats: TensorStats) -> tuple[np.ndarray, np.ndarray]:
    """The histogram of magnitudes: bin middles and counts, from zero up."""
    index = stats.first_bin + np.arange(stats.counts.size)
    position = np.where(index >= 0, index, -index - 1)
    mass = np.bincount(position, weights=stats.counts).astype(np.int64)
    return (np.arange(mass.size) + 0.5) * stats.bin_width, mass


def expected_error(stats: TensorStats, low: float, high: float, *, dtype: Codes = "uint8") -> float:
    """Returns the mean squared error of the tensor when quantized to [low, high].

    It is computed from the histogram: within the range a value is as likely to lie anywhere in its
    step as the bins tell; the zeros of a ReLU are exact.
    """
    params = activation_params(low, high, dtype=dtype)
    lowest, highest = params.code_range
    centers, width = stats.centers, stats.bin_width
    codes = np.clip(np.rint(centers / params.scale) + params.zero_point, lowest, highest)
    error = (centers - (codes - params.zero_point) * params.scale) ** 2
    # a bin is narrower than a step: its values vary around its middle
    error += np.where((centers == 0.0) & (stats.minimum == 0.0), 0.0, width**2 / 12)
    return float((error * stats.counts).sum() / max(stats.elements, 1))


def auto(stats: TensorStats, percent: float, *, dtype: Codes = "uint8") -> tuple[float, float]:
    """Returns the range with the least expected error among those of the other methods."""
    candidates = [
        min_max(stats),
        percentile(stats, percent),
        entropy(stats),
        mse(stats, dtype=dtype),
    ]
    return min(candidates, key=lambda ends: expected_error(stats, *ends, dtype=dtype))


def thresholds(
    stats: TensorStats, method: str, percent: float, *, dtype: Codes = "uint8"
) -> tuple[float, float]:
    """Returns the range to keep, by the scheme's method.

    The default is the percentile of 99.999: on scnet20, 7-bit weights, compiled, 10,000 images of
    Fashion-MNIST, it gives 38.2 dB, auto 37.9, MSE 37.9, min-max 37.1, entropy 24.8. The least
    error of each tensor is not the least at the logits: it clips the large values, which count for
    more (tests/benchmarks/ptq_peers.py).
    """
    methods: dict[str, Callable[[], tuple[float, float]]] = {
        "minmax": lambda: min_max(stats),
        "percentile": lambda: percentile(stats, percent),
        "entropy": lambda: entropy(stats),
        "mse": lambda: mse(stats, dtype=dtype),
        "auto": lambda: auto(stats, percent, dtype=dtype),
    }
    return methods[method]()
