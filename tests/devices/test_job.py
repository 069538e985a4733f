"""A job on a board: nothing of it is lost, whatever happens to the link and to who asked for it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.devices.device import Device
from edge_scnet.devices.inputs import Input, Job, rooted
from edge_scnet.devices.job import Settings, run_on
from edge_scnet.errors import DeviceError
from tests.devices.conftest import Board
from tests.devices.running import Heard, Shown, kill_job, run, script, tree

pytestmark = pytest.mark.slow

PRINT_AND_WRITE = 'cat -- "$1"; printf %s "$2" >"$1.made"'
HOSTILE = "a b'\"; touch gone & $(x) `y` -n\nz"


def test_a_job_reads_and_makes_files_as_if_it_had_run_here(board: Board, here: Path) -> None:
    (here / "set" / "deep").mkdir(parents=True)
    (here / "set" / "deep" / "x").write_bytes(b"x" * 100_000)
    (here / "set" / HOSTILE).write_bytes(b"hostile")
    (here / "made").mkdir()
    (here / "made" / "manifest.json").write_text("{}")
    (here / "made" / "kept").write_text("kept")
    (here / "made" / "stale").write_text("stale")
    job = script(
        here,
        "echo seen; cat set/deep/x | wc -c; echo words >&2\n"
        "cp set/* made/ 2>/dev/null; rm made/stale; echo more >>made/kept\n"
        'printf \'"%s"\' "$PWD/made" >made/manifest.json; exit 13',
        inputs=(Input(path=here / "set"), Input(path=here / "made", writable=True)),
        outputs=("made",),
    )
    shown = Shown()
    done = run(board.device, job, shown=shown)
    assert done.exit_code == 13
    assert shown.out.split() == [b"seen", b"100000"] and shown.err == b"words\n"
    assert tree(here / "made") == {
        HOSTILE: b"hostile",
        "kept": b"keptmore\n",
        "manifest.json": f'"{here}/made"'.encode(),
    }
    assert not list(board.workdir.glob("jobs/*")), "what was brought back is removed there"


def test_names_mean_nothing_to_a_shell_on_either_side(board: Board, here: Path) -> None:
    name = HOSTILE.replace("\n", "")
    for folder in (here / name, here / "-rf"):
        folder.mkdir()
        (folder / name).write_text("content")
    job = Job(
        argv=(
            "sh",
            "-c",
            'cat -- "$1"; printf %s "$2" >"$1.made"',
            "sh",
            f"{name}/{name}",
            f"{name}\n",
        ),
        is_tool=False,
        words=f"{name}\nwords",
        cwd=here,
        inputs=(
            Input(path=here / name / name),
            Input(path=here / "-rf"),
        ),
        outputs=(here / name,),
    )
    shown = Shown()
    assert run(board.device, job, shown=shown).exit_code == 0
    assert shown.out == b"content"
    assert (here / name / f"{name}.made").read_text() == f"{name}\n"
    assert not (board.home / "gone").exists() and not list(here.rglob("gone"))


def test_what_is_there_is_not_sent_again(board: Board, here: Path) -> None:
    (here / "model").write_bytes(os.urandom(500_000))
    (here / "made").mkdir()
    job = script(
        here,
        "mkdir -p made; cp model made/manifest.json",
        inputs=(Input(path=here / "model"),),
        outputs=("made",),
    )
    first = run(board.device, job)
    assert first.sent_bytes >= 500_000 and first.received_bytes >= 500_000
    # what it made is known there too
    again = replace(job, inputs=(*job.inputs, Input(path=here / "made", writable=True)))
    second = run(board.device, again)
    assert second.sent_bytes + second.received_bytes < 50_000
    assert second.files == ()


def test_a_broken_upload_goes_on_where_it_was(board: Board, here: Path) -> None:
    from edge_scnet.core.files import sha256_file

    content = os.urandom(3_000_000)
    (here / "model").write_bytes(content)
    part = board.workdir / "blobs" / f"{sha256_file(here / 'model')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(content[:2_900_000])
    job = script(here, "sha256sum <model", inputs=(Input(path=here / "model"),))
    done = run(board.device, job)
    assert done.exit_code == 0 and done.sent_bytes < 200_000
    assert not part.exists() and part.with_suffix("").read_bytes() == content


def test_a_damaged_upload_is_never_used(board: Board, here: Path) -> None:
    from edge_scnet.core.files import sha256_file

    (here / "model").write_bytes(os.urandom(100_000))
    part = board.workdir / "blobs" / f"{sha256_file(here / 'model')}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"wrong" * 1000)
    job = script(here, "sha256sum <model", inputs=(Input(path=here / "model"),))
    shown = Shown()
    assert run(board.device, job, shown=shown).exit_code == 0
    assert any("another hash" in warning for warning in shown.events.warnings)
    assert not part.exists()
    assert sha256_file(part.with_suffix("")) == part.stem == shown.out.split()[0].decode()


def cut(board: Board) -> None:
    """Ends the sshd of each link to a board, and leaves the one that listens."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], check=True, capture_output=True, text=True)
    for line in listed.stdout.splitlines():
        pid, parent = map(int, line.split())
        if parent == board.server.pid:
            os.kill(pid, 9)
    # the second process of a link, where sshd separates privileges, ends with the first


def test_a_job_goes_on_where_its_link_breaks(board: Board, here: Path) -> None:
    job = script(here, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.4; done; exit 7")
    shown = Shown(on_output=lambda _: cut(board))
    done = run(board.device, job, shown=shown)
    assert done.lost_links == 1 and done.exit_code == 7
    assert shown.out.split() == [b"1", b"2", b"3", b"4", b"5", b"6"], (
        "nothing twice, nothing left out"
    )
    assert any("connecting again" in warning for warning in shown.events.warnings)


def test_a_job_that_is_lost_with_its_link_begins_anew(board: Board, here: Path) -> None:
    """As where the board was switched off: what the second one prints is shown from its start."""
    text = "echo begun; [ -e $HOME/again ] || { touch $HOME/again; sleep 60; }; echo end; exit 7"

    class Losing(Heard):
        def warn(self, message: str) -> None:
            assert "connecting again" in message
            kill_job(board)
            (boot,) = board.workdir.glob("jobs/*/boot")
            boot.write_text("of before")

    shown = Shown(events=Losing(), on_output=lambda _: cut(board))
    done = run(board.device, script(here, text), shown=shown)
    assert done.lost_links == 1 and done.exit_code == 7
    assert shown.out.split() == [b"begun", b"begun", b"end"]
    assert shown.restarts == 1, "who shows it is told"


def test_another_process_takes_a_job_up_again(board: Board, here: Path) -> None:
    text = "echo $$; sleep 3; mkdir -p made; echo x >made/x; echo end"
    job = script(here, text, outputs=("made",))
    leave(board.device, job)
    (left,) = board.workdir.glob("jobs/*")
    pid = (left / "stdout").read_text().split()[0]
    shown = Shown()
    done = run(board.device, job, shown=shown)
    assert done.run == left.name and any("taken up" in stage for stage in shown.events.stages)
    assert shown.out.split() == [pid.encode(), b"end"], "it is the same process"
    assert (here / "made" / "x").read_text() == "x\n"


def leave(device: Device, job: Job) -> None:
    """Runs a job, and leaves it once it has printed something."""

    async def run() -> None:
        shown = Shown(on_output=lambda _: task.cancel())
        task = asyncio.ensure_future(run_on(device, job, settings=Settings(), shown=shown))
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


def wait_until(ready: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not ready() and time.monotonic() < end:
        time.sleep(0.05)
    assert ready()


def test_a_job_that_ended_unseen_is_fetched(board: Board, here: Path) -> None:
    job = script(here, "echo end; mkdir -p made; echo x >made/x; exit 11", outputs=("made",))
    leave(board.device, job)
    wait_until(lambda: list(board.workdir.glob("jobs/*/exit")))
    shown = Shown()
    assert run(board.device, job, shown=shown).exit_code == 11
    assert any("has ended there" in stage for stage in shown.events.stages)
    assert shown.out == b"end\n" and (here / "made" / "x").is_file()


def test_a_second_client_sees_who_has_the_device_or_waits(board: Board, here: Path) -> None:
    long = script(here, "echo begun; while [ ! -e ../go-on ]; do sleep 0.1; done")
    short = replace(long, argv=("echo", "short"), words="edge-scnet short")
    leave(board.device, long)
    with pytest.raises(DeviceError) as raised:
        run(board.device, short)
    assert "is in use by" in raised.value.message and "a test's job" in raised.value.message
    assert ", since 20" in raised.value.message and "--wait" in raised.value.hint
    (job,) = board.workdir.glob("jobs/*/root")
    threading.Timer(3.0, (job.joinpath(*here.parts[1:-1]) / "go-on").touch).start()
    shown = Shown()
    done = run(board.device, short, shown=shown, wait=True)
    assert done.exit_code == 0 and shown.out == b"short\n"
    assert any("waits for" in stage for stage in shown.events.stages)


def test_the_lock_is_the_jobs_own_and_ends_with_it(board: Board, here: Path) -> None:
    job = script(here, "echo begun; sleep 60")
    with pytest.raises(DeviceError, match="without an exit code"):
        run(board.device, job, shown=Shown(on_output=lambda _: kill_job(board)))
    assert run(board.device, replace(job, argv=("true",))).exit_code == 0


def test_a_stop_reaches_the_process_and_its_exit_code_comes_back(board: Board, here: Path) -> None:
    job = script(
        here,
        "trap 'mkdir -p made; echo kept >made/partial; exit 130' INT\n"
        "echo begun; i=0; while [ $i -lt 600 ]; do sleep 0.1; i=$((i+1)); done",
        outputs=("made",),
    )
    assert run(board.device, job, stops=True).exit_code == 130
    assert (here / "made" / "partial").read_text() == "kept\n", "what was measured is kept"


def test_a_device_writes_nowhere_but_where_it_was_to(board: Board, here: Path) -> None:
    sha256sum = board.home.parent / "bin" / "sha256sum"
    sha256sum.write_text(
        "#!/bin/sh\n"
        f"case $2 in '') exec {shutil.which('sha256sum')} ;; esac\n"
        f"printf '%064d  ./%s\\n' 0 '{str(here)[1:]}/made/../../escaped'\n"
    )
    sha256sum.chmod(0o755)
    job = script(here, "mkdir -p made; echo x >made/x", outputs=("made",))
    with pytest.raises(DeviceError, match="no file that the job was to make"):
        run(board.device, job)
    assert not (here.parent / "escaped").exists() and not list((here).glob("made/*"))


def test_absolute_paths_are_those_of_this_machine(board: Board, here: Path) -> None:
    (here / "x").write_text("x")
    job = Job(
        argv=("sh", "-c", 'cat "$1" && echo " $1"', "sh", rooted(here / "x")),
        is_tool=False,
        words="x",
        cwd=here,
        inputs=(Input(path=here / "x"),),
    )
    shown = Shown()
    run(board.device, job, shown=shown)
    assert shown.out.decode() == f"x {here / 'x'}\n"
