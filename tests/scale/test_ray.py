"""Ray's workers: the bits of one process, and what becomes of workers that are killed."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_scnet.errors import BackendError, DataError, MissingRuntimeError
from edge_scnet.scale.executors import Workers, opened
from edge_scnet.scale.pool import open_pool
from tests.helpers.ray_cluster import RayCluster, ray_of
from tests.helpers.scale import Told, dies, dies_once, pool_of, refuses, task_of
from tests.quantizer.test_shared import are_equal, collected
from tests.quantizer.test_shared import model as calibrated_model
from tests.sensitivity.test_shared import Case, searched, without_time
from tests.sensitivity.test_shared import case as searched_case

model, case = calibrated_model, searched_case


def test_ray_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    for address in ("ray", "ray://127.0.0.1:10001"):
        with (
            pytest.raises(MissingRuntimeError, match="'ray' is not installed") as caught,
            opened(Workers(scheduler=address)),
        ):
            pass
        assert "[ray]" in str(caught.value.hint)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    pytest.importorskip("ray", reason="Ray is not installed: the extra ray brings it")
    with ray_of(2) as found:
        yield found


@pytest.fixture(params=["ray", "client"])
def address(
    cluster: RayCluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> str:
    """The cluster as this machine's, and through Ray's client."""
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return "ray" if request.param == "ray" else cluster.client_address


@pytest.mark.slow
def test_workers_of_ray_give_the_same_bits(
    address: str, model: Path, case: Case, tmp_path: Path
) -> None:
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    here, one = collected(model, None), searched(case, 1, tmp_path / "one")
    assert without_time(searched(case, address, tmp_path / "many")) == without_time(one)
    with pool_of(address, tmp_path / "kept") as (pool, _):
        assert pool.words == f"2 workers of {address}"
        assert are_equal(here, collected(model, pool))


@pytest.mark.slow
def test_a_worker_of_ray_that_dies_costs_its_task_and_is_told(address: str, tmp_path: Path) -> None:
    with pool_of(address, tmp_path / "kept") as (pool, events):
        work = [task_of(pool, bytes([number])) for number in range(6)]
        work[3] = task_of(pool, b"\x03", dies_once, mark=str(tmp_path / "mark"))
        found = pool.run(work, "images")
        assert [arrays["y"].tolist() for arrays in found] == [[2 * number] for number in range(6)]
        (warning,) = events.warnings
        assert warning == (
            "a worker of Ray is gone (WorkerCrashedError): its task of 1 image is done again"
        )
        assert "1 worker lost" in pool.told()
        with pytest.raises(BackendError, match="lost its worker 3 times"):
            pool.run([task_of(pool, b"\x01", dies)])


@pytest.mark.slow
def test_an_error_of_a_task_on_ray_keeps_its_words_and_its_hint(
    address: str, tmp_path: Path
) -> None:
    with (
        pool_of(address, tmp_path / "kept") as (pool, _),
        pytest.raises(DataError, match=r"^the sample is odd$") as caught,
    ):
        pool.run([task_of(pool, b"\x01", refuses)])
    assert caught.value.hint == "look at it"


@pytest.mark.slow
def test_workers_of_ray_that_are_killed_change_no_bit(
    address: str, model: Path, tmp_path: Path
) -> None:
    here, over, rng, killed = collected(model, None), threading.Event(), random.Random(2), [0]
    with open_pool(Workers(scheduler=address), tmp_path / "kept", Told()) as pool:
        import ray

        ask = ray.remote(lambda: (time.sleep(0.2), os.getpid())[1])
        pids = sorted({*ray.get([ask.remote() for _ in range(4)])})

        def kill() -> None:
            while killed[0] < 2 and not over.wait(rng.uniform(0.1, 0.3)):
                try:
                    os.kill(pids.pop(), signal.SIGKILL)
                    killed[0] += 1
                except (ProcessLookupError, IndexError):
                    continue

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            for _ in range(3):
                assert are_equal(here, collected(model, pool))
        finally:
            over.set()
            killer.join()
    assert killed[0]


@pytest.mark.slow
def test_a_cluster_of_ray_without_processors_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: the extra ray brings it")
    with ray_of(0) as found:
        monkeypatch.setenv("RAY_ADDRESS", found.address)
        with (
            pytest.raises(
                BackendError, match="ray has no machine that gives a processor"
            ) as caught,
            opened(Workers(scheduler="ray")),
        ):
            pass
    assert "--num-cpus 2" in str(caught.value.hint)


@pytest.mark.slow
def test_a_cluster_of_ray_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: the extra ray brings it")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    for address in ("ray", "ray://127.0.0.1:9"):
        with (
            pytest.raises(BackendError, match=f"no connection to {address}: ") as caught,
            opened(Workers(scheduler=address)),
        ):
            pass
        assert "ray start --head" in str(caught.value.hint)
