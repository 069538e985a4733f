"""Thresholds and quantization parameters from statistics: pure functions, no I/O.

Real value = scale * (quantized - zero_point).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from edge_scnet.quantize.statistics import TensorStats

# A scale below this would make 1/scale overflow in float32 kernels; a tensor this small is zero to
# every consumer.
SMALLEST_SCALE = float(np.float32(2.0**-100))
UINT8_MAX = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantParams:
    """Scale and zero point of one per-tensor quantized activation."""

    scale: float
    zero_point: int
    dtype: Literal["uint8", "int8"] = "uint8"


def min_max(stats: TensorStats) -> tuple[float, float]:
    """The range as seen: nothing saturates, an outlier costs resolution."""
    return stats.minimum, stats.maximum


def percentile(stats: TensorStats, percent: float) -> tuple[float, float]:
    """Thresholds between which `percent` of all values lie, the rest cut off evenly at both ends.

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


def mse(stats: TensorStats, *, dtype: Literal["uint8", "int8"] = "uint8") -> tuple[float, float]:
    """The thresholds with the least expected squared error of the tensor, each end searched in
    steps of 5 %.
    """
    low, high = min(stats.minimum, 0.0), max(stats.maximum, 0.0)
    best = (expected_error(stats, low, high, dtype=dtype), low, high)
    shares = np.geomspace(1.0, 0.2, 33)
    for _ in range(2):
        best = min(
            [
                best,
                *(
                    (expected_error(stats, best[1], high * s, dtype=dtype), best[1], high * s)
                    for s in shares
                ),
            ]
        )
        if low < 0:
            best = min(
                [
                    best,
                    *(
                        (expected_error(stats, low * s, best[2], dtype=dtype), low * s, best[2])
                        for s in shares
                    ),
                ]
            )
    return best[1], best[2]


def entropy(stats: TensorStats) -> tuple[float, float]:
    """The thresholds at which the distribution of magnitudes, cut there and quantized, diverges
    least from itself (KL).

    Migacz, "8-bit Inference with TensorRT" (GTC 2017): 128 levels of magnitude, the cut values
    counted into the last bin, the mass of a level spread over its bins that are not empty. The
    first bin holds the zeros of a ReLU, which every scale represents exactly: it counts as much as
    the second, or it would decide alone (as in NVIDIA's pytorch-quantization).
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


def expected_error(
    stats: TensorStats, low: float, high: float, *, dtype: Literal["uint8", "int8"] = "uint8"
) -> float:
    """Mean squared error of the tensor when quantized to [low, high], from its histogram.

    Within the range a value is as likely to lie anywhere in its step as the bins tell; the zeros of
    a ReLU are exact.
    """
    params = activation_params(low, high, dtype=dtype)
    lowest, highest = _code_range(params)
    centers, width = stats.centers, stats.bin_width
    codes = np.clip(np.rint(centers / params.scale) + params.zero_point, lowest, highest)
    error = (centers - (codes - params.zero_point) * params.scale) ** 2
    # a bin is narrower than a step: its values vary around its middle
    error += np.where((centers == 0.0) & (stats.minimum == 0.0), 0.0, width**2 / 12)
    return float((error * stats.counts).sum() / max(stats.elements, 1))


def auto(
    stats: TensorStats, percent: float, *, dtype: Literal["uint8", "int8"] = "uint8"
) -> tuple[float, float]:
    """Of min-max, percentile, entropy and MSE the one with the least expected error, tensor by
    tensor.
    """
    candidates = [
        min_max(stats),
        percentile(stats, percent),
        entropy(stats),
        mse(stats, dtype=dtype),
    ]
    return min(candidates, key=lambda ends: expected_error(stats, *ends, dtype=dtype))


def thresholds(
    stats: TensorStats, method: str, percent: float, *, dtype: Literal["uint8", "int8"] = "uint8"
) -> tuple[float, float]:
    """The range to keep, by the scheme's method.

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


def activation_params(low: float, high: float, *, dtype: Literal["uint8", "int8"]) -> QuantParams:
    return uint8_params(low, high) if dtype == "uint8" else int8_params(low, high)


def int8_params(low: float, high: float) -> QuantParams:
    """Symmetric int8 parameters, zero point 0: what TensorRT takes. Codes lie in [-127, 127]."""
    peak = max(-low, high, 0.0)
    return QuantParams(
        scale=float(np.float32(max(peak / 127, SMALLEST_SCALE))), zero_point=0, dtype="int8"
    )


def _code_range(params: QuantParams) -> tuple[int, int]:
    return (0, 255) if params.dtype == "uint8" else (-127, 127)


def uint8_params(low: float, high: float) -> QuantParams:
    """Asymmetric uint8 parameters for [low, high], widened to hold zero, which must be exact (zero
    padding, ReLU).

    A range without negative values gives zero point 0: OpenVINO miscompiles padded average pools
    and, for int8, Concat on tensors with another one (tests/compile/test_fidelity.py).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / UINT8_MAX, SMALLEST_SCALE)
    zero_point = round(-low / scale)
    # rounding the zero point moves the range by up to half a step: widen the scale so that neither
    # end is cut
    if 0 < zero_point < UINT8_MAX:
        scale = max(-low / zero_point, high / (UINT8_MAX - zero_point), SMALLEST_SCALE)
    return QuantParams(scale=float(np.float32(scale)), zero_point=zero_point)


LARGEST_CODE = {8: 127, 7: 64}


def quantize_weights(weights: np.ndarray, *, axis: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric per-channel int8 codes and scales; scales chosen per channel to minimise the
    squared error.

    Args:
        weights: float array of any rank; `axis` is the output channel.
        bits: 8, or 7 for instruction sets whose int8 products saturate (see
            environment.weight_bits). Codes lie in [-127, 127] or [-64, 64]: 2 * 255 * 64 still fits
            int16.

    Returns:
        codes: int8, the shape of `weights`.
        scales: float32, one per channel.
    """
    largest = LARGEST_CODE[bits]
    flat = np.moveaxis(weights.astype(np.float64), axis, 0).reshape(weights.shape[axis], -1)
    peak = np.abs(flat).max(axis=1)
    best_scale = np.maximum(peak / largest, SMALLEST_SCALE)
    best_error = _channel_error(flat, best_scale, largest)
    # clipping the peak by up to a fifth: below that the error of the clipped weights always
    # dominates
    for share in np.linspace(0.80, 0.99, 20):
        scale = np.maximum(peak * share / largest, SMALLEST_SCALE)
        error = _channel_error(flat, scale, largest)
        better = error < best_error
        best_scale = np.where(better, scale, best_scale)
        best_error = np.where(better, error, best_error)
    scales = best_scale.astype(np.float32)
    codes = _codes(flat, scales.astype(np.float64), largest).astype(np.int8)
    shape = np.moveaxis(weights, axis, 0).shape
    return np.ascontiguousarray(np.moveaxis(codes.reshape(shape), 0, axis)), scales


def _codes(flat: np.ndarray, scales: np.ndarray, largest: int) -> np.ndarray:
    codes: np.ndarray = np.clip(np.rint(flat / scales[:, None]), -largest, largest)
    return codes


def _channel_error(flat: np.ndarray, scales: np.ndarray, largest: int) -> np.ndarray:
    difference = flat - _codes(flat, scales, largest) * scales[:, None]
    error: np.ndarray = np.einsum("ij,ij->i", difference, difference)
    return error
