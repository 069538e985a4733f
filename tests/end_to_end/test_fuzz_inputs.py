"""2,000 damaged and hostile files of all kinds that the tool reads break no rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.fuzz_good import Good
from tests.end_to_end.fuzz_inputs import KINDS, fuzz


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    return Good(tmp_path_factory.mktemp("fuzz") / "good")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_damaged_and_hostile_files_break_no_rule(
    part: int, good: Good, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In four parts, which processes share; more by hand: python -m tests.end_to_end.fuzz_inputs"""
    if not part:
        monkeypatch.undo()  # one part draws the pages' plots
    result = fuzz(tmp_path, cases=500, seed=part, good=good)
    assert not result.broken
    assert set(result.cases) == set(KINDS) and result.cases.total() == 500
    # files that are whole enough are read: not everything is refused
    assert result.codes[0] > 10
