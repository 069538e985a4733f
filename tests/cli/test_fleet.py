"""What is shown of a fleet at its end, also where its page cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from edge_scnet.cli.fleet import end_fleet
from edge_scnet.errors import StorageError
from edge_scnet.report.fleet import FleetDevice, row_of
from tests.helpers.reports import full_report


def rows(out: Path) -> list:
    folder = out / "@a" / "net" / "cpu"
    folder.mkdir(parents=True)
    device = FleetDevice(name="a", host="me@a", exit_code=13, folder=str(folder))
    return [row_of(device, full_report())]


def test_the_page_lies_beside_the_folders_of_the_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as ended:
        end_fleet(rows(tmp_path), as_json=False)
    assert ended.value.exit_code == 13
    assert f"page: {tmp_path}/fleet.html" in capsys.readouterr().out
    assert "./%40a/net/cpu/report.html" in (tmp_path / "fleet.html").read_text()


def test_a_page_that_cannot_be_written_takes_no_result_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "fleet.html").mkdir()
    with pytest.raises(StorageError, match=r"fleet\.html"):
        end_fleet(rows(tmp_path), as_json=False)
    shown = capsys.readouterr().out
    assert "1 device: 1 did not pass" in shown and "page:" not in shown
