"""One task for engines of several builds, and of those without a manifest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import TaskSpec
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline.judging_together import JudgedEngine, judging_of_all
from tests.tasks.cases import spec

_POINTS = OutputHead(name="points", shape=(1, 10), ending="linear")
_CLASSES = OutputHead(name="scores", shape=(1, 10), ending="softmax", axis=1)


@pytest.fixture
def samples(tmp_path: Path) -> SampleSet:
    data = np.random.default_rng(0).normal(size=(30, 1, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=data)
    return open_samples(tmp_path / "data.npz", model=spec(1, 6, 6), role="evaluation")


def engine(
    name: str,
    head: OutputHead | None = None,
    *,
    task: str | None = None,
    is_built: bool = True,
    **arguments: object,
) -> JudgedEngine:
    said = None if task is None else TaskSpec(kind=task, arguments=arguments)
    return JudgedEngine(
        name=name,
        path=Path(f"{name}/model.xml"),
        spec=replace(spec(1, 6, 6), task=said),
        heads=() if head is None else (head,),
        is_built=is_built,
    )


def test_two_builds_are_judged_by_their_own_task(samples: SampleSet) -> None:
    both = [engine(name, _POINTS, task="keypoints") for name in "AB"]
    judging = judging_of_all(both, samples)
    assert judging.told.task.kind == "keypoints" and judging.evaluator is not None
    assert judging.evaluator.task == "keypoints"


def test_builds_for_different_tasks_are_refused(samples: SampleSet) -> None:
    with pytest.raises(ArtifactError) as caught:
        judging_of_all([engine("A", _POINTS, task="keypoints"), engine("B", _CLASSES)], samples)
    assert "A (A/model.xml) is for keypoints, B (B/model.xml) is for classification" in str(
        caught.value
    )
    assert "--task features" in str(caught.value.hint)
    with pytest.raises(ArtifactError, match=r"keypoints \(units unit\), B .* is for keypoints:"):
        judging_of_all(
            [
                engine("A", _POINTS, task="keypoints", units="unit"),
                engine("B", _POINTS, task="keypoints"),
            ],
            samples,
        )


def test_engines_of_which_nothing_is_known_are_judged_by_features(samples: SampleSet) -> None:
    """Ten columns may be anything: not by the largest of them."""
    unknown = [engine(name, is_built=False) for name in "AB"]
    judging = judging_of_all(unknown, samples)
    assert judging.evaluator is not None and judging.evaluator.task == "features"
    judging = judging_of_all([unknown[0], engine("B", _POINTS, task="keypoints")], samples)
    assert judging.evaluator is not None and judging.evaluator.task == "keypoints"
    judging = judging_of_all([engine("A", _CLASSES, is_built=False), unknown[1]], samples)
    assert judging.told.task.kind == "classification" and judging.evaluator is None
