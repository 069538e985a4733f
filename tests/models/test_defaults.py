"""What holds where an option is left out, and options that contradict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.spec import TaskSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.models import defaults
from tests.helpers.checkpoints import State, checkpoint, refused, saved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5,)}, "the input has 3 channels, and --mean has 1 values"),
        ({"std": (0.5, 0.5)}, "the input has 3 channels, and --std has 2 values"),
        ({"channels": 1}, "the input has 1 channel, and --mean has no default for such images"),
        *(
            ({key: (value, 0.5, 0.5)}, f"--{key} must be {words} as float32, got {value}, 0.5, 0.5")
            for key, words, values in (
                ("std", "positive and finite", (0.0, -1.0, 1e-300, float("nan"), float("inf"))),
                ("mean", "finite", (1e300, float("-inf"), float("nan"))),
            )
            for value in values
        ),
        (
            {"class_names": ("a", "b"), "num_classes": 3},
            "--class-names lists 2 names, --num-classes says 3",
        ),
        (
            {"input_shape": (3, 100_000, 100_000)},
            "--input-shape 3x100000x100000 is 120 GB a sample; up to 1 GB is supported",
        ),
        ({"resize": 16}, "--resize 16 is smaller than the crop, 3x32x32"),
    ],
)
def test_options_that_contradict(
    tmp_path: Path, state: State, options: dict[str, Any], message: str
):
    assert (
        refused(lambda: checkpoint(saved(tmp_path / "a.pth", state), **options)).message == message
    )


def test_defaults_follow_the_architecture(tmp_path: Path, state: State):
    path = saved(tmp_path / "a.pth", state)
    compact, large = checkpoint(path).spec, checkpoint(path, arch="scnet50").spec
    assert (compact.height, compact.preprocessing.short_side, compact.num_classes) == (32, None, 10)
    assert (large.height, large.preprocessing.short_side, large.num_classes) == (224, 256, 1000)
    assert (large.preprocessing.mean, large.preprocessing.std) == (
        defaults.IMAGENET_MEAN,
        defaults.IMAGENET_STD,
    )
    grey = checkpoint(path, channels=1, mean=(0.3,), std=(0.4,), class_names=("a", "b")).spec
    assert (grey.channels, grey.num_classes, grey.classes) == (1, 2, ("a", "b"))


def test_a_decoder_makes_a_detection():
    task = defaults.task_of(ModelOptions(decode="yolox", task_args={"threshold": 0.4}))
    assert task == TaskSpec(kind="detection", arguments={"threshold": 0.4, "decode": "yolox"})
    assert defaults.task_of(ModelOptions(decode="yolox", task="detection")) == TaskSpec(
        kind="detection", arguments={"decode": "yolox"}
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (ModelOptions(decode="yolox", task="segmentation"), "and there is task segmentation"),
        (ModelOptions(decode="yolox", task_args={"decode": "ssd"}), "another in --task-args"),
        (ModelOptions(task_args={"threshold": 0.4}), "no task is said that takes them"),
    ],
)
def test_arguments_of_no_task_or_of_another(options: ModelOptions, words: str):
    with pytest.raises(ArtifactError, match=words):
        defaults.task_of(options)
