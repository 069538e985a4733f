"""Two engines judged on the same images: what one lost and won against the other.

The three verdicts on a figure with an interval are here once, for the drop of top-1 against FP32,
for a baseline's engine in FP32's place, and for unlabelled agreement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edge_scnet.report.findings import Verdict
from edge_scnet.stats.intervals import (
    Z_ONE_SIDED_95,
    paired_difference_interval,
    paired_difference_score,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDrop:
    """How many images an engine lost and won, and the one-sided 95 % bounds of the drop."""

    images: int
    lost: int
    won: int
    low_pp: float
    high_pp: float

    @property
    def drop_pp(self) -> float:
        """The drop in percentage points of the images; negative where it is a gain."""
        return 100.0 * (self.lost - self.won) / self.images

    @property
    def movement(self) -> str:
        """The drop in words, to stand behind the figure's name."""
        if self.drop_pp > 0:
            return f"fell by {self.drop_pp:.2f} pp"
        return f"rose by {-self.drop_pp:.2f} pp" if self.drop_pp < 0 else "is equal"

    @property
    def counts(self) -> str:
        return f"{self.lost:,} lost, {self.won:,} won"

    @property
    def range(self) -> str:
        return f"{self.low_pp:.2f} to {self.high_pp:.2f} pp"

    def verdict(self, limit_pp: float) -> Verdict:
        return three_way(self.low_pp, self.high_pp, limit_pp)

    def undecided(self, limit_pp: float) -> str:
        """What these images cannot tell of a limit, to stand behind "cannot"."""
        if self.drop_pp < limit_pp:
            return f"exclude a loss of {limit_pp:g} pp"
        return f"prove a loss of more than {limit_pp:g} pp"

    def advice(self, limit_pp: float) -> str:
        """How many images would decide, if lost and won keep their shares."""
        score = paired_difference_score(self.lost, self.won, self.images, limit_pp / 100.0)
        return advice(self.images, score)


def lost_and_won(before: Sequence[bool], now: Sequence[bool]) -> tuple[int, int]:
    """Counts the images that were right and are wrong, and those that were wrong and are right."""
    pairs = list(zip(before, now, strict=True))
    return (
        sum(was and not still for was, still in pairs),
        sum(still and not was for was, still in pairs),
    )


def paired_drop(before: Sequence[bool], now: Sequence[bool]) -> PairedDrop:
    """Compares two engines, image by image; True where an engine is right."""
    lost, won = lost_and_won(before, now)
    low, high = paired_difference_interval(lost, won, len(before), z=Z_ONE_SIDED_95)
    return PairedDrop(images=len(before), lost=lost, won=won, low_pp=100 * low, high_pp=100 * high)


def three_way(low: float, high: float, limit: float) -> Verdict:
    """Judges an interval by a highest value.

    It passes when its upper end is within the limit, fails when its lower end is beyond it, and is
    inconclusive between.
    """
    if high <= limit:
        return "pass"
    return "fail" if low > limit else "inconclusive"


def advice(images: int, score: float) -> str:
    """Returns how many images would decide, in words.

    At equal shares a score grows with the square root of the images, and must reach z.
    """
    # a product, which is infinite where a power would raise OverflowError
    times = Z_ONE_SIDED_95 / score if score else math.inf
    needed = images * times * times
    if needed > 1e7:
        return (
            "the estimate lies at the limit itself; some thousands of images will move it, if it is"
            " chance"
        )
    # two digits: the shares are estimates themselves
    step = 10 ** max(0, math.floor(math.log10(needed)) - 1)
    return f"use about {max(images + 1, math.ceil(needed / step) * step):,}"
