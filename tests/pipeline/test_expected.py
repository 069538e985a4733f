"""FP32's own figures held to what their owner measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.core.events import Silent
from edge_scnet.core.preprocessing import BY_DEFAULT, Preprocessing
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.data.labels import SORTED_RULE
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from edge_scnet.pipeline.expected import check_float, check_rows, check_truth, read_expected
from edge_scnet.report.run_report import EngineReport
from edge_scnet.stats.figures import Metric, TaskStats
from tests.helpers.reports import report

_SPEC = ModelSpec(
    name="net",
    arch="",
    input_shape=(3, 32, 32),
    classes=("a", "b"),
    preprocessing=Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3),
)
_SAMPLES = SampleSet(
    root=Path(),
    kind="folder",
    entries=("a.png",),
    labels=(0,),
    label_rule=SORTED_RULE,
    class_names=None,
    content_hashes=("1",),
)


def _check(rows: Sequence[EngineReport], given: Any, spec: ModelSpec = _SPEC) -> None:
    check_rows(rows, read_expected(given), spec, _SAMPLES)


def _refused(rows: Sequence[EngineReport], given: Any, spec: ModelSpec = _SPEC) -> DataError:
    with pytest.raises(DataError) as raised:
        _check(rows, given, spec)
    return raised.value


def _of_task(metrics: Sequence[Metric], **changes: Any) -> tuple[EngineReport, ...]:
    rows = report().engines
    task = TaskStats(task="detection", samples=2000, truth="COCO", metrics=tuple(metrics))
    task = replace(task, **changes)
    assert rows[0].accuracy is not None
    return (replace(rows[0], accuracy=replace(rows[0].accuracy, labels=None, task=task)),)


def _metric(name: str, value: float, **changes: Any) -> Metric:
    figures = {
        "unit": "%",
        "reference": value,
        "higher_is_better": True,
        "loss": 0.0,
        "value_low": value - 2.0,
        "value_high": value + 2.0,
    }
    return Metric(name=name, value=value, **{**figures, **changes})


def test_top1_within_its_interval_is_the_owners() -> None:
    rows = report().engines
    for expected in (None, (), 90.0, "90", "top1=91", "Top-1=89 %", "top1=90.0±0", ["top1=90"]):
        _check(rows, expected)
    error = _refused(rows, 94.9)
    assert "FP32's own top-1 is 90 % on 2,000 samples; --expect says 94.9 %" in error.message
    assert "88.61 to 91.24" in error.message
    causes = [error.message.index(f"({number}) ") for number in (1, 2, 3)]
    words = ["preprocessing", "order of the classes", "another checkpoint"]
    assert causes == sorted(causes)
    assert [error.message.index(word) > at for word, at in zip(words, causes, strict=True)]
    assert "mean 0.5 0.5 0.5" in error.message  # what the preprocessing is here
    assert error.exit_code == 4


def test_a_tolerance_stands_in_the_place_of_the_interval() -> None:
    rows = report().engines
    _check(rows, "top1=94±4")
    _check(rows, "90.3+-0.3")  # 0.3 in floats is less than the difference
    error = _refused(rows, "top1=90.5±0.3")
    assert "--expect says 90.5 ± 0.3 %" in error.message and "0.5 apart" in error.message
    assert "--expect top1=90.5 holds it to their interval" in error.hint


def test_the_hint_is_of_the_case() -> None:
    rows = report().engines
    assert _refused(rows, "top1=0.949").hint.endswith("--expect top1=94.9")
    assert "better than expected" in _refused(rows, 70).hint
    by_default = replace(
        _SPEC,
        preprocessing=replace(_SPEC.preprocessing, origins={"mean": BY_DEFAULT, "std": BY_DEFAULT}),
    )
    assert "--preprocess" in _refused(rows, 94.9, by_default).hint
    assert "--class-names" in _refused(rows, 94.9, replace(_SPEC, classes=())).hint
    wide = replace(_SPEC, preprocessing=Preprocessing(mean=(123.0,) * 3, std=(58.0,) * 3))
    assert "--pixel-max 255" in _refused(rows, 94.9, wide).hint
    assert rows[0].accuracy is not None
    doubt = "FP32 is right on 9 %, and on 90 % where every label is +1: do classes count from 1?"
    shifted = (replace(rows[0], accuracy=replace(rows[0].accuracy, doubts=(doubt,))),)
    assert _refused(shifted, 94.9).hint == doubt


def test_any_figure_of_a_task_by_its_name() -> None:
    rows = _of_task([_metric("AP", 41.0), _metric("AP50", 61.0), _metric("F1 of scores", 70.0)])
    for given in (41.5, "ap=41.5", "AP50=61", "f1=70", ["ap=40", "ap50=60"]):
        _check(rows, given)
    assert "FP32's own AP50 is 61 %" in _refused(rows, ["ap=41", "ap50=64"]).message
    error = _refused(rows, "miou=71")
    assert "miou is no figure of this task, whose figures are: AP, AP50, F1" in error.message
    assert "--expect 'AP=71'" in error.hint
    assert "a may be any of: AP, AP50" in _refused(rows, "a=41").message


def test_what_is_a_comparison_with_fp32_is_none_of_its_figures() -> None:
    own = _metric("mean error", 0.2, unit="", higher_is_better=False)
    own = replace(own, value_low=None, value_high=None)
    rows = _of_task([own, _metric("agreement", 100.0, reference=None)])
    _check(rows, 0.202)  # without an interval 2 % are near
    assert "is 0.2 on 2,000" in _refused(rows, 0.21).message
    assert "is no figure" in _refused(rows, "agreement=100").message


def test_without_ground_truth_there_is_nothing_to_hold_it_to() -> None:
    assert "no ground truth" in _refused(report(labelled=False).engines, 90.0).message
    assert "no ground truth" in _refused(_of_task([_metric("F1", 1.0)], truth=None), 90.0).message


def _job(samples: SampleSet | None, task: TaskSpec | None = None) -> Any:
    source = SimpleNamespace(spec=replace(_SPEC, task=task))
    return SimpleNamespace(evaluation=samples, source=source)


def test_it_is_refused_before_the_first_stage_where_that_is_known() -> None:
    unlabelled = replace(_SAMPLES, labels=None, label_rule=None)
    expected = read_expected(94.1)
    check_truth(expected, _job(_SAMPLES))
    check_truth((), _job(None))
    # an evaluator of the user's may know the truth itself
    check_truth(expected, _job(unlabelled, TaskSpec(kind="package.module:evaluator")))
    for samples in (None, unlabelled):
        with pytest.raises(DataError, match="no ground truth"):
            check_truth(expected, _job(samples))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("detection", "ap=1"),
        ("detection", "f1 of scores from 0.5=1"),
        ("regression", "mean error of yaw=1"),
        ("regression", "mean rel=1"),
        ("segmentation", "71.5"),
        ("features", "sqnr=1"),  # it has no ground truth, which is another error
        ("package.module:evaluator", "any=1"),
    ],
)
def test_a_figure_of_the_task_is_let_through(kind: str, given: str) -> None:
    check_truth(read_expected(given), _job(_SAMPLES, TaskSpec(kind=kind)))


@pytest.mark.parametrize(
    ("kind", "given", "hint"),
    [
        ("classification", "top10=99", "--expect 'top-1=99'"),
        ("detection", "ap75=41.2±0.3", "--expect 'AP=41.2±0.3'"),
        ("segmentation", "map=41", "--expect 'mIoU=41'"),
    ],
)
def test_a_figure_that_the_task_has_not_is_refused_before_fp32_runs(
    kind: str, given: str, hint: str
) -> None:
    with pytest.raises(DataError, match="is no figure of this task, whose figures are") as raised:
        check_truth(read_expected(given), _job(_SAMPLES, TaskSpec(kind=kind)))
    assert raised.value.hint == hint


def test_of_a_task_that_is_told_by_the_data_it_is_refused_before_fp32_runs_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = SimpleNamespace(task=TaskSpec(kind="segmentation"))
    judging = SimpleNamespace(samples=_SAMPLES, told=told, evaluator=object())
    monkeypatch.setattr("edge_scnet.pipeline.expected.judging_of", lambda *_: judging)
    # a job without a float graph: FP32 cannot be run
    job: Any = SimpleNamespace(folder=None, **vars(_job(_SAMPLES)))
    with pytest.raises(DataError, match="whose figures are: mIoU, pixel accuracy"):
        check_float(read_expected("top1=94.1"), job, Silent())


def test_what_is_no_figure_is_refused() -> None:
    with pytest.raises(DataError, match="no figure to expect"):
        read_expected("top1=high")
