"""A fleet's rows, table and page: what each device measured, and what failed on it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.cli import printer
from edge_scnet.machine.board import BoardState
from edge_scnet.report import fleet_page, fleet_table
from edge_scnet.report.fleet import Fleet, FleetDevice, age_words, row_of, summary_words
from tests.helpers.page import Page
from tests.helpers.reports import full_report, report

NOW = "2026-11-24T12:30:00+00:00"
NASTY = '"><script>alert(1)</script>&$x$\x1b[31m'


def device(name: str, folder: str | None = None, **changes: object) -> FleetDevice:
    made = FleetDevice(name=name, host=f"me@{name}", exit_code=0, folder=folder)
    return replace(made, **changes)


def fleet(*rows: object) -> Fleet:
    return Fleet(command="edge-scnet profile --device a,b", created_utc=NOW, rows=rows)


def cells(made: Fleet) -> dict[str, tuple[str, ...]]:
    return {c.title: c.cells for c in fleet_table.columns_of(made, now_utc=NOW)}


def test_a_row_has_the_figures_of_its_report() -> None:
    made = full_report()
    made = replace(
        made,
        verdict="ship INT8: fast and accurate",
        environment={**made.environment, "cpu_model": "Gateway", "cores": 4},
    )
    row = row_of(device("a"), made)
    int8 = made.engines[1]
    assert int8.accuracy is not None and int8.accuracy.labels is not None and int8.latency
    labels = int8.accuracy.labels
    assert row.accuracy is not None
    assert (row.accuracy.value, row.accuracy.loss) == (labels.top1_percent, labels.drop_pp)
    assert (row.p50_ms, row.p50_low_ms) == (int8.latency.p50_ms, int8.latency.p50_low_ms)
    assert row.machine == "Gateway, 4 cores" and row.target == "cpu"
    assert row.verdict == made.verdict and row.memory_bytes == 110 << 20
    shown = cells(fleet(row))
    assert shown["top-1, %"] == (f"{labels.top1_percent:.2f}",)
    assert shown["age"] == ("2 h",) and shown["exit"] == ("0",)


def test_a_device_that_failed_has_a_row_without_figures_and_with_the_reason() -> None:
    lost = device("b", exit_code=8, error="b does not answer", hint="ssh b")
    made = fleet(row_of(device("a"), full_report()), row_of(lost, None))
    assert cells(made)["p50, ms"][1] == cells(made)["top-1, %"][1] == "-"
    assert fleet_table.outcome_words(made.rows[1]) == "failed: b does not answer"
    assert made.exit_code == 8
    assert summary_words(made.rows) == "2 devices: 1 passed, 1 failed"
    text = Page(fleet_page.render(made, folder=Path())).text
    assert "b does not answer" in text and "hint: ssh b" in text


def test_columns_that_no_device_has_are_left_out() -> None:
    failed = row_of(device("a", exit_code=8, error="gone"), None)
    assert list(cells(fleet(failed))) == ["device", "exit"]


def test_devices_that_are_judged_by_unlike_figures_name_them_in_their_cells() -> None:
    made = fleet(row_of(device("a"), report()), row_of(device("b"), report(labelled=False)))
    named = cells(made)["accuracy"]
    assert named[0].startswith("top-1 ") and named[1].startswith("agreement ")
    assert cells(made)["loss"][1] == "-"


def test_a_simulated_accuracy_says_so_and_has_no_times() -> None:
    made = report(int8={"latency": None, "memory": None, "speedup": None})
    row = row_of(device("a"), made)
    assert row.accuracy is not None and row.accuracy.simulated and row.p50_ms is None
    assert cells(fleet(row))["top-1, %"][0].endswith("(simulated)")


def test_the_power_mode_of_a_board_is_told() -> None:
    board = BoardState(
        power_mode="MAXN",
        clocks_pinned=True,
        samples=0,
        rails=(),
        module=None,
        gpu_clock_low_mhz=None,
        gpu_clock_high_mhz=None,
        throttled=None,
        gpu_percent=None,
        temperature_peak_celsius=None,
        temperature_peak_sensor=None,
        ram_delta_bytes=None,
    )
    row = row_of(device("a"), replace(report(), board=board))
    assert row.power == "power mode MAXN, clocks pinned"
    assert "power mode MAXN" in fleet_table.facts_words(row)


@pytest.mark.parametrize(
    ("created", "words"),
    [
        ("2026-11-24T12:29:30+00:00", "now"),
        ("2026-11-24T12:25:00+00:00", "5 min"),
        ("2026-11-23T12:30:00+00:00", "24 h"),
        ("2026-11-12T12:30:00+00:00", "12 d"),
        ("2029-11-24T12:30:00+00:00", "its clock is ahead"),
        ("2026-11-24T12:30:00", "?"),
        ("yesterday", "?"),
    ],
)
def test_the_age_of_a_report(created: str, words: str) -> None:
    assert age_words(created, NOW) == words


def test_the_page_fetches_nothing_and_links_to_the_reports_beside_it(tmp_path: Path) -> None:
    inner = tmp_path / "cpu@a b#1"
    elsewhere = tmp_path.parent / "other"
    made = fleet(
        row_of(device("a", str(inner)), full_report()),
        row_of(device("b", str(elsewhere)), full_report()),
        row_of(device("c", str(inner), exit_code=8, error="gone"), None),
        row_of(device("d", str(inner), exit_code=130), replace(full_report(), complete=False)),
    )
    text = fleet_page.render(made, folder=tmp_path)
    page = Page(text)
    assert page.fetched == ["./cpu%40a%20b%231/report.html"]
    assert not page.open and "script" not in page.tags
    assert re.search(r"default-src 'none'", text)
    assert fleet_page.render(made, folder=tmp_path) == text


def test_names_and_messages_of_devices_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = device(NASTY, exit_code=8, error=NASTY, hint=NASTY)
    made = fleet(row_of(nasty, None), row_of(device("a"), replace(report(), model=NASTY)))
    page = Page(fleet_page.render(made, folder=Path()))
    assert "script" not in page.tags and "<script>alert(1)</script>" in page.text
    assert "\x1b" not in page.text
    printer.show_table(fleet_table.table(made, now_utc=NOW))
    assert "\x1b" not in capsys.readouterr().out


def test_the_table_keeps_the_order_of_the_devices(capsys: pytest.CaptureFixture[str]) -> None:
    made = fleet(*(row_of(device(name), full_report()) for name in ("zeta", "alpha")))
    printer.show_table(fleet_table.table(made, now_utc=NOW))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "device"
    assert [line.split()[0] for line in lines[-2:]] == ["zeta", "alpha"]
