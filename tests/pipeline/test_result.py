"""What a build writes beside its engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_scnet.pipeline import result
from tests.helpers.reports import report
from tests.helpers.tool import Built


def test_a_build_writes_the_page(built: Built) -> None:
    assert (built.folder / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("missing", ["matplotlib", "jinja2"])
def test_a_place_without_the_page_s_packages_writes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.html").is_file()
    monkeypatch.setattr(result, "installed", lambda module: module != missing)
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.json").is_file() and not (tmp_path / "report.html").exists()
