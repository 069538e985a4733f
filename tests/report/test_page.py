"""The page: self-contained, escaped, with what a report holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.core.packing import pack_classes
from edge_scnet.machine.load import MachineLoad
from edge_scnet.report import markdown, page
from edge_scnet.report.page import render
from edge_scnet.report.run_report import Flip, Flips, LayerTime, Said, WorstSample
from edge_scnet.report.store import load_report, save_report
from edge_scnet.stats.timing import latency_stats
from tests.helpers.data import DATA
from tests.helpers.page import Page, finding
from tests.helpers.reports import full_report, report
from tests.helpers.tool import Built, Run


def test_names_with_markup_are_shown_as_they_are(tmp_path: Path, invoke: Run) -> None:
    made = full_report()
    save_report(
        replace(made, engines=tuple(replace(row, name=f"{row.name}[/x]") for row in made.engines)),
        tmp_path / "r.json",
    )
    outcome = invoke("report", tmp_path / "r.json")
    assert outcome.code == 0 and "int8[/x]" in outcome.stdout


def test_the_reference_of_a_board_is_called_by_its_name() -> None:
    made = full_report()
    text = page.render(
        replace(made, engines=(replace(made.engines[0], name="fp16"), made.engines[1]))
    )
    assert "FP16 name 1 60 %" in text and '<th scope="col">FP16, %</th>' in text
    assert "FP32" not in text


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """matplotlib takes most of a page's time."""
    monkeypatch.setattr("edge_scnet.report.plots.svg_of", lambda title, draw: "<svg></svg>")


NASTY = '"><script>alert(1)</script>&$x$'
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def test_a_page_holds_the_report_and_fetches_nothing() -> None:
    made = report(
        verdict="ship INT8: fast and accurate", findings=(finding("1.50x FP32's speed."),)
    )
    text = render(made)
    page = Page(text)
    assert not page.open and not page.fetched
    assert "script" not in page.tags and "svg" in page.tags
    for words in (
        "net for cpu",
        "Ship INT8",
        "Fast and accurate",
        "1.50x",
        "Accuracy against latency",
        "Memory",
        "latency p50",
    ):
        assert words in page.text
    assert 'class="verdict good"' in text
    assert len(text) < 5_000_000
    assert render(made) == text  # the same report, the same page


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
    page = Page(render(made))
    assert "script" not in page.tags and not page.open
    assert page.text.count("<script>alert(1)</script>") >= 5
    table = markdown.markdown(made)
    assert (
        "<script>" not in table
        and len({row.count("|") for row in table.splitlines() if row.startswith("| ")}) == 1
    )


@pytest.mark.usefixtures("no_plots")
def test_the_worst_samples_are_shown_side_by_side() -> None:
    said = tuple(
        Said(by=by, lines=("1 object", NASTY), picture=picture)
        for by, picture in (
            ("fp32", PIXEL),
            ("int8", "http://example.org/x.png"),
            ("truth", 'x" onerror="alert(1)'),
        )
    )
    samples = tuple(
        WorstSample(sample=f"{i}.png", said=said, picture="javascript:alert(1)") for i in range(9)
    )
    made = report(worst=samples)
    text = render(made)
    page = Page(text)
    # at most six samples; only pictures that this package wrote
    assert not page.open and "script" not in page.tags and page.fetched == [PIXEL] * 6
    assert "lost most on" in page.text and "5.png" in page.text and "6.png" not in page.text
    for words in ("FP32 1 object", "INT8 1 object", "truth 1 object", NASTY):
        assert words in page.text
    table = markdown.markdown(made)
    assert "| INT8 lost most on | fp32 | int8 | truth |" in table
    assert "| 0.png | 1 object | 1 object | 1 object |" in table and "6.png" not in table
    assert "lost most on" not in markdown.markdown(report()) + render(report())


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(
    ("verdict", "css"),
    [
        ("do not ship: slow", "bad"),
        ("not proven: few", ""),
        ("accurate in simulation, ...", "good"),
    ],
)
def test_the_verdict_has_its_colour(verdict: str, css: str) -> None:
    assert f'class="verdict {css}"' in render(report(verdict=verdict))


@pytest.mark.slow
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
        assert not Page(render(other)).open
    assert "interrupted" in render(replace(made, complete=False))


@pytest.mark.slow
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
    forged = replace(flip, thumbnail='x" onerror="alert(1)', kind='"><script>')
    elsewhere = replace(flip, thumbnail="http://example.org/x.png")
    made = replace(
        full_report(),
        classes=(NASTY, NASTY, NASTY),
        flips=Flips(count=30, shown=(flip, forged, elsewhere)),
        load=MachineLoad(
            seconds=1.0, cores=2, others_cores=1.0, stolen_percent=0, mhz_low=None, mhz_high=None
        ),
    )
    text = render(made)
    page = Page(text)
    assert not page.open and "script" not in page.tags and page.fetched == [PIXEL]
    for words in (
        "30 images have another first class than FP32's; 3 shown",
        "By class",
        "Other batches and threads",
        "Throughput by batch",
        "FP32 <script>",
        "threads 2",
    ):
        assert words in page.text.replace('"><', "<")
    assert (
        "Other processes kept 1.0 of 2 cores busy" in page.text and "preprocess 25 %" in page.text
    )
    table = markdown.markdown(made)
    assert (
        "- other processes kept 1.0 of 2 cores busy" in table
        and "| 8 | 2 | int8 | 4.000 | 0.500 |" in table
    )
    assert "None: every first class is FP32's" in render(
        replace(made, flips=Flips(count=0, shown=()))
    )


@pytest.mark.usefixtures("no_plots")
def test_many_classes_are_folded_away() -> None:
    made = report()
    assert made.evaluation is not None
    truth = [i % 50 for i in range(2000)]
    rows = tuple(replace(row, first_classes=pack_classes(truth)) for row in made.engines)
    text = render(
        replace(made, engines=rows, evaluation=replace(made.evaluation, truth=pack_classes(truth)))
    )
    assert "The other 30" in text and "class 49" in text


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


def test_the_preprocessing_stands_above_the_figures(no_plots: None) -> None:
    made = full_report()
    assert made.provenance is not None
    facts = {"mean": [0.5], "std": [0.25], "resize": 32, "input_shape": [1, 28, 28]}
    text = render(replace(made, provenance=replace(made.provenance, preprocessing=facts)))
    assert "<dt>Input</dt><dd>grey, short side to 32" in text.partition("All facts")[0]
    assert "<dt>Input</dt>" not in render(replace(made, provenance=None))


@pytest.mark.parametrize("name", ["report-schema-1.json", "report-schema-2.json"])
def test_reports_of_earlier_versions_are_pages(name: str, no_plots: None) -> None:
    page = Page(render(load_report(DATA / name)))
    assert not page.open and {"h1", "h2", "main", "dl"} <= page.tags
    assert all(url.startswith("data:image/") for url in page.fetched)


def test_a_page_forbids_requests_and_shows_nothing_as_python_writes_it(no_plots: None) -> None:
    facts = {"features": ["a", "b"], "virtual": True, "packages": {"openvino": "1"}, "none": None}
    made = full_report()
    text = render(replace(made, environment={**made.environment, **facts}))
    assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in text
    body = Page(text.partition("<body>")[2].partition("</body>")[0]).text
    assert "a, b" in body and not re.search(r"\{'|\['|\('|\bNone\b(?!:)|\bTrue\b|\bFalse\b", body)


def test_the_engine_that_is_judged_is_the_first_column(no_plots: None) -> None:
    text = render(report())
    head = text.partition('<table class="engines">')[2].partition("</thead>")[0]
    assert head.index('class="judged">int8') < head.index(">fp32")
    assert '<th scope="row">latency p50, ms</th>' in text


def test_noise_is_one_line_with_the_rest_folded(no_plots: None) -> None:
    noisy = latency_stats([[1_000_000] * 30 + [2_000_000] * 30] * 10)
    text = render(report(int8={"latency": noisy}))
    assert "<summary>Timings are noisy: p90/p50 1.0 to 1.3" in text
    assert "<dt>Noise</dt>" not in render(report())
