"""The figures of `zoo.py`: SQNR by image and output, and what one quantizer has over another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_scnet.stats.bootstrap import Weights, paired_bootstrap
from edge_scnet.stats.decibels import comparable, of_relative_noise


@dataclass(frozen=True, kw_only=True)
class Powers:
    """Sums of squares by image and output, [images, outputs]."""

    signal: np.ndarray
    # of the difference to the reference
    noise: np.ndarray

    def relative_noise(self, weights: Weights) -> np.ndarray:
        """Noise over signal by resample and output, [resamples, outputs].

        Args:
            weights: how often each image was drawn, [resamples, images].
        """
        signal, noise = weights @ self.signal, weights @ self.noise
        # an output that is zero throughout counts as without noise
        return np.divide(noise, signal, out=np.zeros_like(noise), where=signal > 0)


def powers_of(
    reference: Sequence[np.ndarray], outputs: Sequence[np.ndarray], images: int
) -> Powers:
    """The powers of all outputs.

    Args:
        reference, outputs: what images give stands one behind the other along the first axis.
    """
    signal, noise = [], []
    for want, have in zip(reference, outputs, strict=True):
        own = want.reshape(images, -1).astype(np.float64)
        signal.append(np.square(own).sum(axis=1))
        noise.append(np.square(own - have.reshape(images, -1)).sum(axis=1))
    return Powers(signal=np.stack(signal, axis=1), noise=np.stack(noise, axis=1))


def quality_of(powers: Powers) -> dict[str, Any]:
    """SQNR in dB; None: no noise.

    `sqnr_db` is of the relative noise of all outputs, which the worst decides; `mean_db` the mean
    of the outputs' own.
    """
    relative = powers.relative_noise(np.ones((1, len(powers.signal))))[0].tolist()
    each = [of_relative_noise(noise) for noise in relative]
    known = [db for db in each if db is not None]
    return {
        "sqnr_db": of_relative_noise(float(np.mean(relative))),
        "mean_db": float(np.mean(known)) if len(known) == len(each) else None,
        "worst_db": min(each, key=comparable),
        "outputs_db": each,
    }


def gain_db(own: Powers, other: Powers) -> list[float] | None:
    """What the SQNR of `own` is above that of `other` on the same images, in dB.

    Returns:
        The gain and its two-sided 95 % interval by a paired bootstrap over the images; None: one of
        them has no noise.
    """

    def loss(weights: Weights) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            own_db, other_db = (
                -10.0 * np.log10(powers.relative_noise(weights).mean(axis=1))
                for powers in (own, other)
            )
            change: np.ndarray = np.where(np.isfinite(own_db - other_db), other_db - own_db, np.nan)
            return change

    found = paired_bootstrap(len(own.signal), loss)
    return None if found is None else [0.0 - loss for loss in (found.loss, found.high, found.low)]


def agreement_percent(reference: np.ndarray, scores: np.ndarray) -> float:
    """The share of images whose largest score is of the same class, in percent."""
    own, other = (
        np.reshape(array, (len(array), -1)).argmax(axis=1) for array in (reference, scores)
    )
    return 100.0 * float(np.mean(own == other))
