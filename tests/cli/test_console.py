"""What long work shows: a line now and then in a log, a bar on a terminal."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading

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


def test_a_bar_shows_the_rate_and_is_not_drawn_by_a_thread_of_its_own(clock: list[float]) -> None:
    drawn = io.StringIO()
    bars = console.Bars(Console(file=drawn, force_terminal=True, width=120))
    threads = threading.active_count()
    bars.progress("accuracy", 0.0, 0, "images")
    assert threading.active_count() == threads
    clock[0] += 2
    bars.progress("accuracy", 1.0, 5000, "images")
    bars.close()
    shown = drawn.getvalue()
    assert "accuracy" in shown and "100%" in shown and "2,500 images/s" in shown


def test_a_bar_is_drawn_ten_times_a_second_at_most(clock: list[float]) -> None:
    drawn = io.StringIO()
    bars = console.Bars(Console(file=drawn, force_terminal=True, width=120))
    for step in range(100):
        bars.progress("accuracy", step / 200, step, "images")
        clock[0] += 0.005
    bars.close()
    assert 5 <= drawn.getvalue().count("accuracy") <= 8


@pytest.mark.parametrize("terminal", [True, False])
def test_what_shows_progress_suits_stderr_and_is_closed_after_an_error(
    monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    closed = []
    kind = console.Bars if terminal else console.Lines
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(kind, "close", lambda self: closed.append(self))
    with pytest.raises(ValueError, match="bad image"), console.events() as events:
        assert isinstance(events, kind) and not closed
        raise ValueError("bad image")
    assert closed == [events]


SWALLOWED = """
import os, signal
from edge_scnet.cli import console, interrupts
interrupts.heed()
try:
    os.kill(os.getpid(), signal.SIGINT)
except BaseException:
    pass
try:
    console.Lines().progress('images', 0.1)
except KeyboardInterrupt:
    print('again')
"""


def test_a_swallowed_ctrl_c_comes_back_with_the_next_sign_of_progress() -> None:
    """The first interrupt is caught by whoever is at work; in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED],
        capture_output=True,
        text=True,
        preexec_fn=default_interrupt,
    )
    assert done.stdout == "again\n", done.stderr


def default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_what_prints_while_work_goes_on_prints_on_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with console.events():
        print("by a factory")
        os.write(1, b"by a library\n")
        subprocess.run([sys.executable, "-S", "-c", "print('by a child')"], check=True)
    print("the result")
    shown = capfd.readouterr()
    assert shown.out == "the result\n"
    assert set(shown.err.splitlines()) == {"by a factory", "by a library", "by a child"}


def test_a_closed_stdout_is_left_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(descriptor: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(console.os, "dup", closed)
    with console.events() as shown:
        assert shown is not None
