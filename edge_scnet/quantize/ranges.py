"""Thresholds and quantization parameters from statistics: pure functions, no I/O.

Real value = scale * (quantized - zero_point).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_scnet.quantize.statistics import TensorStats

UINT8_MAX = 255
# A scale below this would make 1/scale overflow in float32 kernels; a tensor this small is zero to every consumer.
SMALLEST_SCALE = float(np.float32(2.0**-100))


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantParams:
    """Scale and zero point of one per-tensor quantized activation (uint8)."""

    scale: float
    zero_point: int


def min_max(stats: TensorStats) -> tuple[float, float]:
    """The range as seen: nothing saturates, an outlier costs resolution."""
    return stats.minimum, stats.maximum


def percentile(stats: TensorStats, percent: float) -> tuple[float, float]:
    """Thresholds between which `percent` of all values lie, the rest cut off evenly at both ends.

    An end at which values pile up (zero after ReLU) is not cut: the threshold is never inside the outermost bin that
    holds more than its share. Accurate to one bin, which is at most 1/2048 of the range.
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


def thresholds(stats: TensorStats, method: str, percent: float) -> tuple[float, float]:
    """The range to keep, by the scheme's method ("minmax" or "percentile")."""
    return {"minmax": lambda: min_max(stats), "percentile": lambda: percentile(stats, percent)}[method]()


def uint8_params(low: float, high: float) -> QuantParams:
    """Asymmetric uint8 parameters for [low, high], widened to hold zero, which must be exact (zero padding, ReLU).

    A range without negative values gives zero point 0: OpenVINO miscompiles padded average pools and, for int8, Concat
    on tensors with another one (tests/test_compile.py).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / UINT8_MAX, SMALLEST_SCALE)
    zero_point = round(-low / scale)
    # rounding the zero point moves the range by up to half a step: widen the scale so that neither end is cut
    if 0 < zero_point < UINT8_MAX:
        scale = max(-low / zero_point, high / (UINT8_MAX - zero_point), SMALLEST_SCALE)
    return QuantParams(scale=float(np.float32(scale)), zero_point=zero_point)


def quantize_weights(weights: np.ndarray, *, axis: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric per-channel int8 codes and scales; scales chosen per channel to minimise the squared error.

    Args:
        weights: float array of any rank; `axis` is the output channel.
        bits: 8, or 7 for instruction sets whose int8 products saturate (see environment.weight_bits). Codes lie in
            [-127, 127] or [-64, 64]: 2 * 255 * 64 still fits int16.

    Returns:
        codes: int8, the shape of `weights`.
        scales: float32, one per channel.
    """
    largest = {8: 127, 7: 64}[bits]
    flat = np.moveaxis(weights.astype(np.float64), axis, 0).reshape(weights.shape[axis], -1)
    peak = np.abs(flat).max(axis=1)
    best_scale = np.maximum(peak / largest, SMALLEST_SCALE)
    best_error = _channel_error(flat, best_scale, largest)
    # clipping the peak by up to a fifth: below that the error of the clipped weights always dominates
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
