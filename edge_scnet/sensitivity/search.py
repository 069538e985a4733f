"""Searches the fastest mix of INT8 and float that keeps an accuracy limit.

Speed and accuracy are measured on compiled engines.

Order of work: the modules' parts in the noise (`noise.py`, simulated); one engine for each of those
that matter, for its cost in time; the best by noise over cost, as few as keep the limit; then one
by one left out or exchanged while that is faster. Every engine that was measured is on disk at
once, so that a search that ends early, or is interrupted, goes on from there and gives the best so
far.

Times are ratios to the all-INT8 engine, in blocks taken in turn. What is not INT8 runs in the
precision the engine is opened with (FP32 for OpenVINO here).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from edge_scnet.sensitivity.measurer import Measurer
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, Limit, SearchResult
from edge_scnet.sensitivity.state import State
from edge_scnet.stats.decibels import comparable

# Modules below this share of the noise are not worth an engine of their own.
_LEAST_SHARE = 0.01
_MOST_SINGLES = 24
# A cost below what the timing resolves must not make a module look free.
_LEAST_COST = 0.002


def search(
    measurer: Measurer,
    sensitivities: Sensitivities,
    limit: Limit,
    state: State,
    *,
    budget_s: float,
    progress: Callable[[float], None] = lambda share: None,
) -> SearchResult:
    """Looks for the fastest engine within the limit until nothing is left to try or the time is up.

    Args:
        state: what earlier runs measured; every engine is added to it at once.
    """
    engines = _Engines(measurer, state, budget_s, progress)
    finished = True
    try:
        base = engines.measured(())
        if not _keeps(base, base, limit):
            _improve(engines, base, limit, _ranked(engines, sensitivities.modules))
    except _OutOfTimeError:
        finished = False
    base = state.candidates[0]
    good = [candidate for candidate in state.candidates if _keeps(candidate, base, limit)]
    return SearchResult(
        sensitivities=sensitivities,
        candidates=tuple(state.candidates),
        chosen=min(good, key=lambda candidate: candidate.time_ratio, default=None),
        seconds=round(engines.spent_s(), 1),
        finished=finished,
    )


def of_int8_alone(measurer: Measurer, limit: Limit, state: State) -> SearchResult | None:
    """What a search comes to where the all-INT8 engine keeps the limit; None: it does not.

    Nothing else is measured; the modules' parts in the noise are told where they are known.
    """
    engines = _Engines(measurer, state, math.inf, lambda share: None)
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
        measurer: Measurer,
        state: State,
        budget_s: float,
        progress: Callable[[float], None],
    ) -> None:
        self._measurer, self._state = measurer, state
        self._budget_s, self._progress = budget_s, progress
        self._started = time.monotonic()

    def spent_s(self) -> float:
        """The time since the search began."""
        return time.monotonic() - self._started

    def measured(self, names: Iterable[str]) -> Candidate:
        """The engine with these nodes in float, from the state where it is known.

        Raises:
            _OutOfTimeError: it is not known, and the time is up.
        """
        known = self._state.find(names)
        if known is not None:
            return known
        if self.spent_s() > self._budget_s and self._state.candidates:
            raise _OutOfTimeError
        candidate = self._measurer.measure(names)
        self._state.add(candidate)
        spent = self.spent_s()
        self._progress(1.0 if spent >= self._budget_s else spent / self._budget_s)
        return candidate


def _ranked(engines: _Engines, modules: Sequence[ModuleNoise]) -> list[str]:
    """Nodes by noise over cost in time, best first.

    Those that matter come by their measured cost, the others behind them.
    """
    singles = [module for module in modules[:_MOST_SINGLES] if module.share >= _LEAST_SHARE]
    cost = {module.node: engines.measured((module.node,)).time_ratio - 1.0 for module in singles}
    first = sorted(singles, key=lambda module: -module.share / max(cost[module.node], _LEAST_COST))
    return [
        module.node
        for module in (*first, *(module for module in modules if module.node not in cost))
    ]


def _improve(
    engines: _Engines,
    base: Candidate,
    limit: Limit,
    ranked: Sequence[str],
) -> None:
    """Measures the shortest head of the ranking that keeps the limit, and improves it.

    Members are left out, or exchanged, while that is faster.
    """
    low, high = 0, len(ranked)
    # doubling first: engines with half the network in float tell little and cost time
    step = 1
    while step < high and not _keeps(engines.measured(ranked[:step]), base, limit):
        low, step = step, step * 2
    high = min(step, high)
    while low + 1 < high:
        middle = (low + high) // 2
        if _keeps(engines.measured(ranked[:middle]), base, limit):
            high = middle
        else:
            low = middle
    members = list(ranked[:high])
    best = engines.measured(members)
    improved = True
    while improved and _keeps(best, base, limit):
        improved = False
        for trial in _neighbours(members, ranked):
            candidate = engines.measured(trial)
            if _keeps(candidate, base, limit) and candidate.time_ratio < best.time_ratio:
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
