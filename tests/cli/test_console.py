"""What long work shows: a line now and then in a log, a bar on a terminal, both with the rate and
the time that is left.
"""

from __future__ import annotations

import io
import signal
import subprocess
import sys

import pytest
from rich.console import Console

from edge_scnet.cli import console


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: now[0])
    return now


def test_a_log_gets_a_line_every_20_seconds(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = console.Lines()
    lines.stage("profile", "int8")
    for second in range(61):
        clock[0] = 100.0 + second
        lines.progress("accuracy", 0.01 * (second + 1), 100 * (second + 1), "images")
    lines.progress("latency", 0.5, 700, "runs each")
    clock[0] += 19
    lines.progress("latency", 0.6, 800, "runs each")
    shown = capsys.readouterr().err.splitlines()[1:]
    assert [line.strip() for line in shown] == [
        "accuracy 21 %, 105 images/s, 75 s left",
        "accuracy 41 %, 102 images/s, 58 s left",
        "accuracy 61 %, 102 images/s, 38 s left",
    ]


def test_short_work_says_nothing_in_between(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = console.Lines()
    for share in (0.1, 0.9, 1.0):
        lines.progress("accuracy", share, 10, "images")
        clock[0] += 5
    clock[0] += 100
    lines.progress("accuracy", 1.0, 10, "images")  # the closing line says it
    assert capsys.readouterr().err == ""


def test_a_bar_shows_the_rate_and_is_not_drawn_by_a_thread_of_its_own() -> None:
    bars = console.Bars()
    drawn = io.StringIO()
    bars._console = Console(file=drawn, force_terminal=True, width=120)
    bars.progress("accuracy", 0.0, 0, "images")
    assert bars._bar is not None and not bars._bar.live.auto_refresh
    bars._began -= 2
    bars.progress("accuracy", 1.0, 5000, "images")
    bars.close()
    assert "accuracy" in drawn.getvalue() and "100%" in drawn.getvalue()
    assert "images/s" in drawn.getvalue()
    assert bars._bar is None


def test_a_swallowed_ctrl_c_comes_back_with_the_next_sign_of_progress() -> None:
    """In a process of its own, whose handler it is: the first interrupt is caught by whoever is at
    work.
    """
    code = (
        "import os, signal\nfrom edge_scnet.cli import console, interrupts\ninterrupts.heed()\ntry:\n  "
        "  os.kill(os.getpid(), signal.SIGINT)\nexcept BaseException: pass\ntry:\n   "
        " console.Lines().progress('images', 0.1)\nexcept KeyboardInterrupt: print('again')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, preexec_fn=default_interrupt
    )
    assert done.stdout == "again\n", done.stderr


def default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
