"""Verdicts on tasks: the first figure with ground truth, all of them and every part without."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_scnet.config.target import Gates
from edge_scnet.report.findings import Finding
from edge_scnet.report.verdict import judge_accuracy, verdict
from edge_scnet.stats.figures import AccuracyStats, Metric, SliceStats, TaskStats


def _metric(loss: float, half: float = 0.1, **changes: Any) -> Metric:
    metric = Metric(
        name="mIoU",
        unit="%",
        value=80.0 - loss,
        reference=80.0,
        higher_is_better=True,
        loss=loss,
        loss_low=loss - half,
        loss_high=loss + half,
        loss_lower95=loss - half,
        loss_upper95=loss + half,
    )
    return replace(metric, **changes)


def _finding(*metrics: Metric, gates: Gates | None = None, **changes: Any) -> Finding:
    task = TaskStats(task="t", samples=200, truth="masks", metrics=metrics)
    stats = AccuracyStats(
        images=200,
        agreement_percent=None,
        agreeing=None,
        sqnr_db=20.0,
        labels=None,
        task=replace(task, **changes),
    )
    return judge_accuracy(stats, gates or Gates())


@pytest.mark.parametrize(
    ("loss", "half", "found", "words"),
    [
        (0.2, 0.1, "pass", "fell by 0.20 pp on 200 samples (80.00 % to 79.80 %); the loss is at"),
        (-0.2, 0.1, "pass", "rose by 0.20 pp"),
        (0.0, 0.1, "pass", "MIoU is equal"),
        (0.4, 0.3, "inconclusive", "(it may be 0.10 to 0.70 pp): use about 1,800."),
        (1.0, 0.3, "fail", "at least 0.70 pp with 95 % confidence, beyond the limit of 0.5 pp"),
    ],
)
def test_shares_are_held_to_the_drop(loss: float, half: float, found: str, words: str) -> None:
    finding = _finding(_metric(loss, half))
    assert finding.verdict == found
    assert words.replace("MIoU", "mIoU") in finding.message
    assert (finding.measured, finding.limit, finding.unit) == (loss, 0.5, "pp")


def test_errors_are_held_to_their_rise_in_percent_of_fp32s() -> None:
    error = {"name": "mean error", "unit": "px", "higher_is_better": False, "reference": 4.0}
    for loss, found in ((0.05, "pass"), (0.2, "inconclusive"), (0.5, "fail")):
        finding = _finding(_metric(loss, **error, value=4.0 + loss))
        assert finding.verdict == found, finding.message
        assert finding.measured == pytest.approx(25 * loss) and finding.unit == "%"
    assert "rose by 12.50 %" in finding.message
    # in % an error is no share: it may rise by 5 % of itself, not by 0.5 pp
    percent = {**error, "unit": "%"}
    assert _finding(_metric(0.05, 0.01, **percent)).verdict == "pass"
    assert _finding(_metric(0.4, 0.01, **percent)).verdict == "fail"
    nought = _finding(_metric(0.1, **{**error, "reference": 0.0}))
    assert nought.verdict == "inconclusive" and "no change in percent" in nought.message


@pytest.mark.parametrize(
    ("metric", "found"),
    [
        ({"name": "mIoU to FP32", "value": 97.0, "loss": 3.0}, "pass"),
        ({"name": "mIoU to FP32", "value": 93.0, "loss": 7.0}, "fail"),
        ({"name": "box IoU to FP32", "value": 96.6, "loss": 3.4}, "pass"),
        ({"name": "pixel agreement", "value": 98.5, "loss": 1.5}, "fail"),
        ({"name": "cosine", "unit": "", "value": 0.999, "loss": 0.001}, "pass"),
        ({"name": "cosine", "unit": "", "value": 0.97, "loss": 0.03}, "fail"),
        ({"name": "error to FP32", "higher_is_better": False, "value": 2.0, "loss": 2.0}, "pass"),
        ({"name": "error to FP32", "higher_is_better": False, "value": 7.0, "loss": 7.0}, "fail"),
        ({"name": "nearest neighbour, same", "value": 50.0, "loss": 50.0}, "inconclusive"),
        ({"name": "SQNR", "unit": "dB", "value": 30.0, "loss": -30.0}, "inconclusive"),
    ],
)
def test_without_truth_each_distance_from_fp32_has_a_limit(metric: Any, found: str) -> None:
    half = 0.0005 if metric["name"] == "cosine" else 0.1
    made = _metric(half=half, reference=None, **metric)
    assert _finding(made, truth=None).verdict == found


def test_without_truth_the_worst_figure_decides_and_with_it_the_first() -> None:
    good = _metric(3.0, name="mIoU to FP32", reference=None)
    bad = _metric(5.0, name="pixel agreement", reference=None)
    assert _finding(good, bad, truth=None).metric == "pixel agreement"
    assert _finding(_metric(0.1), bad).verdict == "pass"


def test_the_limit_of_the_sqnr() -> None:
    metric = _metric(-30.0, 1.0, name="SQNR", unit="dB", value=30.0, reference=None)
    for least, found in ((25.0, "pass"), (30.0, "inconclusive"), (35.0, "fail")):
        finding = _finding(metric, truth=None, gates=Gates(min_sqnr_db=least))
        assert finding.verdict == found
        assert (finding.measured, finding.limit) == (30.0, least)
    assert "at most 31.0 dB" in finding.message


@pytest.mark.parametrize(
    ("sqnr_db", "highest", "found"),
    [
        (None, None, "pass"),
        (15.0, None, "pass"),
        (9.0, None, "fail"),
        (9.0, 0.9, "fail"),
        (9.0, 0.1, "inconclusive"),
        (0.0, 0.1, "fail"),
    ],
)
def test_a_part_below_the_limit_fails_whatever_the_whole_is(
    sqnr_db: float | None, highest: float | None, found: str
) -> None:
    part = SliceStats(output="y", part="classes", sqnr_db=sqnr_db, cosine=0.9, highest=highest)
    assert _finding(_metric(0.1), slices=(part,)).verdict == found


def test_few_samples_and_doubts_never_ship() -> None:
    few = _metric(0.0, loss_lower95=None, loss_upper95=None)
    assert _finding(few).verdict == "inconclusive"
    doubted = _finding(_metric(0.0), doubts=("FP32 is at chance",))
    assert doubted.verdict == "inconclusive" and doubted.exit_code == 13
    assert doubted.message.startswith("FP32 is at chance. ")
    asked = _finding(_metric(0.0), doubts=("are the classes the network's?",))
    assert asked.message.startswith("are the classes the network's? ") and "?." not in asked.message
    assert not verdict([doubted]).startswith("accurate")
    failed = _finding(_metric(9.0), doubts=("FP32 is at chance",))
    assert failed.verdict == "fail"


@pytest.mark.parametrize("unit", ["%", ""])
def test_of_a_figure_that_fp32_does_not_have_nothing_can_be_lost(unit: str) -> None:
    none = _metric(0.0, value=0.0, reference=0.0, unit=unit)
    finding = _finding(none)
    assert finding.verdict == "inconclusive" and "FP32's own mIoU is 0" in finding.message
    # an error of nought is perfect
    assert "nothing of it" not in _finding(replace(none, higher_is_better=False)).message
