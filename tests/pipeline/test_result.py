"""What a build writes beside its engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.pipeline import result
from tests.helpers.reports import report
from tests.helpers.tool import Built


def test_a_build_writes_the_page_and_a_place_without_matplotlib_does_not(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (built.folder / "report.html").read_text().startswith("<!doctype html>")
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.html").is_file()
    monkeypatch.setattr(result, "installed", lambda module: False)
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.json").is_file() and not (tmp_path / "report.html").exists()
