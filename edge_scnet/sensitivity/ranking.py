"""Which modules to leave in float first, and how many of them keep a limit: predictions.

The modules are taken by the noise that each causes alone over what it costs in float beside those
taken before. The share of the noise that is left when some are in float is taken to be the part of
the sum that the others have; their sum is not always that of all (`noise.py`), so that what is
predicted is measured before it is believed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edge_scnet.sensitivity.costs import Costs
from edge_scnet.sensitivity.noise import ModuleNoise
from edge_scnet.sensitivity.result import Candidate, Limit
from edge_scnet.stats.decibels import comparable

# A cost below what the timing resolves must not make a module look free.
_LEAST_COST = 0.002
# The share of the noise to aim at where nothing says how much must go: a quarter, and half of what
# was aimed at each time that it was not enough.
_QUARTER, _HALF = 0.25, 0.5


def ranked(modules: Sequence[ModuleNoise], costs: Costs) -> list[str]:
    """Nodes by noise over cost, best first.

    Args:
        costs: a module's depends on its neighbours in float.
    """
    left, kept = list(modules), list[str]()
    while left:
        best = max(
            left,
            key=lambda module: module.share / max(costs.added(module.node, kept), _LEAST_COST),
        )
        left.remove(best)
        kept.append(best.node)
    return kept


def noise_left(names: Iterable[str], modules: Sequence[ModuleNoise]) -> float:
    """The share of the noise that is predicted to be left with these nodes in float, 0 to 1."""
    kept = set(names)
    total = sum(module.share for module in modules)
    return sum(module.share for module in modules if module.node not in kept) / (total or 1.0)


def noise_to_leave(base: Candidate, limit: Limit) -> float:
    """The share of the all-INT8 engine's noise that the limit leaves room for, about.

    Of a drop: images change class as the noise's amplitude grows, so it falls as the root of the
    power.
    """
    parts = [1.0]
    if limit.min_sqnr_db is not None:
        parts.append(10 ** ((comparable(base.sqnr_db) - limit.min_sqnr_db) / 10))
    if limit.min_gain_db is not None:
        parts.append(10 ** (-limit.min_gain_db / 10))
    if limit.max_drop_pp is not None:
        known = base.within is None and base.drop_upper95_pp
        parts.append((limit.max_drop_pp / known) ** 2 if known else _QUARTER)
    return min(parts)


def next_length(
    names: Sequence[str], modules: Sequence[ModuleNoise], share: float, *, above: int = 0
) -> int:
    """How many of a ranking's first nodes are predicted to leave no more of the noise.

    Args:
        share: of the noise, 0 to 1.
        above: so many were tried and are too few.
    """
    for length in range(above + 1, len(names)):
        if noise_left(names[:length], modules) <= share:
            return length
    return len(names)


def corrected(share: float, tried: Candidate, base: Candidate, predicted: float) -> float:
    """The share of the noise to aim at next, where an engine left more than was predicted.

    At most half of what the last one aimed at.
    """
    factor = _HALF
    if tried.sqnr_db is not None and base.sqnr_db is not None and predicted > 0:
        left = 10 ** ((base.sqnr_db - tried.sqnr_db) / 10)
        factor = min(factor, predicted / left)
    return share * factor
