"""Weights to int8 codes with a scale for each output channel."""

from __future__ import annotations

import numpy as np

from edge_scnet.quantizer.params import SMALLEST_SCALE

# By the bits of a weight.
LARGEST_CODE = {8: 127, 7: 64}


def quantize_weights(weights: np.ndarray, *, axis: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes weights symmetrically, with the scale of each channel that has the least squared error.

    Args:
        weights: float array of any rank; `axis` is the output channel.
        bits: 8, or 7 for instruction sets whose int8 products saturate (see
            machine.isa.weight_bits). Codes lie in [-127, 127] or [-64, 64]: 2 * 255 * 64 still fits
            int16.

    Returns:
        codes: int8, the shape of `weights`.
        scales: float32, one per channel; of a channel of zeros the median of the others.
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
    if (dead := peak == 0).any():
        # any scale says zero; one like the others' can be written in FP16 too
        scales[dead] = np.median(scales[~dead]) if not dead.all() else 1.0 / largest
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
