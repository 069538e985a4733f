"""The accuracy half of a search by workers: the same bits, however many there are."""

from __future__ import annotations

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.graph.model import load
from edge_scnet.graph.run import run_images
from edge_scnet.pipeline.search_images import reference_outputs
from edge_scnet.quantizer.recipe import Prepared, prepare
from edge_scnet.sensitivity import noise, search
from edge_scnet.sensitivity.judged import SearchImages, SearchTask
from edge_scnet.sensitivity.result import Effort, Limit, SearchResult
from edge_scnet.sensitivity.shared import SharedSimulator, measure_by
from edge_scnet.sensitivity.simulated import Simulator
from edge_scnet.sensitivity.state import State
from edge_scnet.stats.figures import AccuracyStats
from tests.helpers.scale import pool_of
from tests.helpers.statistics import calibrated
from tests.sensitivity.test_simulated import SCHEME, network

LIMIT = Limit(min_gain_db=2.0)


@dataclass(frozen=True)
class Case:
    """A prepared graph and its images."""

    path: Path
    prepared: Prepared
    images: np.ndarray


@pytest.fixture
def case(tmp_path: Path) -> Case:
    path = network(tmp_path)
    images = np.random.default_rng(0).standard_normal((130, 3, 8, 8)).astype(np.float32)
    stats = calibrated(path, images)
    return Case(path, prepare(load(path), stats, SCHEME, weight_bits=8, images=images), images)


def searched(case: Case, executor: int | str | Executor, folder: Path) -> SearchResult:
    """A search by workers, of which the time is left out."""
    with pool_of(executor, folder / "kept") as (pool, _):
        reference = reference_outputs(case.path, case.images, 1, pool)
        data = SearchImages(images=case.images, labels=None, reference=reference)
        known = measure_by(pool, case.prepared, case.images[:12])
        with SharedSimulator(case.prepared, data, pool) as simulator:
            return search.search(
                simulator, known, LIMIT, State(folder / "s.json", "key"), effort=Effort(budget_s=60)
            )


def without_time(result: SearchResult) -> dict[str, Any]:
    return {name: value for name, value in asdict(result).items() if name != "seconds"}


def test_a_search_by_workers_finds_what_one_in_this_process_finds(
    case: Case, tmp_path: Path
) -> None:
    data = SearchImages(
        images=case.images, labels=None, reference=run_images(load(case.path), case.images)
    )
    here = search.search(
        Simulator(case.prepared, data),
        noise.measure(case.prepared, case.images[:12]),
        LIMIT,
        State(tmp_path / "s.json", "key"),
        effort=Effort(budget_s=60),
    )
    (tmp_path / "a").mkdir()
    with ThreadPoolExecutor(2) as threads:
        found = searched(case, threads, tmp_path / "a")
    assert found.chosen is not None and here.chosen is not None
    assert found.chosen.keep_float == here.chosen.keep_float and found.simulated
    assert [c.keep_float for c in found.candidates] == [c.keep_float for c in here.candidates]
    for own, other in zip(found.candidates, here.candidates, strict=True):
        assert own.sqnr_db == pytest.approx(other.sqnr_db, abs=1e-3)
    for one in (found, here):
        assert sum(module.share for module in one.sensitivities.modules) > 0.3


@pytest.mark.slow
def test_a_search_is_the_same_by_one_process_and_by_three(case: Case, tmp_path: Path) -> None:
    for name in ("one", "three"):
        (tmp_path / name).mkdir()
    one = searched(case, 1, tmp_path / "one")
    assert without_time(one) == without_time(searched(case, 3, tmp_path / "three"))


class Sums:
    """A task's evaluator: of each sample the sum of its outputs."""

    task = "sums"

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def reduce(self, outputs: Any, reference: Any, indices: Any) -> list[float]:
        self.seen.append([*indices])
        return [float(sample.sum()) for sample in outputs[0]]

    def compare(self, own: Any, reference: Any) -> Any:
        return tuple(own), tuple(reference)


def test_a_task_is_judged_on_the_outputs_of_workers_in_their_order(
    case: Case, tmp_path: Path
) -> None:
    judged: list[AccuracyStats] = []

    def keeps(stats: AccuracyStats) -> bool:
        judged.append(stats)
        return True

    evaluator, reference = Sums(), run_images(load(case.path), case.images)
    data = SearchImages(
        images=case.images,
        labels=None,
        reference=reference,
        task=SearchTask(evaluator=evaluator, keeps=keeps),
    )
    with (
        ThreadPoolExecutor(2) as threads,
        pool_of(threads, tmp_path / "kept") as (pool, _),
        SharedSimulator(case.prepared, data, pool) as simulator,
    ):
        found = simulator.measure(["a", "b", "y"])
    assert found.within and judged[0].images == 130
    assert evaluator.seen[::2] == [[number] for number in range(130)]
    own, kept = judged[0].task
    assert kept == tuple(float(sample.sum()) for sample in reference[0])
    assert own == pytest.approx(kept, abs=0.5)


def test_what_may_come_next_is_made_ahead_and_given_up(case: Case, tmp_path: Path) -> None:
    data = SearchImages(
        images=case.images, labels=None, reference=run_images(load(case.path), case.images)
    )
    with (
        ThreadPoolExecutor(1) as threads,
        pool_of(threads, tmp_path / "kept") as (pool, _),
        SharedSimulator(case.prepared, data, pool) as simulator,
    ):
        simulator.ahead([["a"], ["b"], ["a", "b"]])
        first = simulator.measure(["a"])
        simulator.ahead([["y"]])
        assert simulator.measure(["b"]).keep_float == ("b",)
        assert simulator.measure(["a"]) == first


def test_large_networks_are_put_together_by_each_worker(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("moved", "in_place"):
        (tmp_path / name).mkdir()
    with ThreadPoolExecutor(2) as threads:
        moved = searched(case, threads, tmp_path / "moved")
        monkeypatch.setattr("edge_scnet.sensitivity.shared.can_walk", lambda *_: False)
        monkeypatch.setattr("edge_scnet.sensitivity.shared.make_graph", None)
        assert without_time(searched(case, threads, tmp_path / "in_place")) == without_time(moved)
