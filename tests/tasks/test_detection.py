"""Detection judged: AP against ground truth with its interval, or against FP32's own boxes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.config.target import Gates
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.core.targets import Boxes, Targets
from edge_scnet.errors import DataError
from edge_scnet.report.findings import Finding
from edge_scnet.report.verdict import judge_accuracy
from edge_scnet.stats.figures import AccuracyStats, TaskStats
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.detection import evaluator
from edge_scnet.tasks.registry import figures_of

pytest.importorskip("pycocotools", reason="pycocotools is not installed")

SIDE, CLASSES = 96, 3
PLACES = 12 * 12 + 6 * 6
SPEC = ModelSpec(
    name="net",
    arch="onnx",
    input_shape=(3, SIDE, SIDE),
    preprocessing=Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
    classes=("disc", "square", "triangle"),
    task=TaskSpec(kind="detection", arguments={"decode": "yolov8"}),
)


class Given:
    def __init__(self, boxes: list[Boxes]) -> None:
        self.boxes = boxes

    def __call__(self, i: int) -> Boxes:
        return self.boxes[i]


def boxes_of(corners: np.ndarray, classes: np.ndarray) -> Boxes:
    return Boxes(
        corners=corners.astype(np.float32),
        classes=classes,
        crowd=np.zeros(len(classes), bool),
        areas=(corners[:, 2:] - corners[:, :2]).prod(axis=1).astype(np.float32),
    )


def truth_of(count: int, *, width: int = SIDE, height: int = SIDE) -> list[Boxes]:
    """One to three objects of 20 to 40 pixels an image, apart from each other."""
    rng = np.random.default_rng(3)
    made = []
    for _ in range(count):
        objects = int(rng.integers(1, 4))
        start = np.stack(
            [np.arange(objects) * (width - 40) / 3, rng.uniform(0, height - 40, objects)], axis=1
        )
        corners = np.concatenate([start, start + rng.uniform(20, 30, (objects, 2))], axis=1)
        made.append(boxes_of(corners, rng.integers(0, CLASSES, objects)))
    return made


def targets_of(boxes: list[Boxes]) -> Targets:
    return Targets(
        kind="boxes", rule="boxes of eval.json", count=len(boxes), at=Given(boxes), hash="0"
    )


def head_of(truth: list[Boxes], *, noise: float = 0.0, score: float = 0.9) -> np.ndarray:
    """YOLOv8's output that says where the objects are, [images, 4 + classes, places]."""
    rng = np.random.default_rng(4)
    out = np.zeros((len(truth), 4 + CLASSES, PLACES), np.float32)
    for i, boxes in enumerate(truth):
        for k, (box, c) in enumerate(zip(boxes.corners, boxes.classes, strict=True)):
            box = box + rng.normal(0, noise, 4)
            out[i, :4, k] = [*(box[:2] + box[2:]) / 2, *(box[2:] - box[:2])]
            out[i, 4 + c, k] = score * rng.uniform(0.9, 1.0)
    return out


def context_of(boxes: list[Boxes] | None, count: int, **changed: Any) -> Context:
    return Context(
        spec=changed.pop("spec", SPEC),
        output_names=("output0",),
        count=count,
        targets=None if boxes is None else targets_of(boxes),
        image_sizes=((SIDE, SIDE),) * count,
        entries=tuple(f"{i}.png" for i in range(count)),
        **changed,
    )


def with_arguments(**arguments: Any) -> ModelSpec:
    return replace(SPEC, task=TaskSpec(kind="detection", arguments=arguments))


def judged(context: Context, reference: np.ndarray, own: np.ndarray) -> TaskStats:
    made = evaluator(context)
    first: list[Any] = []
    second: list[Any] = []
    for start in range(0, len(reference), 16):
        indices = range(start, min(start + 16, len(reference)))
        chunk = [reference[start : start + 16]]
        first += made.reduce(chunk, chunk, indices)
        second += made.reduce([own[start : start + 16]], chunk, indices)
    return made.compare(second, first)


def test_equal_engines_lose_nothing():
    truth = truth_of(40)
    head = head_of(truth, noise=0.5)
    stats = judged(context_of(truth, 40), head, head)
    ap, ap50, f1 = stats.metrics
    assert (f1.value, f1.reference, f1.decides) == (pytest.approx(100), pytest.approx(100), True)
    assert (ap.name, ap.unit, ap50.name) == ("AP", "%", "AP50")
    assert 60 < ap.value < 100 and ap50.value == pytest.approx(100)
    assert ap.value == ap.reference
    assert (ap.loss, ap.loss_lower95) == (0, 0)
    # of 40 images with objects none lost any: 6 in 100 others may
    assert ap.loss_upper95 == pytest.approx(6.335, abs=1e-3)
    assert "paired bootstrap" in ap.method
    assert (stats.truth, stats.samples, stats.worst) == ("boxes of eval.json", 40, ())
    assert stats.doubts == ()


def test_boxes_shifted_by_a_twentieth_lose_ap_for_certain():
    truth = truth_of(60)
    head = head_of(truth, noise=0.3)
    shifted = head.copy()
    shifted[:, :2] += 0.05 * head[:, 2:4]
    ap = judged(context_of(truth, 60), head, shifted).metrics[0]
    assert ap.loss > 5
    assert ap.loss_lower95 is not None and 2 < ap.loss_lower95 < ap.loss < ap.loss_upper95


@pytest.mark.slow
def test_constant_scores_lose_nearly_everything_and_the_worst_images_are_named():
    truth = truth_of(60)
    head = head_of(truth)
    constant = head.copy()
    constant[:, 4:] = 0.3
    stats = judged(context_of(truth, 60), head, constant)
    assert stats.metrics[0].loss > 30
    assert stats.metrics[0].loss_lower95 > 20
    assert len(stats.worst) == 10 and stats.worst[0].endswith(".png")
    one = head.copy()
    one[7, 4:] = 0
    assert judged(context_of(truth, 60), head, one).worst == ("7.png",)


def test_boxes_are_compared_in_the_pixels_of_the_images():
    """Images of 192 x 96 whose centre was cut out: what the network says is 48 pixels off."""
    inner = truth_of(30)
    truth = [boxes_of(b.corners + np.array([48, 0, 48, 0]), b.classes) for b in inner]
    context = replace(context_of(truth, 30), image_sizes=((192, 96),) * 30)
    head = head_of(inner)
    assert judged(context, head, head).metrics[0].value == pytest.approx(100)


def test_a_detector_that_finds_nothing_of_this_is_doubted():
    truth = truth_of(30)
    away = head_of([boxes_of(b.corners[:, ::-1] * 0 + 1, b.classes) for b in truth])
    stats = judged(context_of(truth, 30), away, away)
    assert stats.metrics[0].loss == 0
    assert "FP32's own AP is 0.00 %" in stats.doubts[0]


def verdict_of(stats: TaskStats) -> Finding:
    return judge_accuracy(
        AccuracyStats(
            images=stats.samples,
            agreement_percent=None,
            agreeing=None,
            sqnr_db=20.0,
            labels=None,
            task=stats,
        ),
        Gates(),
    )


@pytest.mark.slow
def test_scores_that_all_fall_below_the_threshold_fail_though_ap_stays():
    truth = truth_of(40)
    head = head_of(truth)
    faint = head.copy()
    faint[:, 4:] *= 0.03
    stats = judged(context_of(truth, 40), head, faint)
    assert stats.metrics[0].loss == pytest.approx(0, abs=0.01)
    assert (stats.metrics[2].value, stats.metrics[2].reference) == (0, pytest.approx(100))
    known = figures_of("detection")
    assert [m.name.replace("0.25 on", "...") for m in stats.metrics] == list(known)
    assert verdict_of(stats).verdict == "fail"
    assert "no box right" in judged(context_of(truth, 40), faint, faint).doubts[0]


@pytest.mark.slow
def test_boxes_of_a_class_that_the_ground_truth_lacks_count_as_wrong():
    truth = [boxes_of(each.corners, each.classes * 0) for each in truth_of(40)]
    head = head_of(truth)
    more = head.copy()
    more[:, :4, 9] = [48, 80, 20, 20]
    more[:, 4 + 2, 9] = 0.9
    stats = judged(context_of(truth, 40), head, more)
    objects = sum(len(each.classes) for each in truth)
    assert stats.metrics[0].loss == pytest.approx(0)
    assert stats.metrics[2].value == pytest.approx(200 * objects / (2 * objects + 40))
    assert verdict_of(stats).verdict == "fail"
    # in a crowd of its class a box is neither right nor wrong
    crowded = [
        Boxes(
            corners=np.concatenate([each.corners, np.float32([[0, 60, 96, 96]])]),
            classes=np.append(each.classes, 2),
            crowd=np.append(each.crowd, True),
            areas=np.append(each.areas, np.float32(36 * 96)),
        )
        for each in truth
    ]
    assert judged(context_of(crowded, 40), head, more).metrics[2].loss == pytest.approx(0)


@pytest.mark.parametrize("step", [1, -1])
def test_classes_one_off_are_named(step: int):
    truth = truth_of(60)
    shifted = [boxes_of(each.corners, (each.classes + step) % CLASSES) for each in truth]
    head = head_of(truth)
    doubts = judged(context_of(shifted, 60), head, head).doubts
    assert f"where every class of the ground truth is {-step:+d}" in doubts[-1]


def test_noise_of_a_tenth_of_a_pixel_passes_without_ground_truth():
    # of 60 a loss of 5 pp is not excluded
    truth = truth_of(160)
    stats = judged(context_of(None, 160), head_of(truth), head_of(truth, noise=0.1))
    assert 98 < stats.metrics[1].value < 99
    assert verdict_of(stats).verdict == "pass"


def test_without_ground_truth_fp32s_own_boxes_stand_in_for_it():
    truth = truth_of(40)
    head = head_of(truth)
    stats = judged(context_of(None, 40), head, head)
    assert stats.truth is None
    agreement, overlap = stats.metrics
    assert (agreement.name, overlap.name) == ("AP50 to FP32", "box IoU to FP32")
    assert agreement.reference is None
    assert agreement.value == pytest.approx(100) and overlap.value == pytest.approx(100)
    assert (agreement.loss, overlap.loss) == (pytest.approx(0), pytest.approx(0))
    assert stats.slices and all(part.sqnr_db is None for part in stats.slices)

    shifted = head.copy()
    shifted[:, :2] += 0.05 * head[:, 2:4]
    agreement, overlap = judged(context_of(None, 40), head, shifted).metrics
    assert agreement.loss == pytest.approx(0)
    assert overlap.loss == pytest.approx(100 * (1 - 0.95**2 / (2 - 0.95**2)), abs=0.1)

    faint = head.copy()
    faint[:, 4:] *= 0.1
    agreement, overlap = judged(context_of(None, 40), head, faint).metrics
    assert overlap.loss == pytest.approx(100)


def test_without_ground_truth_and_without_boxes_nothing_can_be_said():
    head = head_of(truth_of(20), score=0.1)
    with pytest.raises(DataError, match=r"nothing that scores 0.25 or more in 20") as caught:
        judged(context_of(None, 20), head, head)
    assert "--task-args '{\"threshold\": 0.05}'" in caught.value.hint
    lower = replace(SPEC, task=TaskSpec(kind="detection", arguments={"threshold": 0.05}))
    assert judged(context_of(None, 20, spec=lower), head, head).metrics[0].loss == 0


def test_too_few_samples_have_no_interval():
    truth = truth_of(10)
    ap = judged(context_of(truth, 10), head_of(truth), head_of(truth)).metrics[0]
    assert ap.loss_upper95 is None


def test_the_decoder_is_told_where_only_one_fits():
    truth = truth_of(20)
    head = head_of(truth)
    told = replace(SPEC, task=TaskSpec(kind="detection"))
    assert judged(context_of(truth, 20, spec=told), head, head).metrics[0].value > 99


def test_outputs_without_a_batch_axis():
    truth = truth_of(20)
    head = head_of(truth)
    joined = head.reshape(20 * head.shape[1], -1)
    made = evaluator(context_of(truth, 20))
    whole = made.reduce([head], [head], range(20))
    flat = made.reduce([joined], [joined], range(20))
    assert all(
        np.array_equal(a.found.corners, b.found.corners) for a, b in zip(whole, flat, strict=True)
    )


def test_an_own_function_that_fails_names_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "a_decoder_that_fails.py").write_text(
        "def decode(outputs, info):\n"
        "    return outputs['x'] if '3' in info.entry else ([], [], [])\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    head = head_of(truth_of(5))
    spec = with_arguments(decode="a_decoder_that_fails:decode")
    made = evaluator(context_of(truth_of(5), 5, spec=spec))
    with pytest.raises(DataError, match=r"at 3.png failed: KeyError: 'x'"):
        made.reduce([head], [head], range(5))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"decode": "yolo8"}, "no decoder 'yolo8'"),
        ({"treshold": 0.1}, "takes no argument 'treshold'"),
        ({"threshold": 3}, "the argument threshold"),
        ({"box_units": "px"}, "the argument box_units"),
        ({"strides": [0]}, "the argument strides"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], words: str):
    with pytest.raises(DataError, match=words):
        evaluator(context_of(None, 5, spec=with_arguments(**arguments)))


def test_ground_truth_that_does_not_fit():
    empty = boxes_of(np.zeros((0, 4)), np.zeros(0, np.int64))
    with pytest.raises(DataError, match="the ground truth of 4 samples has no object"):
        evaluator(context_of([empty] * 4, 4))
    strange = [*truth_of(3), boxes_of(np.array([[0, 0, 5, 5.0]]), np.array([3]))]
    with pytest.raises(DataError, match=r"'class 3' \(index 3\); the network has 3 classes"):
        evaluator(context_of(strange, 4))
    keypoints = replace(targets_of(truth_of(3)), kind="keypoints")
    with pytest.raises(DataError, match="holds keypoints; boxes are wanted"):
        evaluator(replace(context_of(None, 3), targets=keypoints))
    flat = replace(SPEC, input_shape=(10,))
    with pytest.raises(DataError, match="not pictures with a height and a width"):
        evaluator(context_of(None, 3, spec=flat))
