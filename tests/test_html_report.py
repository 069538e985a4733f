"""The page: self-contained, escaped, with what a report holds; and the commands that write it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edge_scnet.core.packing import pack_classes
from edge_scnet.machine.load import MachineLoad
from edge_scnet.pipeline import result
from edge_scnet.report import markdown
from edge_scnet.report import page as html_report
from edge_scnet.report.findings import Finding
from edge_scnet.report.run_report import Flip, Flips, LayerTime, RunReport
from edge_scnet.report.store import save_report
from tests.helpers.reports import report
from tests.helpers.tool import Built, Outcome
from tests.test_report import full_report

Run = Callable[..., Outcome]
NASTY = '"><script>alert(1)</script>&$x$'
PIXEL = "data:image/png;base64,iVBORw0KGgo="
VOID = {"meta", "br", "img", "path", "use", "rect", "line", "circle", "stop"}


class Page(HTMLParser):
    """Tags that are opened and not closed, scripts, and what would be fetched."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.fetched += [
            str(v)
            for k, v in attrs
            if k in ("src", "href", "xlink:href") and v and not v.startswith("#")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def finding(message: str) -> Finding:
    return Finding(
        metric="speed",
        measured=1.0,
        limit=None,
        unit="x",
        verdict="pass",
        message=message,
        exit_code=0,
    )


def test_a_page_holds_the_report_and_fetches_nothing() -> None:
    made = report(
        verdict="ship INT8: fast and accurate", findings=(finding("1.50x FP32's speed."),)
    )
    text = html_report.render(made)
    page = Page(text)
    assert not page.open and not page.fetched
    assert "script" not in page.tags and "svg" in page.tags
    for words in (
        "net for cpu",
        "ship INT8: fast and accurate",
        "1.50x",
        "Accuracy against latency",
        "Memory",
        "latency p50",
    ):
        assert words in page.text
    assert 'class="verdict good"' in text
    assert len(text) < 5_000_000
    assert html_report.render(made) == text  # the same report, the same page


def test_names_and_messages_are_text_and_never_markup() -> None:
    made = report(
        model=NASTY,
        verdict=NASTY,
        findings=(finding(NASTY),),
        command=NASTY,
        environment={**report().environment, "packages": {NASTY: "1"}, "cpu_model": NASTY},
        int8={
            "layer_times": (
                LayerTime(name="a", kind="b", precision="i8", modules=(NASTY,), median_ms=1.0),
            )
        },
    )
    page = Page(html_report.render(made))
    assert "script" not in page.tags and not page.open
    assert page.text.count("<script>alert(1)</script>") >= 5
    table = markdown.markdown(made)
    assert (
        "<script>" not in table
        and len({row.count("|") for row in table.splitlines() if row.startswith("| ")}) == 1
    )


@pytest.mark.parametrize(
    ("verdict", "css"),
    [
        ("do not ship: slow", "bad"),
        ("not proven: few", ""),
        ("accurate in simulation, ...", "good"),
    ],
)
def test_the_verdict_has_its_colour(verdict: str, css: str) -> None:
    assert f'class="verdict {css}"' in html_report.render(report(verdict=verdict))


def test_reports_without_times_labels_or_evaluation_are_pages_too() -> None:
    made = report()
    bare = [
        replace(row, latency=None, speedup=None, memory=None, throughput_per_second=None)
        for row in made.engines
    ]
    for other in (
        replace(made, engines=tuple(bare)),
        report(labelled=False),
        replace(
            made, evaluation=None, provenance=None, quantization=None, engines=made.engines[:1]
        ),
        replace(made, complete=False),
    ):
        assert not Page(html_report.render(other)).open
    assert "interrupted" in html_report.render(replace(made, complete=False))


def test_flips_classes_sweeps_and_doubts_are_on_the_page_and_escaped() -> None:
    flip = Flip(
        image=NASTY,
        kind="lost",
        truth=1,
        was=1,
        now=2,
        was_percent=60,
        now_percent=55,
        thumbnail=PIXEL,
    )
    forged = replace(flip, thumbnail='x" onerror="alert(1)', kind='"><script>')  # type: ignore[arg-type]
    elsewhere = replace(flip, thumbnail="http://example.org/x.png")
    made = replace(
        full_report(),
        classes=(NASTY, NASTY, NASTY),
        flips=Flips(count=30, shown=(flip, forged, elsewhere)),
        load=MachineLoad(
            seconds=1.0, cores=2, others_cores=1.0, stolen_percent=0, mhz_low=None, mhz_high=None
        ),
    )
    text = html_report.render(made)
    page = Page(text)
    assert not page.open and "script" not in page.tags and page.fetched == [PIXEL]
    for words in (
        "30, 3 shown",
        "By class",
        "Other batches and threads",
        "Throughput by batch",
        "FP32 <script>",
        "threads 2",
    ):
        assert words in page.text.replace('"><', "<")
    assert (
        "other processes kept 1.0 of 2 cores busy" in page.text and "preprocess 25 %" in page.text
    )
    table = markdown.markdown(made)
    assert (
        "- other processes kept 1.0 of 2 cores busy" in table
        and "| 8 | 2 | int8 | 4.000 | 0.500 |" in table
    )
    assert "None: every first class is FP32's" in html_report.render(
        replace(made, flips=Flips(count=0, shown=()))
    )


def test_many_classes_are_folded_away() -> None:
    made = report()
    assert made.evaluation is not None
    truth = [i % 50 for i in range(2000)]
    rows = tuple(replace(row, first_classes=pack_classes(truth)) for row in made.engines)
    text = html_report.render(
        replace(made, engines=rows, evaluation=replace(made.evaluation, truth=pack_classes(truth)))
    )
    assert "The other 30" in text and "class 49" in text


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
    assert (tmp_path / "r.html").read_text() == html_report.render(made)
    assert "| latency p50, ms |" in (tmp_path / "r.md").read_text()
    shown = invoke("report", tmp_path / "r.json")
    assert "latency p50, ms" in shown.stdout and "ship INT8: yes" in shown.stdout
    assert invoke("report", tmp_path / "none.json").code == 6
    assert invoke("report", tmp_path / "r.json", "--html", tmp_path / "no" / "r.html").code == 9


def test_a_build_writes_the_page_and_a_place_without_matplotlib_does_not(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (built.folder / "report.html").read_text().startswith("<!doctype html>")
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.html").is_file()
    monkeypatch.setattr(result, "installed", lambda module: False)
    result.save_run(report(), tmp_path)
    assert (tmp_path / "report.json").is_file() and not (tmp_path / "report.html").exists()


@pytest.mark.skipif(
    shutil.which("chromium") is None,
    reason="chromium is not installed; other tests read the page as text",
)
@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_it_without_errors(built: Built, tmp_path: Path, width: int) -> None:
    done = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--enable-logging=stderr",
            f"--window-size={width},1200",
            f"--user-data-dir={tmp_path}",
            f"--screenshot={tmp_path / 'page.png'}",
            f"file://{built.folder / 'report.html'}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert "CONSOLE" not in done.stderr
