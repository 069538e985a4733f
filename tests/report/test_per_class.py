"""Accuracy by class."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_scnet.core.packing import pack_classes
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.report.per_class import per_class
from edge_scnet.report.store import load_report
from tests.helpers.reports import IMAGES, report
from tests.helpers.tool import Built


def test_classes_by_hand() -> None:
    """Class 2: FP32 knows both images, INT8 loses one. Class 0: INT8 wins one. Class 1 has no
    image.
    """
    made = report(classes=("zero", "one"))
    truth, was, now = [0, 0, 2, 2], [1, 0, 2, 2], [0, 0, 2, 1]
    assert made.evaluation is not None
    rows = per_class(
        replace(
            made,
            evaluation=replace(made.evaluation, images=4, truth=pack_classes(truth)),
            engines=tuple(
                replace(row, first_classes=pack_classes(c))
                for row, c in zip(made.engines, (was, now), strict=True)
            ),
        )
    )
    assert [
        (row.name, row.images, row.reference_percent, row.percent, row.lost, row.won)
        for row in rows
    ] == [
        ("class 2", 2, 100.0, 50.0, 1, 0),
        ("zero", 2, 50.0, 100.0, 0, 1),
    ]
    assert sum(row.images for row in per_class(made)) == IMAGES
    assert per_class(report(labelled=False)) == ()


def test_a_build_has_all_of_it(built: Built) -> None:
    made = load_report(built.folder / "report.json")
    assert made.complete and made.load is not None and made.seconds == 0.2
    assert made.flips is not None and made.flips.count == 600 - made.engines[2].accuracy.agreeing
    assert made.classes == FASHION_MNIST.classes and len(per_class(made)) == 10
    for row in made.engines:
        assert row.settings["hint"] == "LATENCY" and int(row.settings["threads"]) >= 1
        assert row.end_to_end is not None and row.outputs[0].name == "logits"
        assert row.accuracy is not None and row.accuracy.labels is not None
        assert row.accuracy.labels.ece_percent is not None
        assert row.latency is not None and sum(row.latency.blocks) == row.latency.count
    int8 = made.engines[2]
    assert int8.accuracy is not None and int8.outputs[0].sqnr_db == pytest.approx(
        int8.accuracy.sqnr_db, abs=1e-6
    )
    assert int8.outputs[0].cosine is not None and 0.99 < int8.outputs[0].cosine <= 1
