"""Slices of an output, each against the reference by itself: boxes, objectness, classes; columns.

A slice is measured by what varies, about the mean of each of its rows: scores of rare objects are
nearly constant, and so are coordinates of aligned faces. Rows are the channels of a map, the kinds
of values of a head, or the columns of a vector. In slices of many rows the worst one is a slice of
its own, so that one landmark of 68 is not hidden by the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.accuracy import LEAST_DB
from edge_scnet.stats.figures import SliceStats
from edge_scnet.stats.parts import hidden_rows

# More rows than this are not kept one by one.
MOST_ROWS = 256
# A slice of no more rows is judged row by row.
_FEW_ROWS = 8
# Of many rows one that varies less than this part of the others' variance counts as varying so
# much: a class that no sample shows is no cause for alarm.
_LEAST_SHARE = 0.01

# A row whose standard deviation is less than this part of its size counts as varying so much: what
# it varies by is below what 8 bits can say, and an engine is not to be measured by that.
_LEAST_DEVIATION = 0.01

# So many values are added up at a time.
_BLOCK_VALUES = 1 << 16

# Of each row, over the places of one sample.
_SUM, _SQUARES, _NOISE, _OWN = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Sums by row of one output and one sample."""

    # float64 [4, rows]: the sum and the sum of squares of the reference's values, the sum of
    # squares of the difference, and of the engine's values
    sums: npt.NDArray[np.float64]
    # in a row
    places: int
    # float64 [rows]: of the reference's values
    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]


def rows_of(
    own: npt.NDArray[np.floating], reference: npt.NDArray[np.floating], axis: int
) -> list[Rows]:
    """The sums by row of each sample.

    Args:
        own, reference: an output, samples along the first axis.
        axis: of the rows; 0: each sample is one row.
    """
    if len(own) != len(reference):
        raise ValueError(f"{len(own)} samples of the engine, {len(reference)} of the reference")
    kept: list[Rows] = []
    # vectors many at a time, maps one by one
    block = max(1, _BLOCK_VALUES // max(1, math.prod(reference.shape[1:])))
    for start in range(0, len(own), block):
        values, wanted = (
            _by_row(array[start : start + block], axis).astype(np.float64)
            for array in (own, reference)
        )
        sums = np.stack(
            [
                wanted.sum(axis=2),
                np.square(wanted).sum(axis=2),
                np.square(values - wanted).sum(axis=2),
                np.square(values).sum(axis=2),
            ],
            axis=1,
        )
        places = wanted.shape[2]
        kept += [
            Rows(sums=each, places=places, lowest=low, highest=high)
            for each, low, high in zip(sums, wanted.min(axis=2), wanted.max(axis=2), strict=True)
        ]
    return kept


def _by_row(array: npt.NDArray[np.floating], axis: int) -> npt.NDArray[np.floating]:
    """An output as [samples, rows, places]."""
    if axis == 0:
        return array.reshape(len(array), 1, -1)
    return np.moveaxis(array, axis, 1).reshape(len(array), array.shape[axis], -1)


def slices_of(
    output: str,
    kept: Sequence[Rows],
    *,
    parts: Sequence[int] = (),
    row: str = "row",
    names: Sequence[str] = (),
) -> tuple[SliceStats, ...]:
    """The slices of an output over all samples, the whole output not among them.

    Args:
        parts: how many rows each kind of values has, in order; empty: rows that are far smaller
            than all others are one kind.
        row: what a row is called: "channel", "column".
        names: of the rows; empty: they are numbered.
    """
    sums = np.sum([each.sums for each in kept], axis=0)
    count = sum(each.places for each in kept)
    varying = np.maximum(sums[_SQUARES] - np.square(sums[_SUM]) / count, 0.0)
    # below the rounding of the sums themselves nothing varies
    constant = varying < 1e-12 * sums[_SQUARES]
    least_varying = _LEAST_DEVIATION**2 * sums[_SQUARES]
    varying = np.where(constant, 0.0, np.maximum(varying, least_varying))
    rows = sums.shape[1]
    ends = _Ends(
        lowest=np.min([each.lowest for each in kept], axis=0),
        highest=np.max([each.highest for each in kept], axis=0),
    )
    slices: list[SliceStats] = []
    for group in _groups(sums[_SQUARES], parts):
        if len(group) <= _FEW_ROWS:
            slices += [
                replace(
                    _slice(output, _named(row, names, int(i)), sums[:, [i]], float(varying[i])),
                    highest=ends.of_probabilities(group[[at]]),
                )
                for at, i in enumerate(group)
            ]
            continue
        first, last = int(group.min()), int(group.max())
        words = "" if len(group) == rows else f"{row}s {first} to {last}"
        whole = _slice(output, words, sums[:, group], float(varying[group].sum()))
        slices.append(replace(whole, highest=ends.of_probabilities(group)))
        least = _LEAST_SHARE * float(varying[group].mean())
        floored = np.maximum(varying[group], least)
        noise = sums[_NOISE, group]
        if noise.max() > 0:
            at = int(np.argmax(noise / np.where(floored > 0, floored, np.inf)))
            i = int(group[at])
            worst = _slice(output, _named(row, names, i), sums[:, [i]], float(floored[at]))
            slices.append(replace(worst, highest=ends.of_probabilities(group)))
    return tuple(slices)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """The lowest and the highest value of the reference in each row."""

    lowest: npt.NDArray[np.float64]
    highest: npt.NDArray[np.float64]

    def of_probabilities(self, rows: npt.NDArray[np.int64]) -> float | None:
        """The highest value of rows, all of which lie from 0 to 1; None: they do not."""
        low, high = float(self.lowest[rows].min()), float(self.highest[rows].max())
        return high if low >= 0.0 and 0.0 < high <= 1.0 else None


def _named(row: str, names: Sequence[str], i: int) -> str:
    return names[i] if i < len(names) else f"{row} {i}"


def _groups(
    squares: npt.NDArray[np.float64], parts: Sequence[int]
) -> Iterator[npt.NDArray[np.int64]]:
    """The rows of each kind."""
    rows = np.arange(len(squares))
    if parts and sum(parts) == len(rows):
        ends = np.cumsum(parts)
        yield from np.split(rows, ends[:-1])
        return
    small = hidden_rows(squares)
    if len(small):
        yield np.sort(small)
        yield np.setdiff1d(rows, small)
    else:
        yield rows


def _slice(output: str, part: str, sums: npt.NDArray[np.float64], varying: float) -> SliceStats:
    squares, noise, own = (float(sums[row].sum()) for row in (_SQUARES, _NOISE, _OWN))
    scale = math.sqrt(squares * own)
    cosine = min(1.0, (own + squares - noise) / (2.0 * scale)) if scale > 0 else None
    sqnr = None
    if noise > 0:
        # of what never varies there is the whole signal
        signal = varying or squares
        sqnr = max(10.0 * math.log10(signal / noise), LEAST_DB) if signal > 0 else LEAST_DB
    return SliceStats(output=output, part=part, sqnr_db=sqnr, cosine=cosine)
