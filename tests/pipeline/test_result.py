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


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_report_and_page_are_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[BaseException]
) -> None:
    """The page takes a second to draw: Ctrl-C then leaves both of the run before."""
    result.save_run(report(), tmp_path)
    result.save_run(report(complete=False), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(before) == 3

    def stopped(_: object) -> str:
        raise fault

    monkeypatch.setattr(result, "render", stopped)
    with pytest.raises(fault):
        result.save_run(report(verdict="another"), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    monkeypatch.setattr(result, "render", lambda _: "page")
    result.save_run(report(verdict="another"), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.json", "report.html"}
