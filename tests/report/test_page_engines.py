"""The table of engines on the page."""

from __future__ import annotations

from dataclasses import replace

from edge_scnet.report.page_engines import Cell, Engines, engines_of
from edge_scnet.stats.figures import AccuracyStats, Metric, TaskStats
from tests.helpers.reports import full_report, report


def cells(made: Engines) -> dict[str, tuple[Cell, ...]]:
    return {row.title: row.cells for _, rows in made.groups for row in rows}


def test_the_judged_engine_comes_first_and_the_others_stay_in_order() -> None:
    made = report()
    fp32, int8 = made.engines
    default = replace(fp32, name="default", role="default")
    found = engines_of(replace(made, engines=(fp32, default, int8)))
    assert [(c.name, c.judged) for c in found.columns] == [
        ("int8", True),
        ("fp32", False),
        ("default", False),
    ]
    assert [cell.text for cell in cells(found)["files, MB"]] == ["1.00", "3.00", "3.00"]
    assert "default" in dict(found.legend) and "default" not in dict(engines_of(made).legend)


def test_intervals_stand_below_their_figures() -> None:
    found = cells(engines_of(full_report()))
    assert found["speed"][0] == Cell(text="1.50x", small="1.48 to 1.52")
    assert found["throughput, x"][0] == Cell(text="1.50x", small="1.40 to 1.60")
    assert found["drop, pp"][0] == Cell(text="+0.00", small="\u22120.19 to +0.19")
    assert found["lost, won"][0] == Cell(text="0, 0", small="p 1.00")
    assert not any("95 %" in title for title in found)


def test_rows_and_words_that_nothing_has_are_not_there() -> None:
    found = engines_of(report(labelled=False))
    titles = set(cells(found))
    assert not titles & {"top-1, %", "drop, pp", "lost, won", "calibration error, pp"}
    assert "agreement, %" in titles
    words = dict(found.legend)
    assert {"SQNR", "agreement"} <= set(words) and not {"drop", "lost, won"} & set(words)
    made = report()
    bare = tuple(replace(row, convolutions={}) for row in made.engines)
    groups = dict(engines_of(replace(made, engines=bare)).groups)
    assert "Executed in" not in groups and "Time" in groups


def test_the_legend_names_the_reference() -> None:
    made = report()
    board = replace(made, engines=(replace(made.engines[0], name="fp16"), made.engines[1]))
    assert "FP16 has right" in dict(engines_of(board).legend)["lost, won"]


def test_the_interval_of_a_loss_is_not_taken_for_that_of_the_figure() -> None:
    made = report()
    metric = Metric(
        name="mIoU to FP32",
        unit="%",
        value=84.0,
        reference=None,
        higher_is_better=True,
        loss=16.0,
        loss_low=9.0,
        loss_high=24.5,
    )
    task = TaskStats(task="segmentation", samples=59, truth=None, metrics=(metric,))
    stats = AccuracyStats(
        images=59, agreement_percent=None, agreeing=None, sqnr_db=9.0, labels=None, task=task
    )
    rows = tuple(replace(row, accuracy=stats) for row in made.engines)
    found = cells(engines_of(replace(made, engines=rows)))
    assert found["mIoU to FP32, %"][0] == Cell(text="84.00", small="loss +9.00 to +24.50")


def test_a_board_without_int8_is_told_nothing_of_it() -> None:
    made = report()
    fp32, int8 = made.engines
    half = replace(int8, name="fp16", role="fp16", convolutions={"f16": 46})
    found = engines_of(replace(made, engines=(fp32, half)))
    assert found.columns[0].name == "fp16" and "INT8" not in str(found)
