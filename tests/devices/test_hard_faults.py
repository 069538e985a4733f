"""A full disk, a device that stops answering, two clients at once, a stop before the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.devices import connection
from edge_scnet.devices.inputs import Input, Job
from edge_scnet.devices.job import Settings, run_on
from edge_scnet.errors import DeviceError, EdgeError
from tests.devices.conftest import Board
from tests.devices.running import Shown, run, script, stop_while_it_waits
from tests.devices.test_faults import learn
from tests.helpers.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

_DISK_MB = 80


@pytest.fixture
def small_disk(board: Board) -> Iterator[Path]:
    """A file system of 80 MB where the board keeps its jobs."""
    place = board.home / ".cache"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a tmpfs needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def free_mb(place: Path) -> float:
    return shutil.disk_usage(place).free / 2**20


@pytest.mark.parametrize("count", [1, 4000])
def test_a_job_that_fills_the_disk_is_told_and_the_next_one_runs(
    board: Board, here: Path, small_disk: Path, count: int
) -> None:
    """By one large file, or by so many small ones that the list of them finds no place either."""
    job = script(
        here,
        f"mkdir -p made; for i in $(seq {count}); do : >made/$i; done;"
        " cat /dev/zero >made/big; exit 9",
        outputs=("made",),
    )
    shown = Shown()
    done = run(board.device, job, shown=shown)
    assert done.exit_code == 9 and b"error: the disk of the device is full" in shown.err
    assert free_mb(small_disk) > 0.9 * _DISK_MB, "what a failed job made is not kept"
    next_one = script(here, "echo fine; exit 0")
    assert run(board.device, next_one).exit_code == 0


def test_a_disk_that_fills_up_while_files_go_over(
    board: Board, here: Path, small_disk: Path
) -> None:
    # what fills it is not there when the space is looked at
    df = board.home.parent / "bin" / "df"
    df.write_text("#!/bin/sh\necho Filesystem\necho none 10 5 500000 50% /\n")
    df.chmod(0o755)
    (here / "model").write_bytes(os.urandom((_DISK_MB + 10) << 20))
    job = script(here, "wc -c <model", inputs=(Input(path=here / "model"),))
    with pytest.raises(EdgeError) as raised:
        run(board.device, job)
    assert raised.value.exit_code == 9 and "df -h" in raised.value.hint, raised.value.message
    assert not [p for p in (board.workdir / "blobs").iterdir() if p.suffix != ".part"]
    df.unlink()
    (here / "model").write_bytes(os.urandom(1 << 20))
    with contextlib.suppress(FileNotFoundError):
        for part in (board.workdir / "blobs").glob("*.part"):
            part.unlink()  # as the hint says: free space there
    assert run(board.device, job).exit_code == 0


def test_a_device_that_stops_answering_is_left_and_found_again(
    board: Board, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sshd of the link is stopped, as by a board that swaps; another one answers."""
    monkeypatch.setattr(connection, "_KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "_KEEPALIVES", 2)
    stopped: list[int] = []

    def stop() -> None:
        listed = subprocess.run(
            ["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True
        )
        for line in listed.stdout.splitlines():
            pid, parent = map(int, line.split())
            if parent == board.server.pid:
                os.kill(pid, signal.SIGSTOP)
                stopped.append(pid)

    timer = threading.Timer(1.5, stop)
    timer.start()
    shown = Shown()
    try:
        done = run(board.device, script(here, "sleep 3; echo end; exit 5"), shown=shown)
    finally:
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    assert stopped and done.exit_code == 5 and done.lost_links >= 1
    assert shown.out == b"end\n"


def test_a_link_that_says_nothing_any_more_ends_in_words(
    board: Board, here: Path, client_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A board without power: packets go nowhere, and no connection is refused."""
    monkeypatch.setattr(connection, "_KEEPALIVE_S", 1)
    monkeypatch.setattr(connection, "_KEEPALIVES", 2)
    monkeypatch.setattr(connection, "_CONNECT_S", 1.0)
    monkeypatch.setattr(connection, "_LOGIN_S", 1.0)
    with TcpProxy(board.port) as link:
        learn(board, link, client_home)
        device = replace(board.device, port=link.port)
        timer = threading.Timer(1.5, link.stall)
        timer.start()
        began = time.monotonic()
        with pytest.raises(DeviceError) as raised:
            run(device, script(here, "sleep 2; exit 5"), patience_s=4.0)
        assert time.monotonic() - began < 60
        assert "run the same command again" in raised.value.hint
        link.go_on()
        assert run(device, script(here, "sleep 2; exit 5")).exit_code == 5


def test_a_stop_while_another_job_is_waited_for_takes_no_file_away(
    board: Board, here: Path
) -> None:
    """What was sent of a build folder, and not touched there, is not what the job removed."""
    build = here / "made"
    build.mkdir()
    for name in ("manifest.json", "engine"):
        (build / name).write_text("kept")
    long = script(here, "sleep 4")
    first = threading.Thread(target=run, args=(board.device, long))
    first.start()
    time.sleep(1.5)
    job = Job(
        argv=("sh", "-c", "echo new >made/engine"),
        is_tool=False,
        words="renews a build",
        cwd=here,
        inputs=(Input(path=build, writable=True),),
        outputs=(build,),
    )
    assert stop_while_it_waits(board.device, job) == 130
    first.join()
    assert {path.name: path.read_text() for path in build.iterdir() if path.name[0] != "."} == {
        "manifest.json": "kept",
        "engine": "kept",
    }


def test_a_stop_while_the_job_is_begun_leaves_nothing_running(board: Board, here: Path) -> None:
    tar = board.home.parent / "bin" / "tar"
    tar.write_text(f'#!/bin/sh\ntouch "$HOME/begins"\nsleep 1\nexec {shutil.which("tar")} "$@"\n')
    tar.chmod(0o755)

    async def stopped() -> int:
        settings = Settings()
        task = asyncio.ensure_future(
            run_on(board.device, script(here, "sleep 60"), settings=settings, shown=Shown())
        )
        while not (board.home / "begins").exists():
            await asyncio.sleep(0.02)
        settings.stop.set()
        return (await task).exit_code

    assert asyncio.run(stopped()) == 130
    assert not list(board.workdir.glob("jobs/*"))


def test_two_clients_with_the_same_command_both_get_its_results(board: Board, here: Path) -> None:
    """Both follow one job: it runs once, and neither takes its files from the other."""
    job = script(
        here,
        "echo ran >>$HOME/runs; mkdir -p made; sleep 1;"
        " head -c 2000000 /dev/zero >made/file; exit 11",
        outputs=("made",),
    )
    found: list[object] = []

    def client() -> None:
        try:
            found.append(run(board.device, job).exit_code)
        except EdgeError as error:
            found.append(error.message)

    clients = [threading.Thread(target=client) for _ in range(2)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join()
    assert found == [11, 11]
    assert (here / "made" / "file").stat().st_size == 2_000_000
    assert (board.home / "runs").read_text() == "ran\n"


def test_a_link_that_breaks_while_it_is_made_is_made_again(
    board: Board, here: Path, client_home: Path
) -> None:
    with TcpProxy(board.port, cut_after_bytes=1000) as link:
        learn(board, link, client_home)
        device = replace(board.device, port=link.port)
        assert run(device, script(here, "exit 5")).exit_code == 5
        assert link.connections == 2
        link.refuse = True
        with pytest.raises(DeviceError, match="cannot connect"):
            run(device, script(here, "exit 5"), patience_s=0.0)
