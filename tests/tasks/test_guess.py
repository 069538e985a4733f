"""What a network is for, told from its outputs and the data; nothing else is judged by argmax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import TaskSpec
from edge_scnet.tasks.guess import told
from tests.tasks.cases import context, spec, targets


def _head(*shape: int, ending: Any = "linear", name: str = "out", **more: Any) -> OutputHead:
    return OutputHead(name=name, shape=(1, *shape), ending=ending, **more)


def _kind(*heads: OutputHead, **changes: Any) -> str:
    given = context("features", 4, heads=heads, shape=(3, 64, 64), **changes)
    return told(replace(given, task=None)).task.kind


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (_head(10, ending="softmax", axis=1), "classification"),
        (_head(10, ending="log_softmax", axis=1), "classification"),
        (_head(136), "features"),
        (_head(128, ending="l2", axis=1), "embedding"),
        (_head(1), "regression"),
        (_head(1, ending="sigmoid"), "binary"),
        (_head(20, ending="sigmoid"), "multilabel"),
        (_head(1, 64, 64, ending="sigmoid"), "segmentation"),
        (_head(64, 64, 1, ending="sigmoid"), "segmentation"),
        (_head(21, 32, 32, ending="softmax", axis=1), "segmentation"),
        (_head(32, 32, dtype="int64"), "segmentation"),
        (_head(3, 64, 64), "features"),
        (_head(1, 2, 2, ending="sigmoid"), "features"),
        (_head(84, 8400, joined=(1, (4, 80))), "features"),
    ],
)
def test_the_outputs_alone(head: OutputHead, kind: str) -> None:
    assert _kind(head) == kind


def test_rows_that_are_no_samples_are_no_classes() -> None:
    assert _kind(replace(_head(80, ending="softmax", axis=1), by_sample=False)) == "features"


def test_labels_and_known_classes_make_a_classifier_of_plain_columns() -> None:
    assert _kind(_head(10), labels=(0, 1, 2, 3), label_rule="folders") == "classification"
    assert _kind(_head(10), spec=spec(3, 64, 64, classes=10)) == "classification"
    assert _kind(_head(136), spec=spec(3, 64, 64, classes=10)) == "features"
    assert _kind(_head(1), labels=(0, 1, 1, 0)) == "binary"
    assert _kind(_head(128, ending="l2", axis=1), labels=(0, 1, 1, 0)) == "embedding"


def test_names_of_a_files_outputs_count_and_those_of_a_module_do_not() -> None:
    file, module = spec(3, 64, 64, arch="onnx"), spec(3, 64, 64)
    for name, kind in (
        ("logits", "classification"),
        ("landmarks", "keypoints"),
        ("embedding", "embedding"),
    ):
        assert _kind(_head(6, name=name), spec=file) == kind
        assert _kind(_head(6, name=name), spec=module) == "features"
    assert _kind(_head(7, name="landmarks"), spec=file) == "features"


def test_the_data_comes_before_the_outputs_and_the_user_before_all() -> None:
    truth = targets("mask", [np.zeros((2, 2), np.uint8)] * 4)
    assert _kind(_head(3, 64, 64), targets=truth) == "segmentation"
    given = context("features", 4, heads=[_head(10, ending="softmax")], targets=truth)
    said = told(replace(given, task=TaskSpec(kind="regression")))
    assert said.task.kind == "regression" and said.words == "regression, as said"


def test_the_line_says_what_it_was_told_from() -> None:
    given = context("features", 4, heads=[_head(136)])
    assert told(replace(given, task=None)).words == (
        "features, told from no more than outputs of 1 x 136; --task to say another"
    )
