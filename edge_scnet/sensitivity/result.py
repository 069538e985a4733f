"""Limit, Candidate, SearchResult."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge_scnet.sensitivity.noise import Sensitivities
from edge_scnet.stats.decibels import comparable


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What a mix must keep, on the images of the search; the given ones all."""

    min_sqnr_db: float | None = None
    min_gain_db: float | None = None  # of SQNR over the all-INT8 engine
    max_drop_pp: float | None = (
        # upper end of the one-sided 95 % interval; without labels of the images that change class
        None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One engine, measured. Its SQNR is None where it computes what float computes."""

    keep_float: tuple[str, ...]
    sqnr_db: float | None
    drop_upper95_pp: float | None
    time_ratio: float  # to the all-INT8 engine, above 1: slower
    time_low: float | None
    time_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """What was found. `chosen` is None where nothing measured keeps the limit."""

    sensitivities: Sensitivities
    candidates: tuple[Candidate, ...]  # the all-INT8 engine first
    chosen: Candidate | None
    seconds: float
    finished: bool  # within the budget

    @property
    def pareto(self) -> tuple[Candidate, ...]:
        """The engines than which none is both faster and closer to float, fastest first."""
        best, found = -math.inf, []
        for candidate in sorted(
            self.candidates, key=lambda c: (c.time_ratio, -comparable(c.sqnr_db))
        ):
            if comparable(candidate.sqnr_db) > best:
                best = comparable(candidate.sqnr_db)
                found.append(candidate)
        return tuple(found)
