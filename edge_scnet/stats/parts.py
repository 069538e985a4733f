"""Parts of an output that another part of it hides: probabilities beside pixels.

A detector's head often gives boxes in pixels and scores from 0 to 1 in one tensor, images x rows x
places or images x places x rows. The SQNR of all of it is that of the pixels alone. Rows whose
numbers are far smaller than the others' are therefore a part of their own, which is measured by
what varies: about each row's mean, for scores of rare objects are nearly constant.
"""

from __future__ import annotations

import math

import numpy as np

# A part's rows are smaller than all others by this factor, and this many of all at least.
_FAR, _LEAST_ROWS, _LEAST_SHARE = 10.0, 2, 0.1
# Rows of more kinds than this are no kinds.
_MOST_ROWS = 4096


class RowSums:
    """Sums by row of one output, of the reference and of another engine, over all images."""

    def __init__(self) -> None:
        self._sums: np.ndarray | None = None
        self._count = 0

    def add(self, reference: np.ndarray, difference: np.ndarray) -> None:
        """Adds images; outputs that have no rows are passed over.

        Args:
            reference: the reference's output, the images along the first axis.
            difference: what the other engine's differs from it by.
        """
        if reference.ndim != 3 or min(reference.shape[1:]) > _MOST_ROWS:
            return
        others = (0, 2) if reference.shape[1] <= reference.shape[2] else (0, 1)
        values = reference.astype(np.float64)
        sums = np.stack(
            [
                values.sum(axis=others),
                np.square(values).sum(axis=others),
                np.square(difference, dtype=np.float64).sum(axis=others),
            ]
        )
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += values.size // sums.shape[1]

    def hidden_part_db(self) -> float | None:
        """Returns the SQNR in dB of the part that the rest hides; None: there is none, or no noise.

        It is that of its varying: the variance of the reference's rows over the noise.
        """
        if self._sums is None:
            return None
        total, squares, noise = self._sums
        hidden = hidden_rows(squares)
        varying = squares[hidden] - np.square(total[hidden]) / self._count
        varies, differs = float(varying.sum()), float(noise[hidden].sum())
        return 10.0 * math.log10(varies / differs) if varies > 0 and differs > 0 else None


def hidden_rows(squares: np.ndarray) -> np.ndarray:
    """Returns the indices of the rows that are far smaller than all others; none: an empty array.

    Args:
        squares: by row, the sum of squares.
    """
    order = np.argsort(squares)
    order = order[squares[order] > 0]
    if len(order) <= _LEAST_ROWS:
        return order[:0]
    sizes = np.sqrt(squares[order])
    steps = sizes[1:] / sizes[:-1]
    # a step behind fewer rows is one among the small ones
    enough = math.ceil(max(_LEAST_ROWS, _LEAST_SHARE * len(squares)))
    later = steps[enough - 1 :]
    if not later.size or later.max() < _FAR:
        return order[:0]
    return order[: enough + int(later.argmax())]
