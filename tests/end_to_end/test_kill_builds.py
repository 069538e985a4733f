"""Builds that are killed leave nothing behind that is taken for a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.kill_builds import KillTest
from tests.helpers.graphs import tiny_onnx


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_half_written_and_the_next_one_ends(tmp_path: Path) -> None:
    """A network that takes seconds to build; the script kills many of the bundled one."""
    model = tiny_onnx(tmp_path / "tiny.onnx", classes=10, size=28)
    normalised = ["--mean", "0.286", "--std", "0.353"]
    test = KillTest(tmp_path / "work", seed=1, model=[model, *normalised], name="tiny")
    counts = test.run(kills=1)
    assert counts.kills == 1 and not counts.faults
