"""Who may compute, and how what cannot be used is refused."""

from __future__ import annotations

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge_scnet.errors import BackendError, MissingRuntimeError, TargetError
from edge_scnet.scale.executors import Workers, opened
from edge_scnet.scale.identity import identity


def test_one_of_processes_and_scheduler_is_needed() -> None:
    for given in ({}, {"store": Path("x")}, {"processes": 2, "scheduler": "tcp://a:1"}):
        with pytest.raises(TargetError, match="one of --workers and --scheduler"):
            Workers(**given)
    with pytest.raises(TargetError, match="allowed: 1 to 1024"):
        Workers(processes=0)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("host:8786", "allowed: tls://host:port"),
        ("http://host:8786", "allowed: tls://host:port"),
        ("tcp://host", "allowed: tls://host:port"),
        ("mine:missing", "cannot be called"),
        ("mine:number", "returns int; allowed"),
        ("mine:fails", "OSError: no such queue"),
    ],
)
def test_what_names_no_scheduler_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    (tmp_path / "mine.py").write_text(
        "def number(): return 1\ndef fails(): raise OSError('no such queue')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    with pytest.raises(TargetError, match=words), opened(Workers(scheduler=name)):
        pass


def test_an_executor_of_the_users_is_opened_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.py").write_text(
        "from concurrent.futures import ThreadPoolExecutor\n"
        "made = []\n"
        "def pool():\n    made.append(ThreadPoolExecutor(2))\n    return made[-1]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    with opened(Workers(scheduler="ours:pool")) as found:
        assert found.executor.submit(divmod, 7, 2).result() == (3, 1) and not found.local
        assert found.words == "ThreadPoolExecutor"
    with pytest.raises(RuntimeError, match="shutdown"):
        found.executor.submit(divmod, 7, 2)
    # one that the caller holds is the caller's to end
    with ThreadPoolExecutor(1) as own:
        with opened(Workers(scheduler=own)):
            pass
        assert own.submit(divmod, 7, 2).result() == (3, 1)


class Elsewhere(ThreadPoolExecutor):
    """Workers whose numpy is another one."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        own = identity()
        versions = tuple({**dict(own.versions), "numpy": "1.0"}.items())
        future: Future[Any] = Future()
        future.set_result(replace(own, versions=versions))
        return future


def test_workers_of_other_versions_are_refused_and_both_are_named() -> None:
    with (
        Elsewhere(1) as executor,
        pytest.raises(BackendError, match=r"the worker Elsewhere .*numpy 1\.0, not \d") as caught,
        opened(Workers(scheduler=executor)),
    ):
        pass
    assert "pip freeze" in caught.value.hint


def test_dask_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(MissingRuntimeError, match="'distributed' is not installed") as caught,
        opened(Workers(scheduler="tcp://127.0.0.1:8786")),
    ):
        pass
    assert "[cluster]" in str(caught.value.hint)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed: the extra cluster brings it")
    monkeypatch.setattr("edge_scnet.scale.executors._CONNECT_S", 1)
    with (
        pytest.raises(BackendError, match="no connection to the scheduler tcp://127") as caught,
        opened(Workers(scheduler="tcp://127.0.0.1:9")),
    ):
        pass
    assert "dask scheduler --port 9" in str(caught.value.hint)
