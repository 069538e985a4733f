"""The head of the page: a headline, three figures with their intervals, a sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_scnet.report.findings import Figure, Finding, at_least, at_most, judged
from edge_scnet.report.page_head import Tile, head_of, megabytes, signed
from edge_scnet.report.run_report import RunReport
from edge_scnet.stats.figures import AccuracyStats, Metric, TaskStats
from tests.helpers.reports import OLD, full_report, report

LIMIT = judged(
    "accuracy",
    "top-1 drop",
    Figure(measured=0.0, unit="pp", limit=0.5, bound=at_most(0.5, "pp")),
    "pass",
    "Top-1 is equal.",
)


def tiles(made: RunReport) -> dict[str, Tile]:
    accuracy, speed, size = head_of(made).tiles
    return {"accuracy": accuracy, "speed": speed, "size": size}


def of_metric(metric: Metric, found: Finding) -> Tile:
    made = report(findings=(found,))
    task = TaskStats(task="detection", samples=200, truth="COCO", metrics=(metric,))
    stats = AccuracyStats(
        images=200, agreement_percent=None, agreeing=None, sqnr_db=20.0, labels=None, task=task
    )
    rows = tuple(replace(row, accuracy=stats) for row in made.engines)
    return tiles(replace(made, engines=rows))["accuracy"]


@pytest.mark.parametrize(
    ("verdict", "headline", "css", "sentence"),
    [
        ("ship INT8: 2x. Top-1 is equal.", "Ship INT8", "good", "2x. Top-1 is equal."),
        ("do not ship: lost: all", "Do not ship INT8", "bad", "Lost: all"),
        ("not proven: few images", "Not proven", "", "Few images"),
        ("not proven to be faster: 1x", "Not proven to be faster", "", "1x"),
        ("accurate in simulation, speed not measured: x", None, "good", "X"),
        ("not accurate in simulation, speed not measured: x", None, "bad", "X"),
        ("no INT8 engine was measured", "No INT8 engine was measured", "", ""),
        ("", "Not judged", "", ""),
    ],
)
def test_a_verdict_is_a_headline_and_a_sentence(
    verdict: str, headline: str | None, css: str, sentence: str
) -> None:
    head = head_of(report(verdict=verdict))
    assert headline is None or head.headline == headline
    assert (head.css, head.sentence) == (css, sentence)
    assert (head.sign == "?") == (css == "")


def test_an_interrupted_run_is_never_good() -> None:
    head = head_of(report(verdict="ship INT8: x", complete=False))
    assert head.headline == "Ship INT8 (of an interrupted run)"
    assert (head.css, head.sign) == ("", "?")
    assert head_of(report(verdict="interrupted: x", complete=False)).headline == "Interrupted"


def test_the_figures_have_their_intervals_and_the_limit() -> None:
    found = tiles(report(findings=(LIMIT,)))
    accuracy, speed, size = found["accuracy"], found["speed"], found["size"]
    assert accuracy.value == "0.00 pp" and accuracy.what == "top-1: 90.00 \u2192 90.00 %"
    assert accuracy.notes == ("95 % interval \u22120.19 to +0.19", "limit: at most 0.50 pp")
    assert speed.value == "1.00x" and speed.what == "FP32's speed at batch 1"
    assert speed.notes[-1] == "1.000 \u2192 1.000 ms"
    assert size.value == "1.00 MB" and size.notes[0] == "67 % smaller than FP32's 3.00 MB"
    assert size.notes[1] == "memory 110 \u2192 110 MB"


def test_a_figure_beyond_its_limit_is_marked() -> None:
    failing = replace(LIMIT, verdict="fail")
    assert tiles(report(findings=(failing,)))["accuracy"].css == "fail"
    assert tiles(report(findings=(LIMIT,)))["accuracy"].css == ""


def test_an_older_report_tells_its_limit_without_a_direction() -> None:
    older = replace(LIMIT, bound=None)
    assert tiles(report(findings=(older,)))["accuracy"].notes[-1] == "limit: 0.5 pp"


def test_a_simulated_engine_has_no_speed() -> None:
    made = report(int8={"latency": None, "speedup": None})
    found = tiles(made)
    assert found["speed"].value == "\u2013" and "not measured" in found["speed"].notes[0]
    assert found["accuracy"].notes[-1].endswith("simulated")


def test_the_losses_of_tasks_go_the_way_of_their_figures() -> None:
    found = replace(LIMIT, metric="AP")
    mean_ap = Metric(
        name="AP",
        unit="%",
        value=58.2,
        reference=58.6,
        higher_is_better=True,
        loss=0.4,
        loss_low=-0.1,
        loss_high=0.9,
    )
    tile = of_metric(mean_ap, found)
    assert tile.value == "\u22120.40 pp" and tile.what == "AP: 58.60 \u2192 58.20 %"
    assert tile.notes[0] == "95 % interval \u22120.90 to +0.10"
    error = replace(mean_ap, name="error", unit="px", value=2.5, reference=2.0, loss=0.5)
    tile = of_metric(replace(error, higher_is_better=False), replace(found, metric="error"))
    assert tile.value == "+0.5 px" and tile.notes[0] == "95 % interval \u22120.1 to +0.9"
    near = {"value": 0.998, "loss": 0.002, "loss_low": 0.0015, "loss_high": 0.0025}
    cosine = replace(mean_ap, name="cosine", unit="", reference=None, **near)
    tile = of_metric(
        cosine, replace(found, metric="cosine", bound=at_least(0.99, ""), verdict="pass")
    )
    assert (tile.value, tile.what) == ("0.998", "cosine")
    assert tile.notes == ("95 % interval 0.9975 to 0.9985", "limit: at least 0.99")


def test_without_labels_the_agreement_stands_there() -> None:
    assert tiles(report(labelled=False))["accuracy"].what == "same first class as FP32"


def test_a_part_of_an_output_that_fails_is_the_figure() -> None:
    metric = Metric(
        name="SQNR", unit="dB", value=30.0, reference=None, higher_is_better=True, loss=-30.0
    )
    part = replace(LIMIT, metric="SQNR of a part", measured=8.91, unit="dB", verdict="fail")
    tile = of_metric(metric, part)
    assert (tile.value, tile.what, tile.css) == ("8.91 dB", "SQNR of a part", "fail")


def test_old_and_full_reports_have_a_head() -> None:
    from edge_scnet.report.store import load_report

    for made in (full_report(), load_report(OLD)):
        assert len(head_of(made).tiles) == 3
    assert head_of(report(engines=())).tiles == ()


def test_sizes_and_changes_in_words() -> None:
    assert [megabytes(n) for n in (338, 338_438, 1_085_284, 250_000_000)] == [
        "0.338 kB",
        "0.34 MB",
        "1.09 MB",
        "250 MB",
    ]
    assert [signed(v, ".2f") for v in (-0.0, 0.001, -1.5, 2.0)] == [
        "0.00",
        "0.00",
        "\u22121.50",
        "+2.00",
    ]
