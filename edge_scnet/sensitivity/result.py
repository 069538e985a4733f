"""The records of a search: its limit, the engines that it measured, and what it came to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_scnet.sensitivity.noise import Sensitivities
from edge_scnet.stats.decibels import comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a mix must keep on the images of the search: each limit that is not None."""

    min_sqnr_db: float | None = None
    # of SQNR over the all-INT8 engine
    min_gain_db: float | None = None
    # upper end of the one-sided 95 % interval; without labels of the images that change class
    max_drop_pp: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long to search."""

    budget_s: float
    # whether to go on behind the shortest head of the ranking that keeps the limit
    exchanges: bool = True
    # measured however long they take; the all-INT8 engine is the first
    least_engines: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One engine, measured or simulated. Its SQNR is None where it computes what float computes."""

    keep_float: tuple[str, ...]
    sqnr_db: float | None
    drop_upper95_pp: float | None
    # to the all-INT8 engine, above 1: slower; None: simulated, no time was measured
    time_ratio: float | None
    # 95 % interval of the ratio; None: not timed against another
    time_low: float | None
    time_high: float | None
    # whether it keeps the limits of its task, where that is not the class of each image
    within: bool | None = None
    # the share of the multiply-adds that is in float; None in files of older versions
    float_work: float | None = None
    # that it was measured on
    images: int | None = None

    @property
    def cost(self) -> float:
        """What float costs: the extra time, or what stands for it where no time was measured."""
        return (self.float_work or 0.0) if self.time_ratio is None else self.time_ratio - 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What a search came to."""

    sensitivities: Sensitivities
    # the all-INT8 engine first
    candidates: tuple[Candidate, ...]
    # None: no engine that was measured keeps the limit
    chosen: Candidate | None
    seconds: float
    # within the budget
    finished: bool

    @property
    def simulated(self) -> bool:
        """Whether no time was measured: the engines cannot run on this machine."""
        return any(candidate.time_ratio is None for candidate in self.candidates)

    @property
    def pareto(self) -> tuple[Candidate, ...]:
        """The engines than which none is both faster and closer to float, fastest first."""
        best, front = -math.inf, []
        for candidate in sorted(self.candidates, key=lambda c: (c.cost, -comparable(c.sqnr_db))):
            if comparable(candidate.sqnr_db) > best:
                best = comparable(candidate.sqnr_db)
                front.append(candidate)
        return tuple(front)
