"""The progress of several devices: a line each, whatever their threads tell."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from edge_scnet.cli.fleet_progress import FleetBars, FleetLines

NAMES = ["orin-1", "a"]


def test_a_logs_lines_begin_with_the_device(capsys: pytest.CaptureFixture[str]) -> None:
    lines = FleetLines(NAMES)
    for name in NAMES:
        events = lines.of(name)
        events.stage("upload", "0.3 MB")
        events.progress("upload", 0.5)
        events.done("uploaded", reused=True)
    lines.of("a").warn("its clock is off")
    lines.ended("a", "failed: gone")
    shown = capsys.readouterr().err.splitlines()
    assert shown[:4] == [
        "orin-1 upload: 0.3 MB",
        "orin-1 uploaded (unchanged, reused)",
        "a      upload: 0.3 MB",
        "a      uploaded (unchanged, reused)",
    ]
    assert shown[4:] == ["warning: a: its clock is off", "a      failed: gone"]


def test_a_terminal_has_a_line_a_device_drawn_by_no_thread_of_its_own() -> None:
    drawn = io.StringIO()
    threads = threading.active_count()
    bars = FleetBars(NAMES, Console(file=drawn, force_terminal=True, width=100))
    assert threading.active_count() == threads
    work = [
        threading.Thread(target=_stages, args=(bars, name, end))
        for name, end in zip(NAMES, ("ship INT8", "failed: gone"), strict=True)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    bars.close()
    # what is left standing: a line each, with what it came to
    last = drawn.getvalue().replace("\x1b[2K", "").split("\x1b[1A")[-1]
    assert "ship INT8" in drawn.getvalue() and "failed: gone" in drawn.getvalue()
    assert last.count("orin-1") <= 1


def _stages(bars: FleetBars, name: str, end: str) -> None:
    events = bars.of(name)
    for stage in range(20):
        events.stage(f"stage {stage}", "[bold]not markup[/bold]")
        events.progress("half", 0.5)
        events.done("made", reused=False)
    bars.ended(name, end)
