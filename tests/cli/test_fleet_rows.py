"""What a device of a fleet came to, by its exit code and by what came back from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand

from edge_scnet.cli.device_asked import Asked
from edge_scnet.cli.fleet_rows import checks, reports
from edge_scnet.devices.checks import DeviceFacts
from edge_scnet.devices.job import Done, Settings
from edge_scnet.pipeline.fleet import Member
from edge_scnet.report.store import save_report
from tests.helpers.reports import full_report

MEMBER = Member(name="one", host="me@one", machine="one:22")


def asked(command: str, **values: object) -> Asked:
    context = typer.Context(TyperCommand(command), info_name=command)
    return Asked(context=context, values=values, wheel=None, settings=Settings(), device="one")


def ended(exit_code: int, *made: Path) -> Done:
    facts = DeviceFacts(workdir="/w", clock_ahead_s=0, free_bytes=1 << 30, machine="aarch64")
    return Done(
        run="run",
        exit_code=exit_code,
        files=made,
        made=made,
        facts=facts,
        sent_bytes=0,
        received_bytes=0,
    )


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """The report of an earlier run, in the folder of the device."""
    folder = tmp_path / "build" / "@one" / "net" / "cpu"
    folder.mkdir(parents=True)
    save_report(full_report(), folder / "report.json")
    return folder


@pytest.mark.parametrize("command", ["build", "profile"])
@pytest.mark.parametrize("code", [0, 11])
def test_a_report_of_an_earlier_run_is_not_shown_as_what_came_back(
    command: str, code: int, earlier: Path
) -> None:
    out = earlier.parents[1]
    (row,) = reports(MEMBER, asked(command, out=out, paths=[earlier]), ended(code), b"", ())
    assert row.device.exit_code == 8 and row.p50_ms is None
    assert "no report came back" in (row.device.error or "")
    made = ended(code, earlier / "report.json", earlier / "engine.xml")
    (row,) = reports(MEMBER, asked(command, out=out, paths=[earlier]), made, b"", ())
    assert row.device.exit_code == code and row.device.error is None and row.p50_ms is not None


def test_an_interrupt_before_anything_was_measured_is_told_as_one(earlier: Path) -> None:
    (row,) = reports(MEMBER, asked("build", out=earlier.parents[1]), ended(130), b"", ())
    assert row.device.exit_code == 130 and "interrupted before" in (row.device.error or "")


def checked(*codes: int, report: Path) -> bytes:
    """What `check --json` prints of reports that it judged."""
    rows = [
        {
            "report": str(report),
            "baseline": "b.json",
            "model": "net",
            "target": "cpu",
            "exit_code": code,
            "headline": "as the baseline",
            "error": None,
            "hint": None,
            "allowed": [],
            "findings": [],
            "advice": [],
            "explanation": None,
        }
        for code in codes
    ]
    return json.dumps({"kind": "check", "schema": 1, "reports": rows}).encode()


@pytest.mark.parametrize(
    ("codes", "code", "shown"),
    [
        ((0, 11), 11, [0, 11]),
        ((), 0, [0]),
        # killed, or the disk full, behind what it printed
        ((0,), 9, [9]),
        ((0, 11), 137, [137]),
    ],
)
def test_the_exit_code_of_a_check_counts_beside_those_of_its_reports(
    codes: Sequence[int], code: int, shown: Sequence[int], earlier: Path
) -> None:
    printed = checked(*codes, report=earlier / "report.json")
    told = ["error: the disk of the device is full", "hint: free space there: df -h"]
    rows = checks(MEMBER, asked("check"), ended(code), printed, told)
    assert [row.device.exit_code for row in rows] == list(shown)
    if list(codes) != list(shown):
        assert rows[0].device.error == "the disk of the device is full"
        assert rows[0].device.hint == "free space there: df -h"
