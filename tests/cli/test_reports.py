"""`report` and `compare`: what they show of report.json, without engines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_scnet.core.events import Silent
from edge_scnet.core.folder_lock import LOCK, locked
from edge_scnet.report.page import render
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import save_report, to_json
from tests.helpers import folders
from tests.helpers.reports import report
from tests.helpers.tool import Run


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str, RunReport], Path]:
    """Saves a report under a name."""

    def save(name: str, made: RunReport) -> Path:
        path = tmp_path / f"{name}.json"
        save_report(made, path)
        return path

    return save


@pytest.mark.slow
def test_report_needs_the_json_alone(
    invoke: Run, saved: Callable[[str, RunReport], Path], tmp_path: Path
) -> None:
    made = report(verdict="ship INT8: yes")
    path = saved("r", made)
    page, table = tmp_path / "r.html", tmp_path / "r.md"
    outcome = invoke("report", path, "--html", page, "--markdown", table)
    assert outcome.code == 0, outcome.stderr
    assert page.read_text() == render(made)
    assert "| latency p50, ms |" in table.read_text()
    shown = invoke("report", path)
    assert "latency p50, ms" in shown.stdout and "ship INT8: yes" in shown.stdout
    assert invoke("report", path, "--json").stdout == to_json(made)
    assert invoke("report", tmp_path / "none.json").code == 6
    assert invoke("report", path, "--html", tmp_path / "no" / "r.html").code == 9


def test_report_prints_the_schema(invoke: Run) -> None:
    outcome = invoke("report", "--schema")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert json.loads(outcome.stdout)["title"]
    assert invoke("report").code == 2


def test_compare_says_no_difference_of_equal_reports(
    invoke: Run, saved: Callable[[str, RunReport], Path]
) -> None:
    a, b, c = (saved(name, report()) for name in "abc")
    outcome = invoke("compare", a, b, c)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.count(f"A {a}\n") == 2
    assert f"B {b}\n" in outcome.stdout and f"B {c}\n" in outcome.stdout
    assert "no difference" in outcome.stdout
    rows = json.loads(invoke("compare", a, b, c, "--json").stdout)["comparisons"]
    assert [(row["a"], row["b"]) for row in rows] == [(str(a), str(b)), (str(a), str(c))]
    assert all(row["figures"] and row["changed"] == [] for row in rows)


def test_compare_refuses_what_it_cannot_compare(
    invoke: Run, saved: Callable[[str, RunReport], Path]
) -> None:
    whole, partial = saved("whole", report()), saved("partial", report(complete=False))
    empty = saved("empty", report(engines=()))
    assert invoke("compare", whole).code == 2
    outcome = invoke("compare", whole, partial)
    assert outcome.code == 6 and f"{partial} is of an interrupted run" in outcome.stderr
    outcome = invoke("compare", whole, empty)
    assert outcome.code == 6 and "no INT8 engine with figures in common" in outcome.stderr


CLOSED_PIPE = (
    "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from edge_scnet.cli import main;"
    " main()"
)


@pytest.mark.slow
def test_a_reader_that_left_is_no_error(
    cli_process: Run, saved: Callable[[str, RunReport], Path]
) -> None:
    path = saved("r", report())
    for command in (("report", path), ("compare", path, path)):
        outcome = cli_process(*command, code=CLOSED_PIPE)
        assert (outcome.code, outcome.stderr) == (0, "")


def test_output_goes_through_links_and_into_devices_and_never_replaces_them(
    invoke: Run, saved: Callable[[str, RunReport], Path], tmp_path: Path
) -> None:
    path = saved("r", report())
    real, link, device = tmp_path / "real", tmp_path / "link", tmp_path / "device"
    real.write_text("old")
    link.symlink_to(real)
    device.symlink_to("/dev/null")
    for place in (link, device):
        assert invoke("report", path, "--markdown", place).code == 0
        assert place.is_symlink()
    assert real.read_text().startswith("|") or "| latency p50, ms |" in real.read_text()
    full = invoke("report", path, "--markdown", "/dev/full")
    assert full.code == 9 and "cannot write /dev/full" in full.stderr


def test_in_a_build_folder_output_through_a_link_is_refused(
    invoke: Run, saved: Callable[[str, RunReport], Path], tmp_path: Path
) -> None:
    path, victim, build = saved("r", report()), tmp_path / "victim", tmp_path / "build"
    victim.write_text("mine")
    build.mkdir()
    (build / "manifest.json").write_text("{}")
    (build / "page.md").symlink_to(victim)
    refused = invoke("report", path, "--markdown", build / "page.md")
    assert refused.code == 9 and "page.md is a link" in refused.stderr and refused.hint
    assert victim.read_text() == "mine"


def test_no_page_is_written_where_another_run_writes_its_own(invoke: Run, tmp_path: Path) -> None:
    folder = folders.float_build(tmp_path / "build", folders.identity())
    save_report(report(), folder / "report.json")
    with locked(folder, command="edge-scnet build net", wait=False, events=Silent()):
        outcome = invoke("report", folder, "--html", folder / "report.html")
        assert outcome.code == 9 and "in use by edge-scnet build net" in outcome.stderr
        assert "--wait" not in outcome.hint and not (folder / "report.html").exists()
        assert invoke("report", folder, "--markdown", tmp_path / "table.md").code == 0
    assert invoke("report", folder, "--markdown", folder / "table.md").code == 0
    assert not (folder / LOCK).exists()
