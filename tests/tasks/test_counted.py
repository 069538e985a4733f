"""Outputs whose size depends on the data: judged by a decoder, or not proven."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.outputs import Counted, OutputHead
from edge_scnet.core.ragged import ragged
from edge_scnet.errors import DataError
from edge_scnet.tasks.counted import WatchedOutputs
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import compared, context, judged, targets

_COUNTED = Counted(origin="NonMaxSuppression at 'nms': it keeps ...", cut="onnx.utils.extract(...)")
_KEPT = OutputHead(name="kept", shape=(None, 3), dtype="int64", counted=_COUNTED, by_sample=False)
_OUT = OutputHead(name="out", shape=(1, 2), ending="linear")


def kept(seed: int, count: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return ragged([rng.integers(0, 9, (int(rng.integers(0, 4)), 3)) for _ in range(count)])


def test_features_compare_the_others_and_say_that_nothing_judges_it() -> None:
    out = np.random.default_rng(0).normal(0, 1, (200, 2)).astype(np.float32)
    made = evaluator_for(context("features", 200, heads=[_OUT, _KEPT]))
    assert made is not None
    stats = compared(made, [out, kept(1)], [out, kept(2)])
    assert [metric.name for metric in stats.metrics] == ["SQNR", "same size of kept"]
    finding = judged(stats)
    assert finding.verdict == "inconclusive"
    assert finding.message.startswith("output 'kept' is judged by nothing: its size depends on")
    assert "--task detection --decode package.module:function judges it" in finding.message
    assert _COUNTED.cut in finding.message
    # what can be compared is: it fails all the same
    assert judged(compared(made, [-out, kept(1)], [out, kept(2)])).verdict == "fail"


def test_where_every_output_counts_nothing_passes_and_nothing_fails() -> None:
    made = evaluator_for(context("features", 200, heads=[_KEPT]))
    assert made is not None
    for own in (kept(2), kept(1)):
        stats = compared(made, [own], [kept(2)])
        assert [metric.name for metric in stats.metrics] == ["same size of kept"]
        finding = judged(stats)
        assert finding.verdict == "inconclusive" and "proves nothing" in finding.message


@pytest.mark.parametrize("truth", [False, True])
def test_a_task_that_reads_another_output_does_not_pass(truth: bool) -> None:
    out = np.random.default_rng(0).normal(0, 1, (600, 2)).astype(np.float32)
    known = targets("values", list(out + 0.1)) if truth else None
    made = evaluator_for(context("regression", 600, heads=[_OUT, _KEPT], targets=known))
    assert made is not None
    finding = judged(compared(made, [out, kept(1, 600)], [out, kept(2, 600)]))
    assert finding.verdict == "inconclusive" and "output 'kept' is judged by" in finding.message


def test_a_task_that_would_read_it_is_refused_with_what_can() -> None:
    with pytest.raises(DataError, match="regression: the size of output 'kept'") as caught:
        evaluator_for(context("regression", 20, heads=[_KEPT, _OUT]))
    assert caught.value.hint is not None and '{"output": "out"}' in caught.value.hint


def detection(decode: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = ModuleType("own_decoder")
    module.decode = decode
    monkeypatch.setitem(sys.modules, "own_decoder", module)
    boxes = OutputHead(name="boxes", shape=(None, 4), counted=_COUNTED, by_sample=False)
    scores = OutputHead(name="scores", shape=(None,), counted=_COUNTED, by_sample=False)
    made = evaluator_for(
        context(
            "detection",
            100,
            heads=[boxes, scores],
            arguments={"decode": "own_decoder:decode"},
            shape=(3, 64, 64),
        )
    )
    assert made is not None
    return made


def test_a_decoder_gets_each_image_s_array_and_what_it_reads_is_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")

    def decode(outputs: Any, info: Any) -> Any:
        assert outputs["boxes"].shape == (len(outputs["scores"]), 4)
        return outputs["boxes"], outputs["scores"], np.zeros(len(outputs["scores"]), int)

    made = detection(decode, monkeypatch)
    rng = np.random.default_rng(0)
    counts = rng.integers(1, 4, 100)
    starts = [np.arange(n)[:, None] * 20.0 + rng.uniform(0, 3, (n, 2)) for n in counts]
    boxes = ragged([np.hstack([s, s + 12]).astype(np.float32) for s in starts])
    scores = ragged([np.full(n, 0.9, np.float32) for n in counts])
    assert judged(compared(made, [boxes, scores], [boxes, scores])).verdict == "pass"
    # scores that INT8 breaks
    broken = ragged([np.full(n, 0.02, np.float32) for n in counts])
    assert judged(compared(made, [boxes, broken], [boxes, scores])).verdict == "fail"
    fewer = ragged([np.zeros((0, 4), np.float32)] * 100), ragged([np.zeros(0, np.float32)] * 100)
    assert judged(compared(made, [*fewer], [boxes, scores])).verdict == "fail"

    def blind(outputs: Any, info: Any) -> Any:
        return np.array([[0, 0, 9, 9.0]]), np.ones(1), np.zeros(1, int)

    finding = judged(compared(detection(blind, monkeypatch), [boxes, broken], [boxes, scores]))
    assert finding.verdict == "inconclusive" and "output 'scores' is judged by" in finding.message


@pytest.mark.parametrize(
    ("look", "read"),
    [
        (lambda o: o["a"], {"a"}),
        (lambda o: o.get("b"), {"b"}),
        (lambda o: dict(o), {"a", "b"}),
        (lambda o: SimpleNamespace(**o), {"a", "b"}),
        (lambda o: [*o.values()], {"a", "b"}),
        (lambda o: [value for _, value in o.items()], {"a", "b"}),
        (lambda o: len(o), set()),
    ],
)
def test_what_is_looked_at_is_remembered(look: Any, read: set[str]) -> None:
    outputs = WatchedOutputs([("a", 1), ("b", 2)])
    look(outputs)
    assert outputs.read == read


def test_a_name_that_no_output_has_is_reported_where_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pycocotools", reason="pycocotools is not installed")
    made = detection(lambda outputs, info: outputs["nowhere"], monkeypatch)
    empty = [ragged([np.zeros((0, 4), np.float32)]), ragged([np.zeros(0, np.float32)])]
    with pytest.raises(DataError, match=r"KeyError: 'nowhere' \(test_counted.py, line"):
        made.reduce(empty, empty, [0])
