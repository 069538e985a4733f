"""Builds that are killed leave nothing behind that is taken for a build."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.kill_builds import small_test


@pytest.mark.slow
def test_a_killed_build_leaves_nothing_half_written_and_the_next_one_ends(tmp_path: Path) -> None:
    """A network that takes seconds to build; the script kills many of the bundled one."""
    test = small_test(tmp_path, seed=1)
    counts = test.run(kills=1)
    assert counts.kills == 1 and not counts.faults
