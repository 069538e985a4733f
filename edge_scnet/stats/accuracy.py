"""Accuracy of an engine against its reference: top-1, SQNR, calibration error.

Every figure that decides something comes with an interval. The intervals are score intervals, which
stay honest when next to nothing differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.chance import class_doubts, collapsed_doubts, one_class_doubts
from edge_scnet.stats.figures import AccuracyStats, LabelledStats, OutputStats
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, Z_TWO_SIDED_95, paired_difference_interval
from edge_scnet.stats.quantiles import binomial_cdf

_ECE_BINS = 15
# How far from 1 the sum of a row of probabilities may be, which runtimes round.
_SUM_APART = 1e-3
# Stands for all ratios that are as low: an output that should be 0 throughout and is not.
LEAST_DB = -200.0


def sqnr_db(reference: npt.ArrayLike, approximation: npt.ArrayLike) -> float | None:
    """The signal to quantization noise ratio, in float64.

    10 log10(sum(reference²) / sum((reference - approximation)²))

    Returns:
        Decibels over all elements together; None when there is no noise.

    Raises:
        ValueError: the shapes differ, an element is NaN or infinite, or the reference is zero
            throughout and the other is not.
    """
    signal = np.asarray(reference, dtype=np.float64)
    other = np.asarray(approximation, dtype=np.float64)
    if signal.shape != other.shape:
        raise ValueError(f"shapes differ: {signal.shape} and {other.shape}")
    for name, values in (("reference", signal), ("approximation", other)):
        if not np.isfinite(values).all():
            raise ValueError(
                f"the {name} has {np.count_nonzero(~np.isfinite(values))} NaN or infinite values"
            )
    signal_power = float(np.square(signal).sum())
    noise_power = float(np.square(signal - other).sum())
    if noise_power == 0.0:
        return None
    if signal_power == 0.0:
        raise ValueError("the reference is zero throughout: no ratio to its noise exists")
    return 10.0 * math.log10(signal_power / noise_power)


def relative_noise(
    reference: Sequence[npt.NDArray[Any]], approximation: Sequence[npt.NDArray[Any]]
) -> float:
    """Noise power over signal power, in float64 and averaged over the outputs.

    Its inverse in dB is an SQNR. An output that is zero throughout in the reference counts as
    without noise. Elements that are not finite, as behind a mask, are left out, and so are arrays
    of arrays.
    """
    return noise_over_power([noise_and_power(reference, approximation)])


def noise_and_power(
    reference: Sequence[npt.NDArray[Any]], approximation: Sequence[npt.NDArray[Any]]
) -> list[tuple[float, float]]:
    """Noise power and signal power of each output that `relative_noise` counts."""
    powers = []
    for signal, other in zip(reference, approximation, strict=True):
        if object in (signal.dtype, other.dtype):
            continue
        finite = np.isfinite(signal) & np.isfinite(other)
        own = np.where(finite, signal, 0).astype(np.float64)
        noise = float(np.square(own - np.where(finite, other, 0)).sum())
        powers.append((noise, float(np.square(own).sum())))
    return powers


def noise_over_power(parts: Sequence[Sequence[tuple[float, float]]]) -> float:
    """The relative noise of several parts of the same outputs, each `noise_and_power`."""
    sums = [np.sum(of_output, axis=0) for of_output in zip(*parts, strict=True)]
    ratios = [noise / power if power else 0.0 for noise, power in sums]
    return float(np.mean(ratios)) if ratios else 0.0


def accuracy_stats(
    logits: npt.ArrayLike, reference_logits: npt.ArrayLike, labels: npt.ArrayLike | None = None
) -> AccuracyStats:
    """Accuracy of an engine, paired with its reference image by image.

    Among equal logits the lowest index ranks first, in the first class as in the first five.

    Args:
        logits: [images, classes], any monotone scores.
        reference_logits: the same shape, the same images in the same order.
        labels: [images], class indices; None: unlabelled.

    Raises:
        ValueError: shapes that do not fit, no images, a label that is no class, NaN or infinite
            logits.
    """
    scores = np.asarray(logits, dtype=np.float64)
    reference = np.asarray(reference_logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != reference.shape or scores.size == 0:
        raise ValueError(
            f"logits must be two equal [images, classes], got {scores.shape} and {reference.shape}"
        )
    images, classes = scores.shape
    sqnr = sqnr_db(reference, scores)  # refuses NaN, which argmax would take for the largest
    first, reference_first = scores.argmax(axis=1), reference.argmax(axis=1)
    agreeing = int(np.count_nonzero(first == reference_first))
    truth = None if labels is None else _checked_labels(labels, images, classes)
    return AccuracyStats(
        images=images,
        agreement_percent=100.0 * agreeing / images,
        agreeing=agreeing,
        sqnr_db=sqnr,
        labels=None if truth is None else _labelled_stats(scores, reference, truth),
        doubts=(
            *(
                one_class_doubts(reference_first)
                if truth is None
                else class_doubts(reference_first, truth, classes)
            ),
            *collapsed_doubts(first, reference_first),
        ),
    )


def _labelled_stats(
    scores: npt.NDArray[np.float64],
    reference: npt.NDArray[np.float64],
    truth: npt.NDArray[np.int64],
) -> LabelledStats:
    images = len(truth)
    right, reference_right = scores.argmax(axis=1) == truth, reference.argmax(axis=1) == truth
    lost = int(np.count_nonzero(reference_right & ~right))
    won = int(np.count_nonzero(right & ~reference_right))
    low, high = paired_difference_interval(lost, won, images, z=Z_TWO_SIDED_95)
    lower95, upper95 = paired_difference_interval(lost, won, images, z=Z_ONE_SIDED_95)
    return LabelledStats(
        top1_percent=100.0 * float(right.mean()),
        top5_percent=_top5_percent(scores, truth),
        reference_top1_percent=100.0 * float(reference_right.mean()),
        lost=lost,
        won=won,
        drop_pp=100.0 * (lost - won) / images,
        drop_low_pp=100.0 * low,
        drop_high_pp=100.0 * high,
        drop_lower95_pp=100.0 * lower95,
        drop_upper95_pp=100.0 * upper95,
        mcnemar_p=mcnemar_p(lost, won),
        ece_percent=expected_calibration_error(scores, truth),
        reference_ece_percent=expected_calibration_error(reference, truth),
    )


def are_classes(array: npt.NDArray[Any]) -> bool:
    """Tells whether an output, images along the first axis, can be scores of classes.

    Of one column the largest is always the same, and whole numbers are classes already.
    """
    return array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f"


def output_stats(
    images: int,
    *,
    signal_power: Sequence[float],
    noise_power: Sequence[float],
    hidden_db: Sequence[float | None] = (),
) -> AccuracyStats:
    """Figures of an engine without classes (a backbone's feature maps): its worst output's SQNR.

    Args:
        signal_power: per output, the sum of squares of the reference's over all images.
        noise_power: per output, the sum of squares of the difference.
        hidden_db: the SQNR of parts of outputs that other parts hide.

    Raises:
        ValueError: a sum is NaN or infinite.
    """
    if not np.isfinite([*signal_power, *noise_power]).all():
        raise ValueError("the outputs have NaN or infinite values")
    ratios = [_ratio_db(*powers) for powers in zip(signal_power, noise_power, strict=True)]
    known = [db for db in (*ratios, *hidden_db) if db is not None]
    return AccuracyStats(
        images=images,
        agreement_percent=None,
        agreeing=None,
        sqnr_db=min(known, default=None),
        labels=None,
    )


def _ratio_db(signal: float, noise: float) -> float | None:
    """The ratio of two powers in dB; None: no noise. Noise where nothing should be is the worst."""
    if noise == 0:
        return None
    return max(10.0 * math.log10(signal / noise), LEAST_DB) if signal > 0 else LEAST_DB


def _checked_labels(labels: npt.ArrayLike, images: int, classes: int) -> npt.NDArray[np.int64]:
    truth = np.asarray(labels)
    if truth.shape != (images,) or not np.issubdtype(truth.dtype, np.integer):
        raise ValueError(
            f"labels must be {images} whole numbers, got {truth.dtype} of shape {truth.shape}"
        )
    if truth.min() < 0 or truth.max() >= classes:
        raise ValueError(
            f"labels must lie in 0 to {classes - 1}, got {truth.min()} to {truth.max()}"
        )
    return truth.astype(np.int64)


def _top5_percent(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> float | None:
    """Images whose class is among the first five; None with fewer than 6 classes."""
    if scores.shape[1] < 6:
        return None
    return 100.0 * float((_rank(scores, truth) < 5).mean())


def output_rows(
    names: Sequence[str],
    signal_power: Sequence[float],
    own_power: Sequence[float],
    noise_power: Sequence[float],
    hidden_db: Sequence[float | None] = (),
) -> tuple[OutputStats, ...]:
    """SQNR and cosine similarity of each output against the reference's, over all images.

    The cosine comes from the same sums: a.r = (|a|^2 + |r|^2 - |a - r|^2) / 2.

    Args:
        signal_power: per output, the sum of squares of the reference's r.
        own_power: the same of this engine's a.
        noise_power: the same of a - r.
        hidden_db: per output, the SQNR of a part that another part hides; it is the output's where
            it is lower.
    """
    rows = []
    hidden = hidden_db or (None,) * len(names)
    for name, signal, own, noise, part in zip(
        names, signal_power, own_power, noise_power, hidden, strict=True
    ):
        scale = math.sqrt(signal * own)
        whole = _ratio_db(signal, noise)
        rows.append(
            OutputStats(
                name=name,
                identical=noise == 0,
                sqnr_db=min((db for db in (whole, part) if db is not None), default=None),
                cosine=min(1.0, (own + signal - noise) / (2.0 * scale)) if scale > 0 else None,
            )
        )
    return tuple(rows)


def probabilities(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The softmax of logits; rows that are probabilities already stay as they are.

    Args:
        scores: [images, classes].
    """
    values = np.asarray(scores, dtype=np.float64)
    # not np.allclose: of one image it takes longer than all the rest
    if values.size and values.min() >= 0 and np.abs(values.sum(axis=1) - 1).max() <= _SUM_APART:
        return values
    exponents = np.exp(values - values.max(axis=1, keepdims=True))
    shares: npt.NDArray[np.float64] = exponents / exponents.sum(axis=1, keepdims=True)
    return shares


def top_k(
    scores: npt.ArrayLike, count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The `count` most probable classes of each image and their probabilities, best first.

    Of equally probable classes the one with the lower index goes first.

    Args:
        scores: [images, classes], logits or probabilities.
    """
    shares = probabilities(scores)
    best = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    # np.take_along_axis takes as long as all the rest, of one image with a few classes
    return best, shares[np.arange(len(shares))[:, None], best]


def expected_calibration_error(scores: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """How far confidence is from being right, in percentage points.

    The sum over 15 equal bins of share x |accuracy - confidence|: C. Guo, G. Pleiss, Y. Sun, K.
    Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    shares, truth = probabilities(scores), np.asarray(labels)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == truth
    bins = np.minimum((confidence * _ECE_BINS).astype(int), _ECE_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=_ECE_BINS)
    return float(100.0 * np.abs(gaps).sum() / len(truth))


def mcnemar_p(lost: int, won: int) -> float:
    """The p value of McNemar's test, exact and two-sided.

    It says how likely a split this uneven is when lost and won are equally probable:
    2 P(X <= min(lost, won)) for X binomial(lost + won, 1/2), at most 1.

    Raises:
        ValueError: a count is negative.
    """
    if lost < 0 or won < 0:
        raise ValueError(f"counts must not be negative, got {lost} and {won}")
    return min(1.0, 2.0 * float(binomial_cdf(lost + won, min(lost, won))[-1]))


def _rank(logits: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The place of the true class, from 0.

    It is the number of classes with a larger logit, or with an equal one and a lower index.
    """
    own = np.take_along_axis(logits, truth[:, None], axis=1)
    earlier = np.arange(logits.shape[1])[None, :] < truth[:, None]
    ahead: npt.NDArray[np.int64] = np.count_nonzero(
        (logits > own) | ((logits == own) & earlier), axis=1
    )
    return ahead
