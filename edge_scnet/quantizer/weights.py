"""Weights to int8 codes with a scale for each output channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_scnet.quantizer.params import SMALLEST_SCALE

# By the bits of a weight.
LARGEST_CODE = {8: 127, 7: 64}
_CHUNK_ELEMENTS = 1 << 17
# By which errors summed in float32 may be wrong, with a wide margin.
_ROUGH_ERROR = 1e-3


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
        codes[rows] = _codes(wide, scales[rows].astype(np.float64), largest)
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
    # clipping the peak by up to a fifth: below that the error of the clipped weights always
    # dominates
    shares = [1.0, *np.linspace(0.80, 0.99, 20)]
    candidates = [np.maximum(peak * share / largest, SMALLEST_SCALE) for share in shares]
    rough = _rough_errors(flat, candidates, largest)
    within = rough <= rough.min(axis=0) * (1 + _ROUGH_ERROR)
    best_scale: np.ndarray = candidates[0].copy()
    best_error = np.full(len(flat), np.inf)
    for scale, close in zip(candidates, within, strict=True):
        rows = np.flatnonzero(close)
        if not rows.size:
            continue
        difference = _codes(flat[rows], scale[rows], largest)
        difference *= scale[rows, None]
        np.subtract(flat[rows], difference, out=difference)
        error = np.einsum("ij,ij->i", difference, difference)
        better = error < best_error[rows]
        best_scale[rows[better]] = scale[rows[better]]
        best_error[rows[better]] = error[better]
    return best_scale


def _rough_errors(flat: np.ndarray, candidates: Sequence[np.ndarray], largest: int) -> np.ndarray:
    """The squared error of each row with each candidate, in float32; infinite where it overflows.

    A few candidates come close to the best; only those are worth float64.
    """
    # in units of the first scale: neither small nor large weights leave float32
    unit = candidates[0]
    narrow = (flat / unit[:, None]).astype(np.float32)
    room = np.empty_like(narrow)
    errors = np.empty((len(candidates), len(flat)), np.float32)
    for scale, row in zip(candidates, errors, strict=True):
        ratio = (scale / unit).astype(np.float32)[:, None]
        np.multiply(narrow, 1 / ratio, out=room)
        np.rint(room, out=room)
        np.clip(room, -largest, largest, out=room)
        room *= ratio
        np.subtract(narrow, room, out=room)
        np.einsum("ij,ij->i", room, room, out=row)
    return errors


def _codes(flat: np.ndarray, scales: np.ndarray, largest: int) -> np.ndarray:
    """The codes as float64."""
    codes: np.ndarray = flat / scales[:, None]
    np.rint(codes, out=codes)
    np.clip(codes, -largest, largest, out=codes)
    return codes
