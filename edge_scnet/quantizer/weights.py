"""Weights to int8 codes with a scale for each output channel."""

from __future__ import annotations

import numpy as np

from edge_scnet.quantizer.params import SMALLEST_SCALE

# By the bits of a weight.
LARGEST_CODE = {8: 127, 7: 64}
_CHUNK_ELEMENTS = 1 << 15


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
    moved = np.moveaxis(weights, axis, 0)
    flat = moved.reshape(len(moved), -1)
    dead = ~flat.any(axis=1)
    scales = np.empty(len(flat), np.float32)
    codes = np.empty(flat.shape, np.int8)
    for rows in _chunks(flat):
        wide = flat[rows].astype(np.float64)
        scales[rows] = _scales(wide, largest)
        codes[rows] = _codes(wide, scales[rows].astype(np.float64), largest, np.empty_like(wide))
    if dead.any():
        # any scale says zero; one like the others' can be written in FP16 too
        scales[dead] = np.median(scales[~dead]) if not dead.all() else 1.0 / largest
    return np.ascontiguousarray(np.moveaxis(codes.reshape(moved.shape), 0, axis)), scales


def _chunks(flat: np.ndarray) -> list[slice]:
    """The channels in shares that stay in the cache: every one of them is read 21 times."""
    step = max(_CHUNK_ELEMENTS // max(flat.shape[1], 1), 1)
    return [slice(start, start + step) for start in range(0, len(flat), step)]


def _scales(flat: np.ndarray, largest: int) -> np.ndarray:
    """The scale of each row, float64."""
    peak = np.abs(flat).max(axis=1)
    room = np.empty_like(flat)
    best_scale: np.ndarray = np.maximum(peak / largest, SMALLEST_SCALE)
    best_error = _channel_error(flat, best_scale, largest, room)
    # clipping the peak by up to a fifth: below that the error of the clipped weights always
    # dominates
    for share in np.linspace(0.80, 0.99, 20):
        scale = np.maximum(peak * share / largest, SMALLEST_SCALE)
        error = _channel_error(flat, scale, largest, room)
        better = error < best_error
        best_scale = np.where(better, scale, best_scale)
        best_error = np.where(better, error, best_error)
    return best_scale


def _codes(flat: np.ndarray, scales: np.ndarray, largest: int, room: np.ndarray) -> np.ndarray:
    """The codes as float64, in `room`."""
    np.divide(flat, scales[:, None], out=room)
    np.rint(room, out=room)
    np.clip(room, -largest, largest, out=room)
    return room


def _channel_error(
    flat: np.ndarray, scales: np.ndarray, largest: int, room: np.ndarray
) -> np.ndarray:
    difference = _codes(flat, scales, largest, room)
    difference *= scales[:, None]
    np.subtract(flat, difference, out=difference)
    error: np.ndarray = np.einsum("ij,ij->i", difference, difference)
    return error
