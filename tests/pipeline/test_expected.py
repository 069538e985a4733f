"""FP32's own figure held to what its owner measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_scnet.errors import DataError
from edge_scnet.pipeline.expected import check_expected
from edge_scnet.stats.figures import Metric, TaskStats
from tests.helpers.reports import report


def test_top1_within_its_interval_is_the_owners() -> None:
    rows = report().engines
    assert rows[0].accuracy is not None and rows[0].accuracy.labels is not None
    own = rows[0].accuracy.labels.reference_top1_percent
    for expected in (None, own, round(own, 1), own + 1.0, own - 1.0):
        check_expected(rows, expected)
    with pytest.raises(DataError, match=r"FP32's own top-1 is 90 %.* --expect says 94.9") as raised:
        check_expected(rows, 94.9)
    assert "--preprocess" in raised.value.hint


def test_without_labels_there_is_nothing_to_hold_it_to() -> None:
    with pytest.raises(DataError, match="no ground truth"):
        check_expected(report(labelled=False).engines, 90.0)


def test_the_figure_of_another_task() -> None:
    metric = Metric(
        name="mIoU",
        unit="%",
        value=71.2,
        reference=71.2,
        higher_is_better=True,
        loss=0.0,
        value_low=69.0,
        value_high=73.0,
    )
    task = TaskStats(task="segmentation", samples=2000, truth="masks", metrics=(metric,))
    rows = report().engines
    assert rows[0].accuracy is not None
    rows = (replace(rows[0], accuracy=replace(rows[0].accuracy, labels=None, task=task)),)
    check_expected(rows, 72.4)
    with pytest.raises(DataError, match=r"FP32's own mIoU is 71\.2 %"):
        check_expected(rows, 74.0)
    unlabelled = replace(rows[0].accuracy, task=replace(task, truth=None))
    with pytest.raises(DataError, match="no ground truth"):
        check_expected((replace(rows[0], accuracy=unlabelled),), 71.2)
