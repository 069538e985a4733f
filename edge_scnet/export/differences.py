"""How far two runs of a model are apart, output by output."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# |difference| over the range of the outputs. Float noise of a trained SCNet is about 3e-6; a graph
# that differs is far above.
PARITY_TOLERANCE = 1e-4
# Of the values of an integer output, as a map of classes, so many may fall to the other side of a
# tie: none of fewer than 10,000.
_TIES = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One output of both sides."""

    # |difference| over the range; of integers and truth values the share that differs
    share: float
    # |difference|
    largest: float = math.inf
    same_top1: bool = True
    # how many values of integers differ
    differing: int | None = None

    @property
    def holds(self) -> bool:
        if self.differing is not None:
            return self.share <= _TIES
        return self.share <= PARITY_TOLERANCE and self.same_top1

    def __str__(self) -> str:
        if self.differing is not None:
            return f"{self.differing} of its values, {self.share:.2%}, are others"
        if math.isinf(self.share):
            return "not finite where the other is, or of another shape"
        return (
            f"{self.share:.1e} of the output range (allowed {PARITY_TOLERANCE:.0e}), top-1"
            f" {'equal' if self.same_top1 else 'different'}"
        )


def difference(want: np.ndarray, have: np.ndarray, *, batch: int) -> Difference:
    """Compares an output of two runs on the same images.

    NaN equals NaN, and an infinity the one of its sign: masks and logarithms of 0 have them.

    Args:
        batch: top-1 is compared where the output is N x C and N is the batch.
    """
    floats = want.dtype.kind == "f", have.dtype.kind == "f"
    if want.shape != have.shape or floats[0] != floats[1]:
        return Difference(share=math.inf)
    if not floats[0]:
        differing = int((want != have).sum())
        return Difference(share=differing / max(want.size, 1), differing=differing)
    classes = want.ndim == 2 and want.shape[0] == batch and want.shape[1] > 1
    share, largest = _apart(want.astype(np.float64), have.astype(np.float64))
    return Difference(
        share=share,
        largest=largest,
        same_top1=not classes or bool((want.argmax(1) == have.argmax(1)).all()),
    )


def _apart(want: np.ndarray, have: np.ndarray) -> tuple[float, float]:
    """The largest difference, over the range of the finite values and by itself."""
    finite = np.isfinite(want)
    if not np.array_equal(want[~finite], have[~finite], equal_nan=True):
        return math.inf, math.inf
    want, have = want[finite], have[finite]
    if not want.size:
        return 0.0, 0.0
    largest = float(np.abs(want - have).max())
    if not math.isfinite(largest):
        return math.inf, math.inf
    return largest / (float(np.ptp(want)) or 1.0), largest


def by_image(
    alone: Sequence[np.ndarray], output: np.ndarray, *, own: int, wanted: int
) -> Difference:
    """Compares what a file gives for images alone with what a graph gives for them together.

    Args:
        alone: an output of the file by image, each run with `own` copies of the image.
        output: of the graph, for a batch of `wanted` images.
    """
    if own == wanted == 1:
        return difference(alone[0], output, batch=1)
    # the same for all images: a constant
    same = [difference(array, output, batch=0) for array in alone]
    if all(compared.holds for compared in same):
        return max(same, key=lambda compared: compared.share)
    rows = [array[:1] for array in alone if array.ndim]
    if len(rows) < len(alone):
        return Difference(share=math.inf)
    return difference(np.concatenate(rows), output, batch=wanted)


def has_finite(array: np.ndarray) -> bool:
    """Tells whether an output has a value that is no NaN and not infinite, or none at all."""
    return array.dtype.kind != "f" or not array.size or bool(np.isfinite(array).any())
