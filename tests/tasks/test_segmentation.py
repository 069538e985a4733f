"""Segmentation: counts of pixels, masks of another size, faults that must show."""

from __future__ import annotations

import numpy as np
import pytest

from edge_scnet.core.outputs import OutputHead
from edge_scnet.errors import DataError
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import SEEDS, compared, context, judged, noisy, targets, verdict

_SIZE = 16
# samples, to tell that a drop is below 0.5 pp
_ENOUGH = 800


def _scene(count: int, seed: int = 0, *, right: float = 2.0) -> tuple[np.ndarray, list[np.ndarray]]:
    """Logits of three classes [count, 3, 16, 16], mostly right, and the masks."""
    rng = np.random.default_rng(seed)
    masks = []
    for _ in range(count):
        mask = np.zeros((_SIZE, _SIZE), np.uint8)
        top, left = rng.integers(0, 8, 2)
        mask[top : top + 8, left : left + 8] = 1
        mask[top : top + 2, left : left + 3] = 2  # a rare class
        masks.append(mask)
    logits = rng.normal(0, 0.5, (count, 3, _SIZE, _SIZE))
    for i, mask in enumerate(masks):
        logits[i] += right * np.eye(3)[mask].transpose(2, 0, 1)
    return logits.astype(np.float32), masks


def _without_class_two(logits: np.ndarray) -> np.ndarray:
    changed = logits.copy()
    changed[:, 2] = -9.0
    return changed


def test_miou_and_pixel_accuracy_are_those_of_the_definition() -> None:
    logits, masks = _scene(30)
    stats = compared(
        evaluator_for(context("segmentation", 30, targets=targets("mask", masks))),
        noisy(logits, 1, 0.3),
        logits,
    )
    own, truth = noisy(logits, 1, 0.3).argmax(1), np.array(masks)
    ious = [((own == c) & (truth == c)).sum() / ((own == c) | (truth == c)).sum() for c in range(3)]
    miou, accuracy, to_fp32, agreement = stats.metrics
    assert miou.value == pytest.approx(100 * np.mean(ious))
    assert accuracy.value == pytest.approx(100 * (own == truth).mean())
    assert agreement.value == pytest.approx(100 * (own == logits.argmax(1)).mean())
    assert miou.reference is not None and to_fp32.reference is None
    assert miou.loss == pytest.approx(miou.reference - miou.value)
    assert stats.truth == "made by the test" and stats.task == "segmentation"


def test_the_reference_itself_loses_nothing_and_is_proven() -> None:
    logits, masks = _scene(_ENOUGH)
    for given in (
        context("segmentation", _ENOUGH),
        context("segmentation", _ENOUGH, targets=targets("mask", masks)),
    ):
        assert verdict(given, logits) == "pass"


def test_of_few_samples_a_drop_that_none_shows_is_not_excluded() -> None:
    logits, masks = _scene(60)
    given = context("segmentation", 60, targets=targets("mask", masks))
    assert verdict(given, logits) == "inconclusive"


@pytest.mark.slow
def test_next_to_equal_engines_pass_every_time() -> None:
    for seed in range(SEEDS):
        logits, masks = _scene(_ENOUGH, seed)
        for truth in (None, targets("mask", masks)):
            given = context("segmentation", _ENOUGH, targets=truth)
            assert verdict(given, logits, lambda a, s=seed: noisy(a, s)) == "pass", seed


def test_a_dropped_rare_class_fails_with_and_without_masks() -> None:
    """It is 2 % of the pixels: their agreement alone would hide it."""
    logits, masks = _scene(60)
    assert verdict(context("segmentation", 60), logits, _without_class_two) == "fail"
    given = context("segmentation", 60, targets=targets("mask", masks))
    assert verdict(given, logits, _without_class_two) == "fail"


def test_maps_of_one_probability_are_cut_at_a_half_and_logits_at_nought() -> None:
    probabilities = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)
    for array, ending in (
        (probabilities, "sigmoid"),
        (np.log(probabilities / (1 - probabilities)), "linear"),
    ):
        head = OutputHead(name="out", shape=(1, 1, 8, 8), ending=ending)
        given = context("segmentation", 40, heads=(head,))
        made = evaluator_for(given)
        assert made is not None
        kept = made.reduce([array], [array], range(40))[0]
        assert kept[4, 1] == (probabilities[0] > 0.5).sum()
        assert verdict(given, array, lambda a: a * 0 + a.min()) == "fail"


def test_channels_may_be_last() -> None:
    logits, masks = _scene(30)
    first = context("segmentation", 30, targets=targets("mask", masks))
    head = OutputHead(name="out", shape=(1, _SIZE, _SIZE, 3), ending="softmax", axis=3)
    last = context("segmentation", 30, targets=targets("mask", masks), heads=(head,))
    one, other = evaluator_for(first), evaluator_for(last)
    assert one is not None and other is not None
    moved = np.moveaxis(logits, 1, -1)
    assert compared(one, logits, logits).metrics == compared(other, moved, moved).metrics


def test_masks_of_a_finer_grid_are_read_at_the_maps_pixels() -> None:
    """A map of stride 2: its pixel is judged by the mask at its centre."""
    logits, masks = _scene(30)
    fine = [np.kron(mask, np.ones((2, 2), np.uint8)) for mask in masks]
    for truth in (masks, fine):
        given = context("segmentation", 30, targets=targets("mask", truth), shape=(3, 32, 32))
        made = evaluator_for(given)
        assert made is not None
        assert compared(made, logits, logits).metrics[0].value == pytest.approx(
            compared(
                evaluator_for(
                    context("segmentation", 30, targets=targets("mask", masks), shape=(3, 16, 16))
                ),
                logits,
                logits,
            )
            .metrics[0]
            .value
        )


def test_whole_numbers_below_nought_are_no_class() -> None:
    logits, masks = _scene(30)
    classes = logits.argmax(axis=1).astype(np.int32)
    classes[:, :2] = -1
    head = OutputHead(name="out", shape=(1, _SIZE, _SIZE), dtype="int32")
    for truth in (None, targets("mask", masks)):
        made = evaluator_for(context("segmentation", 30, targets=truth, heads=(head,)))
        assert made is not None
        stats = compared(made, classes, classes)
        assert stats.metrics[-1].value == 100.0


def test_pixels_of_255_are_not_judged() -> None:
    logits, masks = _scene(30)
    hidden = [np.where(mask == 2, 255, mask).astype(np.uint8) for mask in masks]
    given = context("segmentation", 30, targets=targets("mask", hidden))
    made = evaluator_for(given)
    assert made is not None
    (kept,) = made.reduce([logits[:1]], [logits[:1]], [0])
    assert kept[2].sum() == (hidden[0] != 255).sum() and kept[2, 2] == 0


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.full((16, 16), 7, np.uint8), "0.png holds the class 7; the network has 3"),
        (np.zeros((16, 16), np.float32), "0.png is float32"),
        (np.full((16, 16), 255, np.uint8), "the ground truth is empty"),
    ],
)
def test_masks_that_do_not_fit_are_named(mask: np.ndarray, words: str) -> None:
    logits, _ = _scene(21)
    made = evaluator_for(context("segmentation", 21, targets=targets("mask", [mask] * 21)))
    assert made is not None
    with pytest.raises(DataError, match=words):
        compared(made, logits, logits)


def test_a_map_of_one_class_throughout_proves_nothing() -> None:
    logits, _ = _scene(30)
    logits[:, 0] += 99
    made = evaluator_for(context("segmentation", 30))
    assert made is not None
    finding = judged(compared(made, logits, logits))
    assert finding.verdict == "inconclusive" and "class 0 throughout" in finding.message


def test_masks_shifted_by_one_class_prove_nothing() -> None:
    logits, masks = _scene(30)
    shifted = [(mask + 1) % 3 for mask in masks]
    made = evaluator_for(context("segmentation", 30, targets=targets("mask", shifted)))
    assert made is not None
    finding = judged(compared(made, logits, logits))
    assert finding.verdict == "inconclusive" and "FP32's own mIoU" in finding.message


def test_arguments_are_held_to_their_names() -> None:
    with pytest.raises(DataError, match="no argument 'treshold'") as raised:
        evaluator_for(context("segmentation", 3, arguments={"treshold": 0.4}))
    assert raised.value.hint == """did you mean threshold? --task-args '{"threshold": 0.4}'"""
    with pytest.raises(DataError, match="threshold is 'high'"):
        evaluator_for(context("segmentation", 3, arguments={"threshold": "high"}))
    with pytest.raises(DataError, match="no output 'masks'; it has out"):
        evaluator_for(context("segmentation", 3, arguments={"output": "masks"}))
