"""Measurements judged against what is known of the samples."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.config.target import Gates
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.data.samples import in_memory, open_samples
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline import rows
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.report.verdict import judge_accuracy
from tests.helpers.images import RGB
from tests.helpers.reports import report


def test_class_folders_must_be_as_many_as_the_outputs_where_nobody_said_how_many(
    tmp_path: Path,
) -> None:
    Image = pytest.importorskip("PIL.Image")
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / name / "a.png")
    unknown = replace(FASHION_MNIST, classes=(), num_classes=None)
    samples = open_samples(tmp_path, model=unknown, role="evaluation")
    logits = np.eye(3, 10, dtype=np.float32)
    outputs = Outputs(logits=logits, signal_power=(3.0,), noise_power=(0.0,), finite=True)
    with pytest.raises(
        DataError, match="the evaluation set has 3 classes, the model has 10"
    ) as caught:
        rows.stats_of(outputs, outputs, samples)
    assert "--ignore-labels" in str(caught.value.hint)
    three = replace(outputs, logits=logits[:, :3])
    labelled = rows.stats_of(three, three, samples).labels
    assert labelled is not None and labelled.top1_percent == 100.0


def test_whole_numbers_count_where_there_is_nothing_else(tmp_path: Path) -> None:
    Image = pytest.importorskip("PIL.Image")
    for number in range(2):
        Image.fromarray(np.full((28, 28), number, np.uint8)).save(tmp_path / f"{number}.png")
    samples = open_samples(tmp_path, model=FASHION_MNIST, role="evaluation")
    outputs = Outputs(
        logits=None,
        signal_power=(1000.0, 4.0),
        noise_power=(1.0, 2.0),
        finite=True,
        whole=(False, True),
    )
    assert rows.stats_of(outputs, outputs, samples).sqnr_db == pytest.approx(30)
    alone = replace(outputs, whole=(True, True))
    assert rows.stats_of(alone, alone, samples).sqnr_db == pytest.approx(3.01, abs=0.01)


def test_a_classifier_with_an_output_whose_size_depends_on_the_data_is_not_proven(
    tmp_path: Path,
) -> None:
    Image = pytest.importorskip("PIL.Image")
    for number in range(40):
        Image.fromarray(np.full((28, 28), number, np.uint8)).save(tmp_path / f"{number}.png")
    samples = open_samples(tmp_path, model=FASHION_MNIST, role="evaluation")
    logits = np.eye(10, dtype=np.float32)[np.arange(40) % 10]
    outputs = Outputs(
        logits=logits,
        signal_power=(1.0, 0.0),
        noise_power=(0.0, 0.0),
        own_power=(1.0, 0.0),
        finite=True,
        names=("logits", "kept"),
        counted=(False, True),
    )
    stats = rows.stats_of(outputs, outputs, samples)
    assert stats.doubts == (
        "output 'kept' is judged by nothing: its size depends on the data: --task detection"
        " --decode package.module:function judges it",
    )
    finding = judge_accuracy(stats, Gates(min_agreement_percent=50.0))
    assert finding.verdict == "inconclusive"
    assert [row.name for row in rows.rows_of_outputs(outputs)] == ["logits"]
    alone = replace(outputs, logits=None, counted=(True, True))
    assert not rows.stats_of(alone, alone, samples).has_sqnr


def test_unlabelled_pictures_in_doubtful_units_prove_nothing() -> None:
    (row, *_) = report(labelled=False).engines
    spec = replace(RGB, preprocessing=Preprocessing(mean=(123.0,) * 3, std=(58.0,) * 3))
    pictured = in_memory(np.zeros((3, 3, 8, 8), np.float32), "samples")
    held, pictured = pictured, replace(pictured, arrays=None)
    found = rows.doubted_inputs(row, spec, pictured).accuracy
    assert found is not None and "larger than any pixel" in found.doubts[-1]
    assert judge_accuracy(found, Gates()).verdict == "inconclusive"
    # what is right on labels is right; arrays are not prepared; the mean is of these units
    (labelled, *_) = report().engines
    usual = replace(spec, preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.2,) * 3))
    for same in (
        (labelled, spec, pictured),
        (row, spec, held),
        (row, usual, pictured),
        (row, spec, None),
    ):
        assert rows.doubted_inputs(*same) is same[0]
