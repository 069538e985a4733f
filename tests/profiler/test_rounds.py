"""Rounds of new processes: their order, their share of the progress, and an interrupt in one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.core.events import Silent
from edge_scnet.profiler import rounds
from edge_scnet.profiler.process import EngineFile
from tests.helpers.engines import SPEC, engine_file


class Told(Silent):
    """Writes down the progress."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None:
        assert what == "rounds"
        self.shares.append(share)


@pytest.fixture
def files(tmp_path: Path) -> list[EngineFile]:
    path = tmp_path / "engine"
    path.touch()
    return [engine_file(path, name) for name in ("a", "b")]


def measured(order: list[str], *, until: int) -> Any:
    """A measuring of engines that tells only their names, interrupted in round `until`."""
    calls = iter(range(until + 1))

    def measure(engines: Any, samples: Any, spec: Any, settings: Any, *, progress: Any) -> Any:
        number = next(calls)
        if number == until and until % 2:
            raise KeyboardInterrupt
        order.append("".join(engine.name for engine in engines))
        progress("load", 1.0)
        progress("latency", 0.5)
        assert settings.throughput == (number == 0) and settings.keep_partial
        return SimpleNamespace(
            engines=tuple(engine.name for engine in engines), complete=number < until
        )

    return measure


def test_rounds_begin_with_another_engine_and_give_all_in_the_callers_order(
    files: list[EngineFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    told = Told()
    monkeypatch.setattr(rounds, "measure", measured(order, until=99))
    figures, complete = rounds.time_in_rounds(files, SPEC, seconds=12.0, events=told)
    assert complete and figures == [("a", "b")] * rounds.ROUNDS
    assert order == ["ab", "ba"] * (rounds.ROUNDS // 2)
    assert told.shares == [(number + 0.5) / rounds.ROUNDS for number in range(rounds.ROUNDS)]


@pytest.mark.parametrize(("until", "whole"), [(2, 3), (3, 3)])
def test_an_interrupt_ends_the_rounds_and_keeps_those_before(
    files: list[EngineFile], monkeypatch: pytest.MonkeyPatch, until: int, whole: int
) -> None:
    monkeypatch.setattr(rounds, "measure", measured([], until=until))
    figures, complete = rounds.time_in_rounds(files, SPEC, seconds=12.0, events=Told())
    assert not complete and len(figures) == whole


def test_an_interrupt_before_the_first_round_is_one(
    files: list[EngineFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rounds.time_in_rounds(files, SPEC, seconds=12.0, events=Told())
