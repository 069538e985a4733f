"""AP accumulated here against COCOeval.accumulate, of the samples and of resamples of them."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from edge_scnet.core.targets import Boxes
from edge_scnet.tasks.decoders.base import Detections
from edge_scnet.tasks.detection_ap import average_precision, evaluated, match

pytest.importorskip("pycocotools", reason="pycocotools is not installed")


def boxes(rng: np.random.Generator, count: int, *, classes: int, crowd: float = 0.0) -> Boxes:
    start = rng.uniform(0, 300, (count, 2))
    size = rng.uniform(8, 150, (count, 2))
    return Boxes(
        corners=np.concatenate([start, start + size], axis=1).astype(np.float32),
        classes=rng.integers(0, classes, count),
        crowd=rng.random(count) < crowd,
        areas=size.prod(axis=1).astype(np.float32),
    )


def detections(
    rng: np.random.Generator, truth: Boxes, *, classes: int, noise: float, more: int
) -> Detections:
    """Each object about where it is, and boxes at random."""
    found = truth.corners + rng.normal(0, noise, truth.corners.shape)
    others = boxes(rng, more, classes=classes)
    corners = np.concatenate([found, others.corners]).astype(np.float32)
    corners[:, 2:] = np.maximum(corners[:, 2:], corners[:, :2] + 1)
    return Detections(
        corners=corners,
        scores=rng.random(len(corners)).astype(np.float32),
        classes=np.concatenate([truth.classes, others.classes]).astype(np.int64),
    )


def sets(
    seed: int, images: int, *, classes: int = 4, crowd: float = 0.1, noise: float = 6.0
) -> tuple[list[Boxes], list[Detections]]:
    rng = np.random.default_rng(seed)
    truth = [
        boxes(rng, int(rng.integers(0, 8)), classes=classes, crowd=crowd) for _ in range(images)
    ]
    found = [
        detections(rng, each, classes=classes, noise=noise, more=int(rng.integers(0, 9)))
        for each in truth
    ]
    return truth, found


def official(truth: list[Boxes], found: list[Detections], most: int = 100) -> np.ndarray:
    """AP by IoU limit as pycocotools accumulates it."""
    coco_eval = evaluated(truth, found, most=most)
    with contextlib.redirect_stdout(io.StringIO()):
        coco_eval.accumulate()
    precision = coco_eval.eval["precision"][:, :, :, 0, 0]
    return np.array([of_limit[of_limit > -1].mean() for of_limit in precision])


def own(truth: list[Boxes], found: list[Detections], counts: np.ndarray) -> np.ndarray:
    return average_precision(match(truth, found), counts)


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_the_samples_is_that_of_pycocotools(seed: int):
    truth, found = sets(seed, 40, crowd=0.0 if seed % 2 else 0.2)
    ap = own(truth, found, np.ones((1, 40)))[0]
    assert 0.05 < ap[0] < 1
    assert np.abs(ap - official(truth, found)).max() < 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_ap_of_a_resample_is_that_of_the_images_so_often(seed: int):
    truth, found = sets(seed, 25)
    counts = np.random.default_rng(seed).multinomial(25, [1 / 25] * 25, size=3).astype(float)
    aps = own(truth, found, counts)
    for row, ap in zip(counts, aps, strict=True):
        drawn = np.repeat(np.arange(25), row.astype(int))
        wanted = official([truth[i] for i in drawn], [found[i] for i in drawn])
        assert np.abs(ap - wanted).max() < 1e-12


def test_limits_may_be_chosen():
    truth, found = sets(1, 20)
    matches, counts = match(truth, found), np.ones((2, 20))
    whole = average_precision(matches, counts)
    assert np.array_equal(average_precision(matches, counts, limits=(0, 5)), whole[:, [0, 5]])


def test_detections_beyond_the_most_do_not_count():
    truth, found = sets(3, 20)
    ap = average_precision(match(truth, found, most=2), np.ones((1, 20)))[0]
    assert np.abs(ap - official(truth, found, most=2)).max() < 1e-12
    assert ap[0] < own(truth, found, np.ones((1, 20)))[0, 0]


def test_a_perfect_detector_has_100_percent_and_a_blind_one_0():
    truth, found = sets(2, 12, crowd=0.0, noise=0.0)
    counts = np.ones((1, 12))
    perfect = [
        Detections(corners=b.corners, scores=np.ones(len(b.classes)), classes=b.classes)
        for b in truth
    ]
    assert own(truth, perfect, counts) == pytest.approx(np.ones((1, 10)))
    blind = [
        Detections(corners=np.zeros((0, 4)), scores=np.zeros(0), classes=np.zeros(0, np.int64))
    ] * 12
    assert (own(truth, blind, counts) == 0).all()
    assert (own(truth, found, counts) < 1).all()


def test_a_resample_without_objects_has_no_ap_and_one_without_a_class_has_that_of_the_others():
    truth, found = sets(5, 6, classes=2, crowd=0.0)
    empty = Boxes(
        corners=np.zeros((0, 4), np.float32),
        classes=np.zeros(0, np.int64),
        crowd=np.zeros(0, bool),
        areas=np.zeros(0, np.float32),
    )
    counts = np.array([[0] * 6 + [7], [1] * 6 + [1]], float)
    ap = own([*truth, empty], [*found, found[0]], counts)
    assert np.isnan(ap[0]).all() and np.isfinite(ap[1]).all()
    only = [i for i, each in enumerate(truth) if set(each.classes.tolist()) == {1}]
    counts = np.array([[1.0 if i in only else 0.0 for i in range(6)]])
    assert only
    wanted = official([truth[i] for i in only], [found[i] for i in only])
    assert np.abs(own(truth, found, counts)[0] - wanted).max() < 1e-12
