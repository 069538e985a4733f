"""Searches the fastest mix of INT8 and float that keeps an accuracy limit.

Speed and accuracy are measured on compiled engines; where those cannot run, accuracy is simulated
and the share of the multiply-adds in float stands for the time.

Order of work: the modules' parts in the noise (`noise.py`, simulated) and their costs in time
(`costs.py`, of two engines); the best by noise over cost, as few as are predicted to keep the limit
(`ranking.py`), and the engine of those; more or fewer, until it is the shortest head of the ranking
that keeps it; then one by one left out or exchanged while that is faster. Every engine that was
measured is on disk at once, so that a search that ends early, or is interrupted, goes on from there
and gives the best so far.

Times are ratios to the all-INT8 engine, in blocks taken in turn. What is not INT8 runs in the
precision the engine is opened with.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from edge_scnet.sensitivity.costs import Costs
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.ranking import (
    corrected,
    next_length,
    noise_left,
    noise_to_leave,
    ranked,
)
from edge_scnet.sensitivity.result import Candidate, Effort, Limit, SearchResult
from edge_scnet.sensitivity.state import State
from edge_scnet.stats.decibels import comparable


class Measures(Protocol):
    """What engines are measured by: `Measurer`, or `Simulator` where none can run."""

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        """Measures the engine with these nodes in float."""

    def ahead(self, choices: Iterable[Iterable[str]]) -> None:
        """Is told what is likely measured next, in this order; it need not heed that."""

    def costs(self) -> Costs:
        """What each module costs in float."""


def search(
    measurer: Measures,
    sensitivities: Sensitivities,
    limit: Limit,
    state: State,
    *,
    effort: Effort,
    progress: Callable[[float], None] = lambda share: None,
) -> SearchResult:
    """Looks for the fastest engine within the limit until nothing is left to try or the time is up.

    Args:
        state: what earlier runs measured; every engine is added to it at once.
        effort: its seconds are those of the engines, behind the noise.
    """
    engines = _Engines(measurer, state, effort, progress)
    finished = True
    try:
        base = engines.measured(())
        if not _keeps(base, base, limit):
            order = ranked(sensitivities.modules, measurer.costs())
            members = _shortest_head(engines, limit, order, sensitivities.modules)
            if effort.exchanges:
                _improve(engines, limit, members, order)
    except _OutOfTimeError:
        finished = False
    base = state.candidates[0]
    good = [candidate for candidate in state.candidates if _keeps(candidate, base, limit)]
    return SearchResult(
        sensitivities=sensitivities,
        candidates=tuple(state.candidates),
        chosen=min(good, key=lambda candidate: candidate.cost, default=None),
        seconds=round(engines.spent_s(), 1),
        finished=finished,
    )


def of_int8_alone(measurer: Measures, limit: Limit, state: State) -> SearchResult | None:
    """What a search comes to where the all-INT8 engine keeps the limit; None: it does not.

    Nothing else is measured; the modules' parts in the noise are told where they are known.
    """
    engines = _Engines(measurer, state, Effort(budget_s=math.inf), lambda share: None)
    base = engines.measured(())
    if not _keeps(base, base, limit):
        return None
    return SearchResult(
        sensitivities=state.sensitivities or Sensitivities(noise=0.0, modules=(), images=0),
        candidates=tuple(state.candidates),
        chosen=base,
        seconds=round(engines.spent_s(), 1),
        finished=True,
    )


class _OutOfTimeError(Exception):
    """The budget is spent: what was measured stands."""


class _Engines:
    """The engines of a search, each measured once and within the budget."""

    def __init__(
        self,
        measurer: Measures,
        state: State,
        effort: Effort,
        progress: Callable[[float], None],
    ) -> None:
        self._measurer, self._state = measurer, state
        self._effort, self._progress = effort, progress
        self._started, self._longest_s = time.monotonic(), 0.0

    def spent_s(self) -> float:
        """The time since the search began."""
        return time.monotonic() - self._started

    def ahead(self, choices: Iterable[Sequence[str]]) -> None:
        """Tells what is likely measured next, but for what is known."""
        self._measurer.ahead([names for names in choices if self._state.find(names) is None])

    def measured(self, names: Iterable[str]) -> Candidate:
        """The engine with these nodes in float, from the state where it is known.

        Raises:
            _OutOfTimeError: it is not known, and the time is up, or would be before it is measured.
        """
        known = self._state.find(names)
        if known is not None:
            return known
        began = self.spent_s()
        is_up = began + self._longest_s > self._effort.budget_s
        if is_up and len(self._state.candidates) >= self._effort.least_engines:
            raise _OutOfTimeError
        candidate = self._state.add(self._measurer.measure(names))
        spent = self.spent_s()
        self._longest_s = max(self._longest_s, spent - began)
        self._progress(min(spent / max(self._effort.budget_s, spent), 1.0))
        return candidate


def _shortest_head(
    engines: _Engines, limit: Limit, order: Sequence[str], modules: Sequence[ModuleNoise]
) -> list[str]:
    """The shortest head of the ranking that keeps the limit; all of it where none does.

    The first engine is that of the prediction.
    """
    base = engines.measured(())
    low, share = 0, noise_to_leave(base, limit)
    high = next_length(order, modules, share)
    while high < len(order) and not _keeps(tried := engines.measured(order[:high]), base, limit):
        share = corrected(share, tried, base, noise_left(order[:high], modules))
        low, high = high, next_length(order, modules, share, above=high)
    while low + 1 < high:
        middle = (low + high) // 2
        either = [(low + middle) // 2, (middle + high) // 2]
        engines.ahead([order[:length] for length in (middle, *either) if length > low])
        if _keeps(engines.measured(order[:middle]), base, limit):
            high = middle
        else:
            low = middle
    return list(order[:high])


def _improve(engines: _Engines, limit: Limit, members: list[str], order: Sequence[str]) -> None:
    """Leaves members out, or exchanges them, while that is faster and keeps the limit."""
    base, best = engines.measured(()), engines.measured(members)
    improved = True
    while improved and _keeps(best, base, limit):
        improved = False
        trials = list(_neighbours(members, order))
        engines.ahead(trials)
        for trial in trials:
            candidate = engines.measured(trial)
            if _keeps(candidate, base, limit) and candidate.cost < best.cost:
                best, members, improved = candidate, trial, True
                break


def _neighbours(members: Sequence[str], ranked: Sequence[str]) -> Iterator[list[str]]:
    """Yields the mixes to try next.

    One member fewer, the least worthy first; then one exchanged for one of the next in the ranking.
    """
    for node in reversed(members):
        if len(members) > 1:
            yield [name for name in members if name != node]
    others = [name for name in ranked if name not in members][: max(4, len(members))]
    for node in reversed(members):
        for other in others:
            yield [*(name for name in members if name != node), other]


def _keeps(candidate: Candidate, base: Candidate, limit: Limit) -> bool:
    """Whether an engine keeps the limit.

    Args:
        base: the all-INT8 engine.
    """
    if limit.min_sqnr_db is not None and comparable(candidate.sqnr_db) < limit.min_sqnr_db:
        return False
    if (
        limit.min_gain_db is not None
        and comparable(candidate.sqnr_db) < comparable(base.sqnr_db) + limit.min_gain_db
    ):
        return False
    if limit.max_drop_pp is None:
        return True
    if candidate.within is not None:
        return candidate.within
    return candidate.drop_upper95_pp is not None and candidate.drop_upper95_pp <= limit.max_drop_pp
