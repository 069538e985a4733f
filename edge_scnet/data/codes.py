"""Arrays that hold the codes of pixels, where a network takes other numbers.

Fed all the same they are numbers like others: nothing fails, and every answer is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.errors import DataError

_HIGHEST = 255
# So many times what calibration samples hold is no sample like them. What becomes of pictures is
# known but for rounding.
_BEYOND, _ROUNDED = 2.0, 1.001
# samples that are looked at together
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """The numbers that a network's first input gets, and what to do with codes of pixels."""

    low: float
    high: float
    # codes beyond it are none of them
    most: float
    # of which samples, in words
    whose: str
    hint: str
    # whether what is saved as bytes is none of them, whatever it holds
    never_bytes: bool = False


def numbers_of_pictures(rule: Preprocessing, *, hint: str) -> Numbers:
    """What prepared pictures hold: no code becomes anything else."""
    pairs = list(zip(rule.mean or (0.0,), rule.std or (1.0,), strict=True))
    ends = [(code - mean) / std for mean, std in pairs for code in (0.0, rule.pixel_max)]
    low, high = min(ends), max(ends)
    return Numbers(
        low=low,
        high=high,
        most=_ROUNDED * high,
        whose="prepared pictures",
        hint=hint,
        never_bytes=True,
    )


def numbers_of_arrays(low: float, high: float, *, whose: str, hint: str) -> Numbers | None:
    """What arrays hold that somebody prepared; None: they may be codes or counts themselves."""
    if low == high or (low >= 0 and high > 1 and low.is_integer() and high.is_integer()):
        return None
    most = _BEYOND * max(abs(low), abs(high))
    return Numbers(low=low, high=high, most=most, whose=whose, hint=hint)


def first_of(batch: np.ndarray) -> np.ndarray:
    """The first input's array of a batch as `core.feeds` has them."""
    names = batch.dtype.names
    return batch if names is None else batch[names[0]]


def highest_code(batch: np.ndarray) -> int:
    """The highest code of pixels that samples hold; 0 where they hold other numbers too."""
    highest = 0.0
    first = first_of(batch)
    for start in range(0, len(first), _AT_ONCE):
        part = first[start : start + _AT_ONCE]
        low, high = part.min(), part.max()
        if low < 0 or high > _HIGHEST or not np.array_equal(part, np.rint(part)):
            return 0
        highest = max(highest, float(high))
    return int(highest)


def refuse_codes(
    batch: np.ndarray, wanted: Numbers, *, where: str, were_bytes: bool = False
) -> None:
    """Refuses codes of pixels for a network that takes other numbers.

    Args:
        batch: samples as `core.feeds` has them.
        where: what they are from, for the message.
        were_bytes: they were saved as bytes, as a black picture, whose codes are small.

    Raises:
        DataError: says what they hold and what the network gets.
    """
    highest = highest_code(batch)
    if highest <= max(wanted.most, 0) and not (were_bytes and wanted.never_bytes):
        return
    shape = " x ".join(map(str, first_of(batch).shape))
    raise DataError(
        f"{where} holds whole numbers from 0 to {highest}, as pixels are ({shape}); the engine"
        f" takes float32: {wanted.whose} are from {wanted.low:.3g} to {wanted.high:.3g}",
        hint=wanted.hint,
    )
