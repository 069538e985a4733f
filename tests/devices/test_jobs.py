"""Jobs that nobody came for: listed, taken up by their ids, removed, told where space is short."""

from __future__ import annotations

import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.devices.inputs import Input
from edge_scnet.errors import DeviceError, StorageError
from tests.devices.conftest import Board
from tests.devices.running import run, script
from tests.devices.test_commands import edge
from tests.devices.test_job import leave, wait_until
from tests.helpers.schemas import validator

pytestmark = pytest.mark.slow


def test_a_job_is_listed_and_taken_up_by_its_id(board: Board, here: Path, tmp_path: Path) -> None:
    """By another client, and in its own folder alone: a device chooses none here."""
    (here / "made").mkdir()
    (here / "made" / "manifest.json").write_text("of before")
    (here / "made" / "stale").write_text("stale")
    job = script(
        here,
        "echo begun; while [ ! -e $HOME/go-on ]; do sleep 0.1; done;"
        " rm made/stale; echo new >made/manifest.json; exit 13",
        inputs=(Input(path=here / "made", writable=True),),
        outputs=("made",),
    )
    leave(board.device, job)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    listed = edge("jobs", "--device", board.url, "--json", cwd=elsewhere)
    found = json.loads(listed.stdout)
    validator("jobs").validate(found)
    (known,) = found["jobs"]
    assert known["state"] == "running" and known["command"] == "a test's job"
    assert known["folder"] == str(here) and known["exit_code"] is None
    refused = edge("jobs", "--device", board.url, "--remove", known["id"], cwd=elsewhere)
    assert refused.code == 8 and "still runs" in refused.stderr
    threading.Timer(2.0, (board.home / "go-on").touch).start()
    outside = edge("jobs", "--device", board.url, "--attach", known["id"], cwd=elsewhere)
    assert outside.code == 8 and "which is no folder in" in outside.stderr
    assert f"cd {here}" in outside.hint
    attached = edge("jobs", "--device", board.url, "--attach", known["id"], cwd=here)
    assert attached.code == 13, attached.stderr
    assert attached.stdout == "begun\n", "from its first byte on"
    assert (here / "made" / "manifest.json").read_text() == "new\n"
    assert not (here / "made" / "stale").exists() and not list(elsewhere.iterdir())
    again = edge("jobs", "--device", board.url, "--attach", known["id"], cwd=elsewhere)
    assert again.code == 8 and "has no job" in again.stderr and board.url in again.hint
    assert edge("jobs", "--device", board.url, cwd=elsewhere).stdout.endswith(": no jobs\n")


def test_what_nobody_came_for_is_told_where_space_is_short_and_removed(
    board: Board, here: Path
) -> None:
    job = script(here, "echo begun; mkdir made; head -c 3000000 /dev/zero >made/x; sleep 1")
    job = replace(job, outputs=(here / "made",))
    leave(board.device, job)
    wait_until(lambda: list(board.workdir.glob("jobs/*/exit")))
    (left,) = board.workdir.glob("jobs/*")
    df = board.home.parent / "bin" / "df"
    df.write_text("#!/bin/sh\necho Filesystem\necho none 10 5 5000 50% /\n")
    df.chmod(0o755)
    with pytest.raises(StorageError) as raised:
        run(board.device, replace(job, argv=("true",)))
    assert "1 job there that nobody came for holds 3 MB" in raised.value.hint
    assert f"edge-scnet jobs --device {board.url}" in raised.value.hint
    removed = edge("jobs", "--device", board.url, "--remove", left.name, cwd=here)
    assert removed.code == 0 and not left.exists()
    wrong = edge("jobs", "--device", board.url, "--remove", "../../blobs", cwd=here)
    assert wrong.code == 2 and (board.workdir / "blobs").is_dir()


def test_what_nobody_came_for_is_kept_for_two_weeks_and_what_runs_for_as_long_as_it_does(
    board: Board, here: Path
) -> None:
    leave(board.device, script(here, "echo begun; exit 3"))
    wait_until(lambda: list(board.workdir.glob("jobs/*/exit")))
    (ended,) = board.workdir.glob("jobs/*")

    def age(folder: Path, days: float) -> None:
        then = folder.stat().st_mtime - days * 86400
        os.utime(folder, (then, then))

    age(ended, 13)
    other = replace(script(here, ""), argv=("true",))
    run(board.device, other)
    assert ended.exists()
    leave(board.device, script(here, "echo begun; exec sleep 60"))
    (running,) = set(board.workdir.glob("jobs/*")) - {ended}
    for folder in (ended, running):
        age(folder, 30)
    try:
        with pytest.raises(DeviceError, match="is in use by"):
            run(board.device, other)
        assert running.exists() and not ended.exists()
    finally:
        os.killpg(int((running / "pid").read_text()), signal.SIGKILL)
