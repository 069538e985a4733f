"""What may differ from a baseline where somebody allows it, and what is still judged then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge_scnet.config.project import AllowedKind
from edge_scnet.config.target import Gates
from edge_scnet.core.packing import pack_classes
from edge_scnet.gate import regression
from edge_scnet.report.findings import Finding, exit_code
from edge_scnet.report.run_report import RunReport
from edge_scnet.stats.figures import Metric, TaskStats
from tests.helpers.reports import IMAGES, engine, failed, logits, provenance, report

CHECKPOINT = provenance(weights=("x" * 64,), float_onnx="p" * 64, calibrated_onnx="p" * 64)


def allowing(
    new: RunReport, *kinds: AllowedKind, old: RunReport | None = None, **limits: float
) -> dict[str, Finding]:
    found = regression.compare(
        new,
        old or report(),
        limits=replace(Gates(), **limits),
        allowed=dict.fromkeys(kinds, "--allow"),
    )
    return {finding.metric: finding for finding in found}


def code(found: dict[str, Finding]) -> int:
    return exit_code(tuple(found.values()))


def retrained(*, wrong: int = 200, lost: int = 0, noise: float = 0.05, **changes: Any) -> RunReport:
    """Another network on the same images.

    Args:
        wrong: images that its FP32 gets wrong, not those that the baseline's does.
        lost: images that its INT8 loses of its FP32's.
    """
    scores, labels = logits(wrong=0)
    last = np.arange(IMAGES - wrong, IMAGES)
    scores[last, labels[last]] -= 16
    quantized = scores + np.random.default_rng(1).normal(0, noise, scores.shape)
    quantized[np.arange(lost), labels[:lost]] -= 16
    made = report(provenance=CHECKPOINT)
    rows = (
        engine("fp32", scores, scores, labels),
        engine("int8", quantized, scores, labels),
    )
    return replace(made, engines=rows, **changes)


def other_images(*, labelled: bool = True, **changes: Any) -> RunReport:
    """Half as many images, and others."""
    made, few = report(**changes), IMAGES // 2
    scores, labels = logits(7)
    scores, labels = scores[:few], labels[:few]
    truth = labels if labelled else None
    assert made.evaluation is not None
    evaluation = replace(
        made.evaluation,
        images=few,
        images_sha256="z" * 64,
        truth=pack_classes(labels.tolist()) if labelled else None,
    )
    rows = (engine("fp32", scores, scores, truth), engine("int8", scores, scores, truth))
    return replace(made, evaluation=evaluation, engines=rows)


@pytest.mark.parametrize(
    ("changed", "kind", "metric"),
    [
        ({"weights": ("x" * 64,)}, "checkpoint", "checkpoint"),
        ({"preprocessing": {"mean": [0.25]}}, "preprocessing", "preprocessing"),
        ({"calibration_images": "x" * 64}, "calibration", "calibration images"),
        ({"settings": {"quant": {"percentile": 90.0}}}, "settings", "target's settings"),
    ],
)
def test_each_kind_allows_its_own_difference_and_no_other(
    changed: dict[str, Any], kind: AllowedKind, metric: str
) -> None:
    new = report(provenance=provenance(**changed))
    found = allowing(new, kind)
    assert not failed(found) and code(found) == 0
    assert found[metric].verdict == "skipped"
    assert "Allowed by --allow." in found[metric].message
    others: set[AllowedKind] = {"checkpoint", "preprocessing", "calibration", "settings", "images"}
    assert failed(allowing(new, *(others - {kind}))) == [metric]


@pytest.mark.parametrize(
    "changed",
    [
        {"weight_bits": 8},
        {"made_elsewhere": True},
        {"calibrated_onnx": "x" * 64},
    ],
)
def test_stale_statistics_fewer_bits_and_another_quantizer_cannot_be_allowed(
    changed: dict[str, Any],
) -> None:
    kinds: tuple[AllowedKind, ...] = (
        "checkpoint",
        "preprocessing",
        "calibration",
        "settings",
        "images",
    )
    assert code(allowing(report(provenance=provenance(**changed)), *kinds)) == 12


def test_a_network_trained_anew_is_held_to_its_own_fp32() -> None:
    found = allowing(retrained(noise=0.2), "checkpoint")
    assert code(found) == 0, failed(found)
    # other images wrong: too many of them to exclude 0.5 pp, and that is no question of INT8
    top1 = found["top-1 to baseline"]
    assert top1.verdict == "skipped" and "200 lost, 200 won" in top1.message
    for metric in ("SQNR", "agreement to baseline"):
        assert found[metric].verdict == "skipped"
        assert "in the baseline, which is of another network: told" in found[metric].message
    assert found["top-1 drop"].verdict == "pass"
    lost = allowing(retrained(lost=40), "checkpoint")
    assert failed(lost) == ["top-1 drop"] and code(lost) == 10


def test_a_network_trained_anew_that_is_proven_worse_than_the_baselines_fails() -> None:
    found = allowing(retrained(wrong=400), "checkpoint")
    assert failed(found) == ["top-1 to baseline"] and code(found) == 10
    assert found["top-1 drop"].verdict == "pass"


def test_what_was_quantized_and_the_size_are_compared_all_the_same() -> None:
    one = report().quantization
    assert one is not None
    fewer = replace(one, activations={k: v for k, v in one.activations.items() if k != "add"})
    found = allowing(retrained(quantization=fewer), "checkpoint")
    assert failed(found) == ["quantized tensors"] and code(found) == 10
    heavy = retrained()
    heavy = replace(
        heavy, engines=(heavy.engines[0], replace(heavy.engines[1], size_bytes=2_000_000))
    )
    assert failed(allowing(heavy, "checkpoint")) == ["size"]


def test_another_graph_beside_another_checkpoint_is_said() -> None:
    new = retrained()
    assert "graph" not in allowing(new, "checkpoint")
    new = replace(new, provenance=replace(CHECKPOINT, graph="x" * 64))
    found = allowing(new, "checkpoint")["graph"]
    assert found.verdict == "skipped" and "another network" in found.message


def test_other_images_leave_the_limits_alone() -> None:
    found = allowing(other_images(), "images")
    assert code(found) == 0, failed(found)
    said = found["evaluation images"]
    assert said.verdict == "skipped" and "1,000 of eval, labelled (zzzzzzzzzzzz)" in said.message
    assert "not paired" in said.message
    for metric in ("top-1 to baseline", "agreement to baseline", "SQNR"):
        assert found[metric].verdict == "skipped" and "other images" in found[metric].message
    assert found["top-1 to baseline"].expected == pytest.approx(90.0, abs=0.2)
    assert found["top-1 drop"].verdict == "pass"
    # the same weights: its scales are still those of the baseline
    assert found["scales"].verdict == "pass"
    assert code(allowing(other_images(), "images", max_drop_pp=0.1)) == 13


def test_images_without_labels_do_not_take_the_place_of_labelled_ones() -> None:
    for new in (other_images(labelled=False), report(evaluation=None)):
        found = allowing(new, "images")
        assert set(found) == {"evaluation images"} and code(found) == 12
    assert (
        "do not take the place"
        in allowing(other_images(labelled=False), "images")["evaluation images"].message
    )
    old = report(labelled=False)
    found = allowing(other_images(labelled=False), "images", old=old)
    assert found["agreement"].verdict == "pass" and code(found) == 0


def test_another_network_on_other_images_has_its_limits() -> None:
    found = allowing(other_images(provenance=CHECKPOINT), "checkpoint", "images")
    assert code(found) == 0, failed(found)
    assert "limits against its own FP32." in found["checkpoint"].message
    assert failed(allowing(other_images(provenance=CHECKPOINT), "images")) == ["checkpoint"]
    assert set(allowing(other_images(provenance=CHECKPOINT), "checkpoint")) == {"evaluation images"}


def test_nothing_is_allowed_of_another_model_target_or_batch() -> None:
    for changes in ({"model": "other"}, {"target": "gpu"}, {"batch": 8}, {"complete": False}):
        new = replace(retrained(), **changes)
        assert code(allowing(new, "checkpoint", "images", "settings")) == 12


def _of_task(report: RunReport, value: float, half: float) -> RunReport:
    loss = 80.0 - value
    metric = Metric(
        name="mIoU",
        unit="%",
        value=value,
        reference=80.0,
        higher_is_better=True,
        loss=loss,
        loss_low=loss - half,
        loss_high=loss + half,
        loss_lower95=loss - half,
        loss_upper95=loss + half,
    )
    to_fp32 = replace(metric, name="mIoU to FP32", reference=None)
    task = TaskStats(task="segmentation", samples=100, truth="masks", metrics=(metric, to_fp32))
    rows = [
        replace(row, accuracy=row.accuracy and replace(row.accuracy, task=task, labels=None))
        for row in report.engines
    ]
    return replace(report, engines=tuple(rows))


def test_figures_of_tasks_are_told_where_they_cannot_be_compared() -> None:
    old = _of_task(report(), 79.9, 0.1)
    worse = allowing(_of_task(retrained(), 77.0, 0.1), "checkpoint", old=old)
    assert failed(worse) == ["mIoU", "mIoU to baseline"]
    assert worse["mIoU to FP32 to baseline"].verdict == "skipped"
    unclear = allowing(_of_task(retrained(), 79.6, 0.3), "checkpoint", old=old, max_drop_pp=2)
    assert unclear["mIoU to baseline"].verdict == "skipped" and code(unclear) == 0
    images = allowing(_of_task(other_images(), 77.0, 0.1), "images", old=old, max_drop_pp=5)
    assert images["mIoU to baseline"].verdict == "skipped" and code(images) == 0
