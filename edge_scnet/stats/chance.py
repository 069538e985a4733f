"""Whether predictions know anything of the labels: FP32's own accuracy is questioned too."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.intervals import Z_ONE_SIDED_95, wilson_bounds
from edge_scnet.stats.quantiles import binomial_cdf

# A shift of the labels is named where it is right so much more often, in standard deviations.
_SURE_Z = 4.0
# The same of figures in %.
_SHIFT_PP = 10.0
# Fewer images may well be of one class.
_LEAST_IMAGES = 20
# Cohen's kappa, the share that is right beyond chance of what could be: below 0.2 it is "slight" in
# J. R. Landis, G. G. Koch, The Measurement of Observer Agreement for Categorical Data, Biometrics
# 1977. Many samples make a tenth of that significant, and it is next to chance all the same.
NEXT_TO_CHANCE, _SLIGHT = 0.05, 0.2
# Of unlabelled images of which FP32 says one class: an engine that says no other agrees as often as
# gates.min_agreement_percent asks for.
_NEARLY_ALL = 0.99


def class_doubts(predicted: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> tuple[str, ...]:
    """Why labelled images prove nothing of a classifier; nothing where it is above chance.

    By chance predictions that do not know the labels are right with the probability sum(p_c q_c),
    for the shares p of the predictions and q of the labels: a network that says one class
    throughout is right as often as there are such labels. More than chance is what a binomial test
    tells from it, one-sided at 5 %, and what has a kappa of 0.05; where the most frequent label
    alone would be right significantly more often, of 0.2.

    Args:
        predicted: [images], the reference's classes.
        labels: [images].
        classes: of the network.
    """
    said, truth = np.asarray(predicted), np.asarray(labels)
    count = len(truth)
    right = int((said == truth).sum())
    shifted = _shifted(said, truth, classes)
    if shifted is not None:
        return (shifted,)
    shares = np.bincount(said, minlength=classes) @ np.bincount(truth, minlength=classes)
    chance = float(shares) / count**2
    if len(np.unique(truth)) < 2:
        if count < _LEAST_IMAGES:
            return ()
        return (
            f"all {count:,} images have the label {int(truth[0])}: they show nothing of the other"
            " classes",
        )
    often = int(np.bincount(truth).max()) / count
    kappa = beyond_chance(right / count, chance)
    is_below = wilson_bounds(right, count, z=Z_ONE_SIDED_95)[1] < often
    if not above_chance(right, count, chance):
        words = f"not above chance ({100 * chance:.1f} %)"
    elif kappa < NEXT_TO_CHANCE:
        words = f"next to chance ({100 * chance:.1f} %; kappa {kappa:.2f})"
    elif is_below and kappa < _SLIGHT:
        words = f"less than the most frequent label alone has ({100 * often:.1f} %)"
    else:
        return ()
    return (
        f"FP32 itself is right on {100 * right / count:.1f} % of {count:,} images, which is"
        f" {words}: are the preprocessing and the order of the classes the network's?",
    )


def beyond_chance(value: float, chance: float) -> float:
    """How much of what chance leaves is reached: Cohen's kappa of a share that is right.

    J. Cohen, A Coefficient of Agreement for Nominal Scales, 1960.
    """
    return (value - chance) / (1.0 - chance) if chance < 1.0 else 0.0


def collapsed_doubts(predicted: npt.ArrayLike, reference: npt.ArrayLike) -> tuple[str, ...]:
    """Why classes prove nothing of an engine that says one of them throughout, where FP32 does not.

    Where nearly all samples are of that class it loses next to nothing, and has learnt nothing.

    Args:
        predicted, reference: [images], the classes of the engine and of FP32.
    """
    said, other = np.asarray(predicted), np.asarray(reference)
    if len(said) < _LEAST_IMAGES or (said != said[0]).any() or not (other != other[0]).any():
        return ()
    return (
        f"the engine says class {int(said[0])} for all {len(said):,} images, FP32 another one for"
        f" {int((other != said[0]).sum()):,}: give images of which more are of other classes",
    )


def shift_doubt(figure: str, own: float, moved: dict[int, float]) -> tuple[str, ...]:
    """Says that classes of the ground truth are one off, where FP32 fits them so much better.

    Args:
        figure: its name.
        own: FP32's own figure, in %.
        moved: the same by how far each class of the ground truth is moved.
    """
    step = max(moved, key=lambda each: moved[each])
    if not moved[step] >= own + _SHIFT_PP:
        return ()
    return (
        f"FP32's own {figure} is {own:.1f} %, and {moved[step]:.1f} % where every class of the"
        f" ground truth is {step:+d}: do classes count from {'1' if step > 0 else '0'}?",
    )


def one_class_doubts(predicted: npt.ArrayLike) -> tuple[str, ...]:
    """Why unlabelled images prove nothing of a classifier: the reference says one class for all.

    Args:
        predicted: [images], the reference's classes.
    """
    said = np.asarray(predicted)
    found, counts = np.unique(said, return_counts=True)
    most = int(counts.max())
    if len(said) < _LEAST_IMAGES or most < _NEARLY_ALL * len(said):
        return ()
    all_of = f"all {len(said):,}" if most == len(said) else f"{most:,} of {len(said):,}"
    return (
        f"FP32 says class {int(found[counts.argmax()])} for {all_of} unlabelled images: they show"
        " nothing of the other classes, or the inputs are not what the network was trained on",
    )


def above_chance(right: int, count: int, chance: float) -> bool:
    """Whether so many are right with a probability of less than 5 %, one-sided, by chance.

    P(X >= right) for X binomial(count, chance); of few images 5 % may be out of reach, and no
    image can then speak against the network.
    """
    if chance >= 1.0:
        return True
    if chance <= 0.0:
        return right > 0
    if right == 0:
        return False
    below = float(binomial_cdf(count, right - 1, chance)[-1])
    return 1.0 - below < 0.05


def _shifted(said: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], classes: int) -> str | None:
    """Says that labels are one off, where the predictions fit them so much better; else None."""
    count, right = len(truth), int((said == truth).sum())
    for step in (1, -1):
        moved = int((said == truth + step).sum())
        spread = math.sqrt(max(moved + right, 1))
        if moved > 2 * right and moved - right > _SURE_Z * spread:
            return (
                f"FP32 itself is right on {100 * right / count:.1f} % of {count:,} images, and on"
                f" {100 * moved / count:.1f} % where every label is {step:+d}: do classes count"
                f" from {'1' if step > 0 else '0'}?"
            )
    return None


def better_than(own: npt.ArrayLike, other: npt.ArrayLike, *, tests: int = 1) -> bool:
    """Whether errors are smaller than others of the same samples, on average, beyond their noise.

    By the normal approximation of the mean difference, one-sided at 5 %.

    Args:
        own, other: [samples]; NaN: the sample says nothing.
        tests: how many such questions are asked, which Bonferroni divides the 5 % by.
    """
    gain = np.asarray(other, np.float64) - np.asarray(own, np.float64)
    gain = gain[~np.isnan(gain)]
    if len(gain) < 2:
        return bool((gain > 0).any())
    z = NormalDist().inv_cdf(1.0 - 0.05 / tests)
    return float(gain.mean()) > z * float(gain.std(ddof=1)) / math.sqrt(len(gain))


def ranks_above_chance(
    same: npt.ArrayLike, different: npt.ArrayLike, *, samples: int | None = None
) -> bool:
    """Whether scores of pairs of one identity lie above those of others, by Mann and Whitney.

    Args:
        same, different: the scores of each kind of pair.
        samples: how many are in these pairs: only half as many of them are independent; None: all
            pairs are.
    """
    first, second = np.asarray(same, np.float64), np.asarray(different, np.float64)
    m, n = len(first), len(second)
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, side="left")
    upto = np.searchsorted(ordered, first, side="right")
    share = float((below + upto).sum()) / 2 / (m * n)
    if samples is not None:
        m, n = (max(min(count, samples // 2), 1) for count in (m, n))
    return share - 0.5 > Z_ONE_SIDED_95 * math.sqrt((m + n + 1) / (12.0 * m * n))
