"""What is refused before the first stage: ground truth that cannot be that of the outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_scnet.config.target import Gates
from edge_scnet.core.spec import TaskSpec
from edge_scnet.core.targets import TargetKind
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import ModelSource
from edge_scnet.pipeline.judging import check_early, keeps_limits
from edge_scnet.stats.figures import AccuracyStats, TaskStats
from edge_scnet.tasks.metrics import paired_share
from tests.helpers.graphs import tiny_onnx
from tests.tasks.cases import spec, targets

_SPEC = spec(1, 6, 6, arch="onnx")


def source(path: Path, task: str | None = None, **arguments: Any) -> ModelSource:
    said = None if task is None else TaskSpec(kind=task, arguments=arguments)
    return ModelSource(spec=replace(_SPEC, task=said), kind="onnx", location=str(path))


def map_of(path: Path, channels: int) -> Path:
    """A network with a map of scores, of the input's size."""
    weight = np.zeros((channels, 1, 1, 1), np.float32)
    shapes = (("x", [1, 1, 6, 6]), ("map", [1, channels, 6, 6]))
    ends = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in shapes]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["map"])],
        "map",
        ends[:1],
        ends[1:],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def samples(folder: Path, kind: TargetKind, truth: list[Any]) -> SampleSet:
    np.savez(folder / "data.npz", x=np.zeros((len(truth), 1, 6, 6), np.float32))
    made = open_samples(folder / "data.npz", model=_SPEC, role="evaluation")
    return replace(made, targets=targets(kind, truth))


@pytest.mark.parametrize("task", [None, "segmentation"])
def test_a_mask_with_more_classes_than_the_map_has_channels_is_found(
    tmp_path: Path, task: str | None
) -> None:
    path = map_of(tmp_path / "net.onnx", 5)
    masks = [np.full((6, 6), i % 5) for i in range(40)]
    check_early(source(path, task), samples(tmp_path, "mask", masks))
    masks[33][2, 2] = 7
    with pytest.raises(DataError, match="holds the class 7; the network has 5, from 0"):
        check_early(source(path, task), samples(tmp_path, "mask", masks))
    # told not to judge it
    check_early(source(path, "segmentation", ignore=7), samples(tmp_path, "mask", masks))


@pytest.mark.parametrize(
    ("kind", "task", "good", "bad", "words"),
    [
        ("values", "regression", np.ones(4), np.ones(3), "has 3 values, the output 4 columns"),
        ("labels", "multilabel", np.ones(4), np.ones(6), "has 6 labels, the output 4 columns"),
        ("keypoints", "keypoints", np.ones((2, 3)), np.ones((5, 3)), "has 5 keypoints, the out"),
    ],
)
def test_truth_of_another_length_than_the_output_is_found(
    tmp_path: Path, kind: TargetKind, task: str, good: Any, bad: Any, words: str
) -> None:
    path = tiny_onnx(tmp_path / "net.onnx")
    check_early(source(path, task), samples(tmp_path, kind, [good] * 30))
    with pytest.raises(DataError, match=words):
        check_early(source(path), samples(tmp_path, kind, [*([good] * 29), bad]))


def test_truth_of_another_kind_is_found_where_nothing_is_known_of_the_outputs(
    tmp_path: Path,
) -> None:
    boxes_of_nothing = samples(tmp_path, "mask", [np.zeros((6, 6), int)] * 3)
    other = replace(source(tmp_path), kind="factory", location="a:b")
    check_early(other, boxes_of_nothing)
    said = replace(other, spec=replace(_SPEC, task=TaskSpec(kind="keypoints")))
    with pytest.raises(DataError, match="keypoints"):
        check_early(said, boxes_of_nothing)


def test_what_is_doubted_does_not_keep_the_limits_of_a_search() -> None:
    metric = paired_share("accuracy", np.ones(2000, bool), np.ones(2000, bool))
    task = TaskStats(task="binary", samples=2000, truth="labels", metrics=(metric,))
    stats = AccuracyStats(
        images=2000, agreement_percent=None, agreeing=None, sqnr_db=40.0, labels=None, task=task
    )
    assert keeps_limits(Gates(), stats)
    doubted = replace(task, doubts=("FP32 is at chance",))
    assert not keeps_limits(Gates(), replace(stats, task=doubted))
    assert not keeps_limits(Gates(), replace(stats, doubts=("FP32 gives the same for all",)))
