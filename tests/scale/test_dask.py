"""Dask's workers over TLS: the bits of one process, with workers that are killed meanwhile."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_scnet.errors import BackendError
from edge_scnet.scale.executors import Workers, opened
from edge_scnet.scale.pool import open_pool
from tests.helpers.cluster import Cluster, cluster_of
from tests.helpers.scale import Told, pool_of, sleeps, task_of
from tests.quantizer.test_shared import are_equal, collected
from tests.quantizer.test_shared import model as calibrated_model
from tests.sensitivity.test_shared import Case, searched, without_time
from tests.sensitivity.test_shared import case as searched_case

pytest.importorskip("distributed", reason="Dask is not installed: the extra cluster brings it")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate"),
    # tornado's sockets of a client that was closed
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

model, case = calibrated_model, searched_case


@contextlib.contextmanager
def workers_killed(cluster: Cluster, most: int) -> Iterator[list[int]]:
    """Kills so many workers of a cluster at random moments, until the end of the block."""
    over, rng, killed = threading.Event(), random.Random(1), list[int]()

    def kill() -> None:
        while len(killed) < most and not over.wait(rng.uniform(0.3, 0.8)):
            if pids := cluster.worker_pids():
                killed.append(rng.choice(pids))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_over_tls_give_the_same_bits(
    workers: int,
    model: Path,
    case: Case,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("one", "many", "killed"):
        (tmp_path / name).mkdir()
    here, one = collected(model, None), searched(case, 1, tmp_path / "one")
    with cluster_of(workers, tmp_path) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        refresh_dask()
        found = searched(case, cluster.address, tmp_path / "many")
        assert without_time(found) == without_time(one)
        with (
            workers_killed(cluster, 2 if workers > 1 else 0) as killed,
            open_pool(Workers(scheduler=cluster.address), tmp_path / "kept", Told()) as pool,
        ):
            assert are_equal(here, collected(model, pool))
            again = searched(case, cluster.address, tmp_path / "killed")
        assert without_time(again) == without_time(one)
    assert workers == 1 or killed


def test_a_client_without_the_certificate_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_scnet.scale.executors._CONNECT_S", 3)
    with cluster_of(1, tmp_path) as cluster:
        refresh_dask()
        with (
            pytest.raises(BackendError, match="no connection to the scheduler tls:") as caught,
            opened(Workers(scheduler=cluster.address)),
        ):
            pass
    assert "CA_FILE" in caught.value.hint


def test_a_scheduler_that_ends_in_the_middle_is_one_error_and_what_is_done_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_scnet.scale.executors._CONNECT_S", 3)
    with cluster_of(2, tmp_path) as cluster:
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        refresh_dask()
        with (
            pytest.raises(BackendError, match=r"connection is lost|no task can be sent") as caught,
            pool_of(cluster.address, tmp_path / "kept") as (pool, _),
        ):
            pool.run([task_of(pool, b"\x01")])
            threading.Timer(2, cluster.process.kill).start()
            pool.run(task_of(pool, bytes([n]), sleeps, seconds=0.5) for n in range(40))
    assert "finished tasks are reused" in caught.value.hint
    with pool_of(1, tmp_path / "kept") as (pool, _):
        pool.run([task_of(pool, b"\x01")])
        assert pool.told() == "1 task known from before"


def refresh_dask() -> None:
    """Has Dask read its settings from the environment, which it does once, at its import."""
    import dask

    dask.config.refresh()
