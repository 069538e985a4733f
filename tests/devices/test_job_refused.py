"""Jobs that a device does not take or cannot end, and the power mode that is set back."""

from __future__ import annotations

import os
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.devices import connection
from edge_scnet.devices.inputs import Input
from edge_scnet.errors import DeviceError, StorageError, TargetError
from tests.devices.conftest import Board
from tests.devices.running import Shown, kill_job, run, script, stop_while_it_waits

pytestmark = pytest.mark.slow


def test_a_clock_that_is_off_is_refused(board: Board, here: Path) -> None:
    date = board.home.parent / "bin" / "date"
    date.write_text('#!/bin/sh\nexec /bin/date -d "3 years ago" "$@"\n')
    date.chmod(0o755)
    with pytest.raises(DeviceError) as raised:
        run(board.device, script(here, "true"))
    assert "behind this machine's" in raised.value.message and "timedatectl" in raised.value.hint
    date.write_text('#!/bin/sh\nexec /bin/date -d "1 minute" "$@"\n')
    shown = Shown()
    assert run(board.device, script(here, "true"), shown=shown).exit_code == 0
    assert any("ahead of" in warning for warning in shown.events.warnings)


def test_too_little_space_is_refused_before_anything_is_sent(board: Board, here: Path) -> None:
    df = board.home.parent / "bin" / "df"
    df.write_text("#!/bin/sh\necho Filesystem\necho none 10 5 5000 50% /\n")
    df.chmod(0o755)
    (here / "model").write_bytes(os.urandom(100_000))
    with pytest.raises(StorageError) as raised:
        run(board.device, script(here, "true", inputs=(Input(path=here / "model"),)))
    assert "5 MB are free" in raised.value.message
    assert not list((board.workdir / "blobs").iterdir())


def test_a_missing_program_is_named(board: Board, here: Path) -> None:
    places = board.home.parent / "few"
    places.mkdir()
    for name in (
        "sh",
        "mkdir",
        "date",
        "df",
        "awk",
        "uname",
        "cat",
        "find",
        "rm",
        "wc",
        "touch",
        "tr",
    ):
        (places / name).symlink_to(str(shutil.which(name)))
    config = board.home.parent / "sshd_config"
    text = config.read_text()
    start = text.index('"PATH=')
    end = text.index('"', start + 1)
    config.write_text(text[:start] + f'"PATH={places}' + text[end:])
    board.server.send_signal(1)
    time.sleep(0.5)
    with pytest.raises(DeviceError, match=r"lacks .*flock.*sha256sum"):
        run(board.device, script(here, "true"))


def test_a_device_that_hangs_is_left_with_words(
    board: Board, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = board.home.parent / "bin" / "df"
    hanging.write_text("#!/bin/sh\nsleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(connection, "_ASK_S", 0.7)
    monkeypatch.setattr(connection.Link.run, "__kwdefaults__", {"stdin": b"", "timeout_s": 0.7})
    with pytest.raises(DeviceError, match="hangs"):
        run(board.device, script(here, "true"))


NVPMODEL = """#!/bin/sh
case $1 in
-q) echo "NV Power Mode: MODE_$(cat {mode})"; cat {mode} ;;
-m) echo "$2" >{mode}; echo "$2" >>{mode}.log ;;
esac
"""


def power_modes(board: Board) -> Path:
    """Gives a board power modes; returns the file with the one it is in, which is 2."""
    mode = board.home / "mode"
    mode.write_text("2\n")
    places = board.home.parent / "bin"
    for name, text in (
        ("nvpmodel", NVPMODEL.format(mode=mode)),
        ("sudo", '#!/bin/sh\nshift\nexec "$@"\n'),
    ):
        (places / name).write_text(text)
        (places / name).chmod(0o755)
    return mode


def test_the_power_mode_is_set_when_asked_and_set_back(board: Board, here: Path) -> None:
    mode = power_modes(board)
    device = replace(board.device, power_mode=0)
    job = script(here, f"cat {mode}")
    shown = Shown()
    run(device, job, shown=shown)
    assert shown.out == b"2\n", "it is set only where that is asked for"
    shown = Shown()
    run(device, job, shown=shown, set_power_mode=True)
    assert shown.out == b"0\n" and mode.read_text() == "2\n"
    with pytest.raises(TargetError, match="no power_mode is known"):
        run(board.device, job, set_power_mode=True)
    # a job that was killed leaves it to the next one
    deaf = replace(job, argv=("sh", "-c", "echo begun; sleep 60"))
    with pytest.raises(DeviceError):
        shown = Shown(on_output=lambda _: kill_job(board))
        run(device, deaf, shown=shown, set_power_mode=True)
    assert mode.read_text() == "0\n"
    run(device, replace(job, argv=("true",)))
    assert mode.read_text() == "2\n"


def test_a_waiting_job_that_is_stopped_leaves_the_mode_of_the_running_one(
    board: Board, here: Path
) -> None:
    mode = power_modes(board)
    device = replace(board.device, power_mode=0)
    long = script(here, "echo begun; while [ ! -e $HOME/go-on ]; do sleep 0.1; done")
    begun = threading.Event()
    first = threading.Thread(
        target=run,
        args=(device, long),
        kwargs={"shown": Shown(on_output=lambda _: begun.set()), "set_power_mode": True},
    )
    first.start()
    try:
        assert begun.wait(30)
        assert stop_while_it_waits(device, replace(long, argv=("true",))) == 130
        assert mode.read_text() == "0\n"
    finally:
        (board.home / "go-on").touch()
        first.join()
    assert mode.read_text() == "2\n"


def test_a_mode_that_cannot_be_read_is_not_left(board: Board, here: Path) -> None:
    mode = power_modes(board)
    mode.write_text("unknown\n")
    shown = Shown()
    job = script(here, "echo ran")
    done = run(replace(board.device, power_mode=0), job, shown=shown, set_power_mode=True)
    assert done.exit_code == 8 and not shown.out
    assert b"the power mode of now cannot be read" in shown.err
    assert mode.read_text() == "unknown\n"


def test_a_mode_that_could_not_be_set_back_is_that_of_the_board_for_later_jobs_too(
    board: Board, here: Path
) -> None:
    """What an earlier job left is not taken for the board's own by the next one that sets one."""
    mode = power_modes(board)
    nvpmodel = board.home.parent / "bin" / "nvpmodel"
    works = nvpmodel.read_text()
    nvpmodel.write_text(works.replace("-m) echo", '-m) [ "$2" != 2 ] || exit 1; echo'))
    job = script(here, f"cat {mode}")
    shown = Shown()
    run(replace(board.device, power_mode=0), job, shown=shown, set_power_mode=True)
    assert b"could not be set back" in shown.err and mode.read_text() == "0\n"
    shown = Shown()
    run(replace(board.device, power_mode=1), job, shown=shown, set_power_mode=True)
    assert shown.out == b"1\n" and b"the power mode 2 of before an earlier job" in shown.err
    nvpmodel.write_text(works)
    run(board.device, replace(job, argv=("true",)))
    assert mode.read_text() == "2\n"
