"""A build that is killed before a file operation leaves nothing that the next one takes wrongly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_some_crash_points() -> None:
    """In a process of its own, which forks before it opens an engine; all of them are by hand."""
    command = [sys.executable, "-m", "tests.end_to_end.crash_points", "--every", "36", "--first"]
    done = subprocess.run(
        [*command, "28", "--measure-once"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=600,
    )
    counts = json.loads(done.stdout)
    assert done.returncode == 0 and not counts["faults"], done.stderr
    assert counts["crashes"] == 5 and min(counts["operations"].values()) > 50
