"""2,000 damaged and hostile files of all kinds that the tool reads break no rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.fuzz_inputs import KINDS, fuzz


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damaged_and_hostile_files_break_no_rule(part: int, tmp_path: Path) -> None:
    """In four parts, which processes share; more by hand: python -m tests.end_to_end.fuzz_inputs"""
    result = fuzz(tmp_path / "fuzz", cases=500, seed=part)
    assert not result.broken
    assert set(result.cases) == set(KINDS) and result.cases.total() == 500
    # files that are whole enough are read: not everything is refused
    assert result.codes[0] > 10
