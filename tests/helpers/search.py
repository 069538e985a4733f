"""Mixes of precision whose drop and cost a table tells."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edge_scnet.sensitivity import search
from edge_scnet.sensitivity.costs import Costs
from edge_scnet.sensitivity.noise import ModuleNoise, Sensitivities
from edge_scnet.sensitivity.result import Candidate, Effort, Limit, SearchResult
from edge_scnet.sensitivity.state import State


class Table:
    """Engines whose noise and time are given: noises add up, so do costs."""

    def __init__(
        self, noise: dict[str, float], cost: dict[str, float], drop: float | None = None
    ) -> None:
        self.noise, self.cost, self.drop = noise, cost, drop
        self.measured: list[tuple[str, ...]] = []

    def measure(self, keep_float: Iterable[str]) -> Candidate:
        names = tuple(sorted(keep_float))
        self.measured.append(names)
        left = sum(value for name, value in self.noise.items() if name not in names)
        time = 1.0 + sum(self.cost[name] for name in names)
        return Candidate(
            keep_float=names,
            sqnr_db=-10 * float(np.log10(left)) if left else None,
            drop_upper95_pp=None if self.drop is None else self.drop * left,
            time_ratio=time,
            time_low=time,
            time_high=time,
        )

    def ahead(self, choices: Iterable[Iterable[str]]) -> None: ...

    def costs(self) -> Costs:
        return Costs(self.cost)

    def sensitivities(self) -> Sensitivities:
        modules = [
            ModuleNoise(node=n, share=p / sum(self.noise.values()), multiply_adds=1)
            for n, p in self.noise.items()
        ]
        return Sensitivities(
            noise=sum(self.noise.values()),
            images=1,
            modules=tuple(sorted(modules, key=lambda m: -m.share)),
        )


TABLE = {"a": 0.4, "b": 0.3, "c": 0.2, "d": 0.06, "e": 0.04}
COST = {"a": 0.30, "b": 0.02, "c": 0.02, "d": 0.01, "e": 0.01}


def run(table: Table, limit: Limit, path: Path, budget: float = 60.0) -> SearchResult:
    return search.search(
        table, table.sensitivities(), limit, State(path, "key"), effort=Effort(budget_s=budget)
    )
