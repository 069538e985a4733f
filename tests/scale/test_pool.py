"""Tasks by workers: the same results whoever computes them, and what a lost worker costs."""

from __future__ import annotations

import re
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import BackendError, DataError, StorageError
from edge_scnet.scale import task as tasks
from edge_scnet.scale.executors import Opened
from edge_scnet.scale.identity import Identity, identity
from edge_scnet.scale.pool import Folders, Pool
from edge_scnet.scale.store import Blobs, Results
from tests.helpers.scale import (
    Told,
    dies,
    dies_once,
    pool_of,
    refuses,
    task_of,
    times,
    touches,
    waits_for,
)


def doubled(executor: int | Executor, kept: Path, count: int = 9) -> list[list[int]]:
    with pool_of(executor, kept) as (pool, _):
        found = pool.run(task_of(pool, bytes([number])) for number in range(count))
    return [arrays["y"].tolist() for arrays in found]


def test_results_are_in_the_order_of_the_tasks_whoever_computes_them(tmp_path: Path) -> None:
    wanted = [[2 * number] for number in range(9)]
    with ThreadPoolExecutor(3) as threads:
        assert doubled(threads, tmp_path / "a") == wanted
    assert doubled(1, tmp_path / "b") == doubled(3, tmp_path / "c") == wanted


def test_a_worker_without_the_folder_asks_for_its_inputs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_kept", tasks._Kept())
    given: list[int] = []
    run = tasks.run

    def counted(call: tasks.Call) -> tasks.Answer:
        given.append(len(call.given))
        return run(call)

    monkeypatch.setattr("edge_scnet.scale.pool.run", counted)
    with ThreadPoolExecutor(1) as threads, pool_of(threads, tmp_path) as (pool, _):
        for by in (2, 3):
            (found,) = pool.run([task_of(pool, b"\x05", by=by)])
            assert found["y"].tolist() == [5 * by]
    # sent without, asked for, sent with it; the next task finds it there
    assert given == [0, 1, 0]


def test_what_is_given_together_is_used_though_not_all_of_it_can_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the worker would ask for what it has dropped again and again."""
    monkeypatch.setattr(tasks, "_kept", tasks._Kept())
    monkeypatch.setattr(tasks, "_MOST_KEPT_BYTES", 1)
    large = {"x": b"\x05\x06", "other": b"\x07\x08"}
    with pool_of(1, tmp_path) as (pool, _):
        hashes = {name: pool.blob(data) for name, data in large.items()}
        task = tasks.Task(work=times, inputs=hashes)
        given = {hashes[name]: data for name, data in large.items()}
        call = tasks.Call(task=task, expected=identity(), store=None, given=given)
        answer = tasks.run(call)
    assert answer.missing == () and answer.arrays is not None
    assert answer.arrays["y"].tolist() == [10, 12]


def test_an_input_is_removed_when_all_who_gave_it_have_taken_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pool_of(1, tmp_path / "kept") as (pool, _):
        twice = pool.blob(b"\x01")
        assert pool.blob(b"\x01") == twice
        pool.forget(twice)
        assert len([*tmp_path.rglob(twice)]) == 1
        pool.forget(twice)
        assert [*tmp_path.rglob(twice)] == []


def test_a_second_run_reuses_what_is_done(tmp_path: Path) -> None:
    counted, kept = tmp_path / "counted", tmp_path / "kept"
    with pytest.raises(DataError), pool_of(1, kept) as (pool, _):
        pool.run([task_of(pool, b"\x01", counted=str(counted))])
        pool.run([task_of(pool, b"\x01", refuses)])
    with pool_of(1, kept) as (pool, _):
        (found,) = pool.run([task_of(pool, b"\x01", counted=str(counted))])
        assert "1 task known from before" in pool.told()
        pool.run([task_of(pool, b"\x01", counted=str(counted), by=3)])
    assert found["y"].tolist() == [2] and counted.read_text() == "xx"
    # a run that ended well leaves nothing in the build folder
    assert not kept.exists()


def test_a_shared_folder_keeps_results_for_others(tmp_path: Path) -> None:
    counted, store = tmp_path / "counted", tmp_path / "store"
    for _ in range(2):
        with pool_of(1, tmp_path / "kept", store) as (pool, _):
            pool.run([task_of(pool, b"\x01", counted=str(counted))])
    assert counted.read_text() == "x" and (store / "inputs").is_dir()


def test_a_lost_worker_costs_its_task_and_is_told(tmp_path: Path) -> None:
    with pool_of(2, tmp_path / "kept") as (pool, events):
        mark = str(tmp_path / "mark")
        work = [task_of(pool, bytes([number])) for number in range(6)]
        work[3] = task_of(pool, b"\x03", dies_once, mark=mark)
        found = pool.run(work, "images")
        assert [arrays["y"].tolist() for arrays in found] == [[2 * number] for number in range(6)]
        (warning,) = events.warnings
        assert "SIGKILL" in warning and "its task of 1 image," in warning
        assert "1 worker lost" in pool.told() and events.shares[-1] == 1.0


def opened_of(executor: Executor, present: set[str]) -> Opened:
    """An executor whose workers are those of a set."""
    return Opened(
        executor=executor,
        identity=identity(),
        local=False,
        names=lambda: frozenset(present),
        words="2 workers",
    )


def folders_of(folder: Path) -> Folders:
    blobs, results = Blobs(folder / "in"), Results(folder / "out")
    return Folders(blobs=blobs, results=results, shared=True, own=True)


def test_a_worker_that_is_gone_is_told_and_a_scheduler_that_is_silent_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_scnet.scale.pool._LOOK_EVERY_S", 0.0)
    present, events = {"a", "b"}, Told()
    with ThreadPoolExecutor(1) as threads:
        pool = Pool(opened_of(threads, present), folders_of(tmp_path), events)
        present.clear()
        pool.run([task_of(pool, b"\x01")])
        assert events.warnings == []
        present.update({"b", "c"})
        pool.run([task_of(pool, b"\x02")])
    assert [warning.split(":")[0] for warning in events.warnings] == ["the worker a is gone"]


def test_a_task_that_always_kills_its_worker_is_an_error(tmp_path: Path) -> None:
    with (
        pool_of(1, tmp_path / "kept") as (pool, _),
        pytest.raises(BackendError, match="lost its worker 3 times") as caught,
    ):
        pool.run([task_of(pool, b"\x01", dies)])
    assert "free -h" in caught.value.hint


def test_an_error_of_a_task_keeps_its_hint(tmp_path: Path) -> None:
    with (
        pool_of(1, tmp_path / "kept") as (pool, _),
        pytest.raises(DataError, match="the sample is odd") as caught,
    ):
        pool.run([task_of(pool, b"\x01", refuses)])
    assert caught.value.hint == "look at it"


def test_large_results_come_in_turn(tmp_path: Path) -> None:
    with pool_of(1, tmp_path / "kept") as (pool, _):
        found = pool.in_turn(task_of(pool, bytes([number])) for number in range(20))
        assert [int(arrays["y"][0]) for arrays in found] == [2 * number for number in range(20)]


def test_in_turn_a_worker_gets_the_input_that_it_lacks_while_the_first_task_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else workers without a shared folder would compute one task after the other."""
    monkeypatch.setattr(tasks, "_kept", tasks._Kept())
    file = str(tmp_path / "file")
    with ThreadPoolExecutor(2) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        works = [waits_for, touches, times]
        made = [task_of(pool, bytes([n]), work, file=file) for n, work in enumerate(works)]
        found = [*pool.in_turn(made)]
    assert found[0]["there"] and [int(each["y"][0]) for each in found] == [0, 2, 4]


class Disconnected(ThreadPoolExecutor):
    """Loses what it is given, as Dask's client does when its scheduler ends."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if fn is identity:
            return super().submit(fn, *args, **kwargs)
        future: Future[Any] = Future()
        future.cancel()
        future.set_running_or_notify_cancel()
        return future


def test_a_connection_that_is_lost_is_one_error(tmp_path: Path) -> None:
    with (
        Disconnected(1) as executor,
        pool_of(executor, tmp_path / "kept") as (pool, _),
        pytest.raises(BackendError, match="Disconnected: the connection is lost") as caught,
    ):
        pool.run([task_of(pool, b"\x01")])
    assert "finished tasks are reused" in caught.value.hint


def test_an_executor_that_takes_no_more_is_one_error(tmp_path: Path) -> None:
    with (
        ThreadPoolExecutor(1) as executor,
        pool_of(executor, tmp_path / "kept") as (pool, _),
        pytest.raises(BackendError, match="no task can be sent: RuntimeError: cannot schedule"),
    ):
        executor.shutdown()
        pool.run([task_of(pool, b"\x01")])


def test_a_scheduler_that_stays_without_workers_is_told_and_then_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_LOOK_EVERY_S", 0.05), ("_ALONE_TOLD_S", 0.1), ("_ALONE_S", 0.4)):
        monkeypatch.setattr(f"edge_scnet.scale.pool.{name}", seconds)
    present, events = {"a"}, Told()
    with ThreadPoolExecutor(1) as threads:
        pool = Pool(opened_of(threads, present), folders_of(tmp_path), events)
        present.clear()
        threads.submit(time.sleep, 1.5)
        with pytest.raises(BackendError, match="none has been there") as caught:
            pool.run([task_of(pool, b"\x01")])
    assert "finished tasks are reused" in caught.value.hint
    (warning,) = events.warnings
    assert warning.startswith("2 workers: none is left; others are waited for")


def other(**changes: object) -> Identity:
    own = identity()
    facts = {name: getattr(own, name) for name in ("versions", "code", "architecture", "features")}
    return Identity(**facts | changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"versions": (("edge-scnet", "0.0"),)}, r"edge-scnet .*, not 0\.0"),
        ({"code": "0" * 64}, "another source of edge-scnet"),
        (
            {"features": ("avx2",)},
            f"instruction sets .*, not {re.escape(identity().architecture)} avx2",
        ),
    ],
)
def test_a_worker_that_would_compute_other_bits_is_refused_by_name(
    tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    expected = other(**changes)
    with pool_of(1, tmp_path / "kept") as (pool, _):
        task = task_of(pool, b"\x01")
        call = tasks.Call(task=task, expected=expected, store=None)
        answer = tasks.run(call)
    assert answer.arrays is None
    assert re.search(words, "; ".join(answer.refused))
    assert task.key(identity()) != task.key(expected)


def test_a_worker_that_comes_later_and_differs_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ThreadPoolExecutor(1) as threads, pool_of(threads, tmp_path / "kept") as (pool, _):
        pool.run([task_of(pool, b"\x01")])
        monkeypatch.setattr(tasks, "identity", lambda: other(features=("avx2",)))
        with pytest.raises(BackendError, match="would compute other bits: instruction") as caught:
            pool.run([task_of(pool, b"\x02")])
    assert "one kind of processor" in caught.value.hint


def test_equal_tasks_have_equal_keys_and_all_that_decides_is_in_them(tmp_path: Path) -> None:
    with pool_of(1, tmp_path / "kept") as (pool, _):
        one, own = task_of(pool, b"\x01", by=2), identity()
        assert one.key(own) == task_of(pool, b"\x01", by=2).key(own)
        others = [task_of(pool, b"\x02", by=2), task_of(pool, b"\x01", by=3)]
        others.append(task_of(pool, b"\x01", refuses, by=2))
        assert len({one.key(own), *(each.key(own) for each in others)}) == 4


def test_a_folder_of_results_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="is a link"), pool_of(1, tmp_path / "kept"):
        pass


def test_rows_are_the_same_in_every_shard_length() -> None:
    from edge_scnet.scale.shards import as_bytes, from_bytes, shards_of

    samples = np.arange(130 * 12, dtype=np.float32).reshape(130, 3, 2, 2)
    for chunks in ([samples], np.array_split(samples, 7), list(samples[:, None])):
        shards = list(shards_of(chunks))
        assert [len(shard) for shard in shards] == [64, 64, 2]
        assert np.array_equal(np.concatenate(shards), samples)
    assert [len(shard) for shard in shards_of([samples], 3)] == [63, 63, 4]
    assert np.array_equal(from_bytes(as_bytes(samples)), samples)
