"""How many steps a recovery takes, and at which rates."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Of the time that is left, what is planned for: a machine may be busier later on.
_PLANNED_SHARE = 0.9
_WARM_UP = 0.05


@dataclass(slots=True, kw_only=True)
class Schedule:
    """How far a recovery is: from 0 to 1, by equal steps unless the time gets short."""

    step: int = 0
    progress: float = 0.0
    # of each step; it was planned once, so that the same plan gives the same result
    increment: float = 0.0
    # after so many steps the held-out samples are looked at; planned once too
    every: int = 1

    @property
    def rate(self) -> float:
        """What the learning rates are multiplied with: a short rise, then half a cosine."""
        rise = min(1.0, (self.progress + self.increment) / _WARM_UP)
        return rise * 0.5 * (1.0 + math.cos(math.pi * min(self.progress, 1.0)))

    @property
    def is_over(self) -> bool:
        """Whether all planned steps are done."""
        return self.progress >= 1.0 - 1e-9

    @property
    def planned(self) -> int:
        """How many steps there are in all."""
        if self.increment <= 0:
            return self.step
        return self.step + max(math.ceil((1.0 - self.progress) / self.increment - 1e-6), 0)

    def plan(self, seconds_left: float, seconds_per_step: float) -> None:
        """Plans the steps that are left, the first time; later on only fewer, never more."""
        fitting = max(int(seconds_left / max(seconds_per_step, 1e-9)), 1)
        if self.increment <= 0:
            self.increment = (1.0 - self.progress) / max(int(_PLANNED_SHARE * fitting), 1)
        elif self.planned - self.step > fitting:
            self.increment = (1.0 - self.progress) / fitting

    def advance(self) -> None:
        """Counts a step."""
        self.step += 1
        self.progress += self.increment
