"""How single samples are read: one inference of any batch, and what the network is for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import REPORT
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import TaskSpec
from edge_scnet.errors import ArtifactError, DataError
from edge_scnet.pipeline.readings import outputs_for, told_of_build
from edge_scnet.report.store import save_report
from edge_scnet.runtimes.base import Session
from edge_scnet.stats.figures import AccuracyStats
from edge_scnet.tasks.base import Context
from tests.helpers.folders import SPEC, constant, float_build
from tests.helpers.reports import report


class Engine:
    """Gives what it is told to; its batch is 4."""

    input_shape = (4, 2)
    output_names = ("a",)
    open_outputs = (False,)

    def __init__(self, compute: Callable[[np.ndarray], np.ndarray]) -> None:
        self.compute = compute

    def infer(self, batch: np.ndarray) -> list[np.ndarray]:
        assert batch.shape == self.input_shape
        return [self.compute(batch)]


def test_a_sample_fills_the_batch_and_its_part_of_the_outputs_is_taken() -> None:
    sample = np.array([[1.0, 2.0]])
    cases: list[tuple[Callable[[np.ndarray], np.ndarray], Any]] = [
        (lambda batch: batch * 2, [[2.0, 4.0]]),
        # some heads have the rows of all samples along one axis
        (lambda batch: np.arange(12.0).reshape(12, 1), [[0.0], [1.0], [2.0]]),
        (lambda batch: np.ones(3), [1.0, 1.0, 1.0]),
    ]
    for compute, wanted in cases:
        (found,) = outputs_for(cast(Session, Engine(compute)), sample)
        assert found.tolist() == wanted


@pytest.fixture
def folder(tmp_path: Path) -> BuildFolder:
    return BuildFolder.open(float_build(tmp_path, constant({"a": np.zeros((1, 4))})))


def context(**changes: Any) -> Context:
    heads = (OutputHead(name="a", shape=(1, 4)),)
    return Context(spec=replace(SPEC, **changes), count=1, heads=heads)


def test_what_is_said_wins_and_its_arguments_are_added(folder: BuildFolder) -> None:
    built = context(task=TaskSpec(kind="detection", arguments={"decode": "ssd", "threshold": 0.5}))
    assert told_of_build(folder, built).task == built.spec.task
    cases = [
        ({"task_args": {"threshold": 0.3}}, {"decode": "ssd", "threshold": 0.3}),
        ({"decode": "yolox"}, {"decode": "yolox", "threshold": 0.5}),
        ({"task": "detection"}, {"decode": "ssd", "threshold": 0.5}),
    ]
    for options, arguments in cases:
        told = told_of_build(folder, built, ModelOptions(**options))
        assert told.said and told.task == TaskSpec(kind="detection", arguments=arguments)
    other = told_of_build(folder, built, ModelOptions(task="features"))
    assert other.task == TaskSpec(kind="features", arguments={})
    with pytest.raises(DataError, match="there is no task 'detect'"):
        told_of_build(folder, built, ModelOptions(task="detect"))
    with pytest.raises(ArtifactError, match="--decode yolox is for the task detection"):
        told_of_build(folder, built, ModelOptions(task="features", decode="yolox"))


def test_the_last_report_says_what_it_judged_by(folder: BuildFolder) -> None:
    assert told_of_build(folder, context()).task.kind == "features"
    # the labels of its evaluation set told it
    save_report(report(), folder.path / REPORT)
    assert told_of_build(folder, context()).task.kind == "classification"
    maps = AccuracyStats(
        images=2000, agreement_percent=None, agreeing=None, sqnr_db=None, labels=None
    )
    rows = tuple(replace(row, accuracy=maps, first_classes=None) for row in report().engines)
    save_report(report(engines=rows), folder.path / REPORT)
    assert told_of_build(folder, context()).task.kind == "features"
    (folder.path / REPORT).write_text("{")
    assert told_of_build(folder, context()).task.kind == "features"
