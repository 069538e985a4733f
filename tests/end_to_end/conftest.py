"""Fixtures of the tests that run the tool as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.refusals import check_refusal, hidden
from tests.helpers.tool import Outcome, Run


@pytest.fixture
def refused(invoke: Run, tmp_path: Path) -> Iterator[Callable[..., Outcome]]:
    """`build` with `--out`, checked for its exit code, its words, its hint, and that nothing was
    built.
    """
    out = tmp_path / "never"

    def run(code: int, words: tuple[str, ...], *arguments: object, hint: bool = True) -> Outcome:
        outcome = invoke("build", *arguments, "--out", out)
        check_refusal(outcome, code, *words, hint=hint)
        return outcome

    yield run
    assert not hidden(tmp_path)
    assert not [path for path in out.rglob("*") if path.is_file()]
