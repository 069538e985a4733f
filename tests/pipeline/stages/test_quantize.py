"""What the quantize stage says of a graph."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.facts import FloatLayer, QdqFacts
from edge_scnet.core.provenance import Quantization
from edge_scnet.pipeline.stages.quantize import summary_of_qdq, warnings_of
from edge_scnet.quantizer.coverage import COMPUTED, KEPT, RECURRENT, SMALL_HEAD, Coverage
from edge_scnet.quantizer.statistics import Ranges, TensorStats


def layer(node: str, reason: str, work: int) -> FloatLayer:
    return FloatLayer(node=node, operator="MatMul", reason=reason, multiply_adds=work)


def coverage(*layers: FloatLayer, whole: int = 1000) -> Coverage:
    return Coverage(
        multiply_adds=whole,
        int8_multiply_adds=whole - sum(layer.multiply_adds for layer in layers),
        float_layers=layers,
    )


def ranges(**held: tuple[float, float]) -> Ranges:
    tensors = {
        name: TensorStats(
            minimum=low,
            maximum=high,
            elements=1,
            exponent=0,
            first_bin=0,
            counts=np.ones(1, np.int64),
        )
        for name, (low, high) in held.items()
    }
    return Ranges(
        tensors=tensors,
        factors={},
        drift=None,
        images=128,
        model_sha256="",
        samples_hash="",
        content_hashes=(),
    )


def test_work_in_float_is_said_by_reason() -> None:
    found = coverage(
        layer("lstm", RECURRENT, 300_000),
        layer("kept", KEPT, 200_000),
        *(layer(f"scores{i}", COMPUTED, 20_000) for i in range(7)),
        layer("fc", SMALL_HEAD, 40),
        whole=1_000_000,
    )
    assert warnings_of(found, ranges(a=(0, 1)), {}) == [
        "44.0% of the multiply-adds stay in float: 30.0% recurrent: lstm; 14.0% its weights are"
        " computed: scores0, scores1, scores2, scores3, scores4 and 2 more"
    ]


def test_nothing_is_said_of_what_was_asked_for_or_is_next_to_nothing() -> None:
    found = coverage(layer("kept", KEPT, 500_000), layer("fc", SMALL_HEAD, 640), whole=1_000_000)
    assert warnings_of(found, ranges(a=(0, 1)), {}) == []


def test_dead_branches_and_pruned_channels_are_named() -> None:
    held = ranges(a=(0, 1), dead=(0.0, 0.0), constant=(2.5, 2.5))
    assert warnings_of(coverage(), held, {"conv1": 3}) == [
        "a branch never fires: on all 128 calibration images one value alone in dead, constant",
        "output channels whose weights are all 0, pruned: conv1 (3)",
    ]


def summary(**changes: Any) -> str:
    facts = QdqFacts(
        **{
            "precision": "int8",
            "weight_bits": 8,
            "activations": 66,
            "weights": 46,
            "convolutions": 4,
            "int8_convolutions": ("a", "b", "c", "d"),
            "quantization": Quantization(activations={}, weights={}),
            "provenance": None,
            **changes,
        }
    )
    return summary_of_qdq(SimpleNamespace(facts=lambda file, kind: facts))


@pytest.mark.parametrize(
    ("int8", "words"),
    [
        (1_000_000, "100 % of the multiply-adds in INT8"),
        (999_999, "over 99.9 % of the multiply-adds in INT8"),
        (804_321, "80.43 % of the multiply-adds in INT8"),
    ],
)
def test_the_line_says_the_share_of_the_work_in_int8(int8: int, words: str) -> None:
    text = summary(multiply_adds=1_000_000, int8_multiply_adds=int8)
    assert text == f"4 of 4 convolutions; Q/DQ on 66 activations and 46 weights; {words}"


def test_the_line_counts_layers_that_are_no_convolutions() -> None:
    assert summary(int8_layers=("a", "b", "c", "d", "fc1", "fc2")).startswith(
        "4 of 4 convolutions and 2 other layers; Q/DQ"
    )
    # of another quantizer's file it says what it said
    assert summary().endswith("4 of 4 convolutions; Q/DQ on 66 activations and 46 weights")
