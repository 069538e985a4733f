"""`report`: a page from the JSON alone."""

from __future__ import annotations

from pathlib import Path

from edge_scnet.report.page import render
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report
from tests.helpers.reports import report
from tests.helpers.tool import Run


def test_the_command_needs_the_json_alone(invoke: Run, tmp_path: Path) -> None:
    made: RunReport = report(verdict="ship INT8: yes")
    save_report(made, tmp_path / "r.json")
    outcome = invoke(
        "report",
        tmp_path / "r.json",
        "--html",
        tmp_path / "r.html",
        "--markdown",
        tmp_path / "r.md",
    )
    assert outcome.code == 0, outcome.stderr
    assert (tmp_path / "r.html").read_text() == render(made)
    assert "| latency p50, ms |" in (tmp_path / "r.md").read_text()
    shown = invoke("report", tmp_path / "r.json")
    assert "latency p50, ms" in shown.stdout and "ship INT8: yes" in shown.stdout
    assert invoke("report", tmp_path / "none.json").code == 6
    assert invoke("report", tmp_path / "r.json", "--html", tmp_path / "no" / "r.html").code == 9
