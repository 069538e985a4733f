"""Several labels a sample: mean average precision where they are known, and agreement by label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.stats.chance import shift_doubt
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks import vectors
from edge_scnet.tasks.arguments import OUTPUT, checked, number, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.equal import equal_share
from edge_scnet.tasks.metrics import Kind, bootstrapped, worst_of
from edge_scnet.tasks.readout import Labels, Readout
from edge_scnet.tasks.vectors import Values

TASK = "multilabel"
# Other orders of the samples that scores are compared with, and how far above their mean a mAP is:
# by a tenth of it, or of what it leaves to 100 % where that is less.
_ORDERS, _ABOVE, _SEED = 19, 0.1, 7
_ARGUMENTS = {"output": OUTPUT, "threshold": "of the scores; above it a label applies"}


def evaluator(context: Context) -> MultiLabel:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or targets that are no labels.
    """
    given = checked(TASK, context, _ARGUMENTS)
    vectors.truths(replace(context, count=0), TASK, ("labels",))
    return MultiLabel(
        context=context,
        output=output_of(TASK, context),
        threshold=number(TASK, given, "threshold"),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiLabel:
    """Keeps each sample's scores, and which labels apply."""

    context: Context
    output: int
    threshold: float | None
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, the scores [labels]: all samples together tell what they are."""
        return list(vectors.rows(outputs[self.output]))

    def check_truth(self, kept: Any) -> None:
        """Holds the truth to the columns that were kept of a sample, before all samples run.

        Raises:
            DataError: it has another number of labels.
        """
        vectors.truth_rows(self.context, TASK, "labels", len(kept))

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The labels that apply, and how probable each is."""
        own = vectors.rows(outputs[self.output][:1])
        limit = vectors.cut_at(self.context, self.output, self.threshold, own.astype(float))
        scores = vectors.as_probabilities(own, limit)
        targets = self.context.targets
        return Readout(
            task=TASK,
            form=Labels(applies=own[0] > limit, scores=scores[0]),
            names=self.context.spec.classes if targets is None else targets.names,
        )

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """mAP and F1 where labels are known; agreement by label, F1 against FP32's labels.

        Raises:
            DataError: the labels do not fit the output, or none applies to any sample.
        """
        scores, other_scores = (
            np.array(each, np.float32).astype(np.float64) for each in (own, reference)
        )
        limit = vectors.cut_at(self.context, self.output, self.threshold, other_scores)
        said, other = scores > limit, other_scores > limit
        differing = (said != other).mean(axis=1)
        metrics, losses = [equal_share("label agreement", differing, said.shape[1])], differing
        if other.any():
            kind = Kind(name="F1 to FP32", unit="%", perfect=100.0)
            metrics.append(bootstrapped(kind, _f1_of(said, other), None, len(own)))
        truth = vectors.truth_rows(self.context, TASK, "labels", said.shape[1])
        doubts: tuple[str, ...] = ()
        if truth is not None:
            applies = truth > 0
            if not applies.any():
                raise DataError(
                    "the ground truth is empty: no label applies to any sample",
                    hint="look at what is read: edge-scnet data check MODEL --eval DATA",
                )
            metrics = [*_against_truth((scores, said), (other_scores, other), applies), *metrics]
            losses = ((said != applies).mean(axis=1) - (other != applies).mean(axis=1)).clip(0)
            doubts = (
                *_doubts(metrics[0], other_scores, applies),
                *_shifted(metrics[0], other_scores, applies),
            )
        names = self.context.targets.names if self.context.targets else self.context.spec.classes
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=self.context.targets.rule if self.context.targets else None,
            metrics=tuple(metrics),
            slices=vectors.column_slices(
                self.context, self.output, scores, other_scores, tuple(names)
            ),
            doubts=doubts,
            worst=worst_of(self.context, losses),
        )


def _against_truth(
    own: tuple[Values, npt.NDArray[np.bool_]],
    reference: tuple[Values, npt.NDArray[np.bool_]],
    applies: npt.NDArray[np.bool_],
) -> list[Metric]:
    """mAP and F1.

    Args:
        own, reference: scores, and which labels are said to apply.
    """
    count = len(applies)
    return [
        bootstrapped(
            Kind(name="mAP", unit="%"),
            mean_average_precision(own[0], applies),
            mean_average_precision(reference[0], applies),
            count,
        ),
        replace(
            bootstrapped(
                Kind(name="F1", unit="%"),
                _f1_of(own[1], applies),
                _f1_of(reference[1], applies),
                count,
            ),
            # the order of scores may stay while all of them fall below the threshold
            decides=True,
        ),
    ]


def _f1_of(said: npt.NDArray[np.bool_], applies: npt.NDArray[np.bool_]) -> Any:
    """F1 over all labels and samples together, in %, as a figure of resamples."""
    both = (said & applies).sum(axis=1).astype(np.float64)
    each = (said.sum(axis=1) + applies.sum(axis=1)).astype(np.float64)

    def figure(weights: Weights) -> Values:
        with np.errstate(invalid="ignore", divide="ignore"):
            values: Values = 200.0 * (weights @ both) / (weights @ each)
        return values

    return figure


def mean_average_precision(scores: Values, applies: npt.NDArray[np.bool_]) -> Any:
    """The mean of the labels' average precision in %, as a figure of resamples.

    Precision at each sample to which the label applies, among those with the same score or a higher
    one; labels that apply to no sample of a resample are left out.

    Args:
        scores: [samples, labels].
        applies: the truth.
    """
    labels = [label for label in range(scores.shape[1]) if applies[:, label].any()]
    parts = [_sorted(scores[:, label], applies[:, label]) for label in labels]

    def figure(weights: Weights) -> Values:
        found = np.stack([_average_precision(weights, *part) for part in parts])
        known = ~np.isnan(found)
        with np.errstate(invalid="ignore", divide="ignore"):
            values: Values = 100.0 * np.where(known, found, 0.0).sum(axis=0) / known.sum(axis=0)
        return values

    return figure


def _sorted(
    scores: Values, applies: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The order of scores; where each positive's group of equal scores ends; the positives."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    ends = np.searchsorted(-ordered, -ordered, side="right") - 1
    positives = np.flatnonzero(applies[order])
    return order, ends[positives], positives


def _average_precision(
    weights: Weights,
    order: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    positives: npt.NDArray[np.int64],
) -> Values:
    drawn = np.take(weights, order, axis=1)
    all_so_far = np.take(np.cumsum(drawn, axis=1), ends, axis=1)
    of_positives = np.take(drawn, positives, axis=1)
    # how many positives there are up to the end of each one's group
    last = np.searchsorted(positives, ends, side="right") - 1
    right_so_far = np.take(np.cumsum(of_positives, axis=1), last, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(all_so_far > 0, right_so_far / all_so_far, 0.0)
        values: Values = (precision * of_positives).sum(axis=1) / of_positives.sum(axis=1)
    return values


def _shifted(mean_ap: Metric, scores: Values, applies: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Says that labels are one column off, where FP32's scores fit them so much better."""
    if mean_ap.reference is None or scores.shape[1] < 2:
        return ()
    once = np.ones((1, len(scores)))
    moved = {
        step: float(mean_average_precision(scores, np.roll(applies, step, axis=1))(once)[0])
        for step in (1, -1)
    }
    return shift_doubt("mAP", mean_ap.reference, moved)


def _doubts(mean_ap: Metric, scores: Values, applies: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Why the samples prove nothing: FP32's ranking is no better than that of other samples.

    A permutation test: of 20 orders of the samples, the own one among them, it is the best with a
    probability of 5 % where scores know nothing of the labels. Of rare labels the mAP of any order
    is far above their share.
    """
    if mean_ap.reference is None:
        return ()
    rng, once = np.random.default_rng(_SEED), np.ones((1, len(scores)))
    others = [
        float(mean_average_precision(scores[rng.permutation(len(scores))], applies)(once)[0])
        for _ in range(_ORDERS)
    ]
    chance = sum(others) / _ORDERS
    if mean_ap.reference > max(*others, chance + _ABOVE * min(chance, 100.0 - chance)):
        return ()
    return (
        f"FP32's own mAP is {mean_ap.reference:.1f} %, scores by chance have {chance:.1f} %: are"
        " the preprocessing and the order of the labels the network's?",
    )
