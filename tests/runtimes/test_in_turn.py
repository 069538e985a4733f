"""Two engines are timed in turn."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.runtimes import in_turn
from edge_scnet.runtimes.base_session import BaseSession


class _Session(BaseSession):
    """Tells when it infers."""

    input_shape = (1, 2)
    output_names = ("y",)
    open_outputs = (False,)

    def __init__(self, name: str, told: list[str]) -> None:
        self._name, self._told, self.graph = name, told, None

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        assert batch.shape == self.input_shape
        if self._told[-1:] != [self._name]:
            self._told.append(self._name)
        return [batch]

    def use_graph(self, *, on: bool) -> None:
        self.graph = on


@pytest.mark.parametrize("graph", [False, True])
def test_blocks_are_taken_in_turn_and_both_in_one_way(
    graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_turn, "_BLOCK_S", 0.0)
    told: list[str] = []
    own, other = _Session("own", told), _Session("other", told)
    ratio = in_turn.time_ratio(own, other, np.zeros((1, 2), np.float32), graph=graph)
    assert (own.graph, other.graph) == (graph, graph)
    # the one that was timed last comes first in the next round, so their blocks join
    assert told == ["other", "own"] * 8 + ["other"]
    assert ratio.ratio > 0
