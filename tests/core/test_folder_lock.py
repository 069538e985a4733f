"""One run at a time writes into a build folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from edge_scnet.core.events import Silent
from edge_scnet.core.folder_lock import LOCK, check_free, in_turn, locked
from edge_scnet.errors import ExitCode, StorageError

HOLD = (
    "import sys, time; from pathlib import Path; from edge_scnet.core.events import Silent; from"
    " edge_scnet.core.folder_lock import locked\n"
    "with locked(Path(sys.argv[1]), command='edge-scnet build net', wait=False, events=Silent()):\n"
    "    print('held', flush=True); sys.stdin.read()"
)


@contextmanager
def another_run(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder until its stdin is closed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


class Told(Silent):
    """Keeps what is told of stages."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str]] = []

    def stage(self, name: str, detail: str) -> None:
        self.stages.append((name, detail))


def hold(
    folder: Path, *, wait: bool = False, events: Silent | None = None
) -> AbstractContextManager[None]:
    return locked(folder, command="mine", wait=wait, events=events or Silent())


def test_a_folder_in_use_is_refused_with_its_owner(tmp_path: Path) -> None:
    with another_run(tmp_path) as process:
        for enter in (lambda: check_free(tmp_path), lambda: hold(tmp_path).__enter__()):
            with pytest.raises(StorageError) as caught:
                enter()
            assert str(caught.value).startswith(
                f"{tmp_path} is in use by edge-scnet build net (process {process.pid}, since 2"
            )
            assert "--wait" in caught.value.hint and caught.value.exit_code == ExitCode.STORAGE
        with hold(tmp_path / "another"):
            check_free(tmp_path / "third")


def test_it_waits_where_it_is_asked_to_and_says_so_in_one_line(tmp_path: Path) -> None:
    told = Told()
    with another_run(tmp_path) as process:
        assert process.stdin is not None
        threading.Timer(0.3, process.stdin.close).start()
        started = time.monotonic()
        with hold(tmp_path, wait=True, events=told):
            assert time.monotonic() - started > 0.2
    assert [name for name, _ in told.stages] == ["wait"]
    assert "in use by edge-scnet build net" in told.stages[0][1]
    assert not list(tmp_path.iterdir())


def test_many_that_wait_come_one_after_another(tmp_path: Path) -> None:
    inside, seen = [], []

    def run() -> None:
        with hold(tmp_path, wait=True):
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.002)
            inside.pop()

    threads = [threading.Thread(target=run) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20 and not list(tmp_path.iterdir())


def test_a_run_that_was_killed_holds_nothing_and_its_files_go(tmp_path: Path) -> None:
    with another_run(tmp_path) as process:
        (tmp_path / ".model.0123abcd.part.onnx").touch()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert (tmp_path / LOCK).exists()
    check_free(tmp_path)
    with hold(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
        assert '"mine"' in (tmp_path / LOCK).read_text()
    assert not list(tmp_path.iterdir())


def test_it_ends_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), hold(tmp_path):
        raise RuntimeError
    with hold(tmp_path):
        pass


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_lock_of_a_foreign_folder_is_neither_followed_nor_written(
    tmp_path: Path, kind: str
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "folder"
    folder.mkdir()
    victim.write_text("mine")
    path = folder / LOCK
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "hard link":
        path.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    check_free(folder)
    with pytest.raises(StorageError) as caught, hold(folder):
        pass
    assert LOCK in str(caught.value) and "rm " in caught.value.hint
    assert victim.read_text() == "mine"


def test_one_process_at_a_time_is_in_a_folder_where_nothing_is_written(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with in_turn(tmp_path):
            order.append("second")

    with in_turn(tmp_path):
        other = threading.Thread(target=second)
        other.start()
        time.sleep(0.05)
        order.append("first")
        assert not list(tmp_path.iterdir())
    other.join(timeout=10)
    assert order == ["first", "second"]
    with in_turn(tmp_path / "none"):
        pass
