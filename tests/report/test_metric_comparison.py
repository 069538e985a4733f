"""Figures of engines timed together, against the first one's."""

from __future__ import annotations

import numpy as np

from edge_scnet.report.metric_comparison import to_first
from edge_scnet.stats.accuracy import accuracy_stats
from edge_scnet.stats.figures import AccuracyStats, Metric, TaskStats


def _of(*metrics: Metric) -> AccuracyStats:
    stats = TaskStats(task="segmentation", samples=100, truth="masks", metrics=metrics)
    return AccuracyStats(
        images=100, agreement_percent=None, agreeing=None, sqnr_db=20.0, labels=None, task=stats
    )


def _metric(**changes: object) -> Metric:
    figures = {
        "name": "mIoU",
        "unit": "%",
        "value": 70.0,
        "reference": 80.0,
        "higher_is_better": True,
        "loss": 10.0,
        "loss_low": 9.0,
        "loss_high": 11.5,
        "method": "paired bootstrap",
    }
    return Metric(**{**figures, **changes})


def test_the_difference_has_its_interval_and_an_answer() -> None:
    (found,) = to_first(_of(_metric()), "C")
    assert (found.figure, found.a, found.b, found.better) == ("mIoU", 80.0, 70.0, "A")
    assert found.message == (
        "C's mIoU to A's: -10 pp (-11.5 to -9 pp with 95 % confidence; paired bootstrap)."
    )
    error = _metric(name="mean error", unit="px", higher_is_better=False, value=90.0, loss=10.0)
    (found,) = to_first(_of(error), "B")
    assert found.better == "A" and "+10 px (+9 to +11.5 px" in found.message
    (found,) = to_first(_of(_metric(loss_low=-1.0)), "B")
    assert found.better == "same"


def test_a_figure_that_is_a_comparison_itself_names_the_first() -> None:
    to_reference = _metric(name="mIoU to FP32", value=90.0, reference=None)
    (found,) = to_first(_of(to_reference, _metric(name="SQNR", unit="dB", reference=None)), "B")
    assert found.figure == "mIoU to A" and found.better == "unknown"
    assert found.message == (
        "B's mIoU to A: 90 % (88.5 to 91 % with 95 % confidence; paired bootstrap)."
    )


def test_classes_are_paired_as_now() -> None:
    labels = np.arange(100) % 4
    reference = np.eye(4)[labels]
    own = reference.copy()
    own[:10] = np.roll(own[:10], 1, axis=1)
    top1, agreement = to_first(accuracy_stats(own, reference, labels), "B")
    assert top1.better == "A" and "10 lost, 0 won of 100" in top1.message
    assert agreement.figure == "agreement with A" and agreement.b == 90.0
