"""Binary classification: one score and a threshold, or two columns of which the larger counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.errors import DataError
from edge_scnet.stats.accuracy import probabilities
from edge_scnet.stats.chance import class_doubts, collapsed_doubts, one_class_doubts
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks import vectors
from edge_scnet.tasks.arguments import OUTPUT, checked, number, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import (
    Kind,
    agreement,
    mean_over_samples,
    packed,
    paired_share,
    worst_of,
)
from edge_scnet.tasks.readout import Classes, Readout

TASK = "binary"
_ARGUMENTS = {
    "output": OUTPUT,
    "threshold": "of the score; above it is class 1. Of two columns: of class 1's probability",
}


def evaluator(context: Context) -> Binary:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or labels of more than two classes.
    """
    given = checked(TASK, context, _ARGUMENTS)
    return Binary(
        context=context,
        output=output_of(TASK, context),
        threshold=number(TASK, given, "threshold"),
        truth=_truth(context),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """Keeps each sample's score, and whether it is class 1."""

    context: Context
    output: int
    threshold: float | None
    # [samples]; None: unlabelled
    truth: npt.NDArray[np.int64] | None
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, its one or two columns: all samples together tell what they are.

        Raises:
            DataError: the output has more than two columns.
        """
        own = vectors.rows(outputs[self.output])
        self._check(own)
        return list(own)

    def _scores(
        self, own: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], float]:
        """The score of each sample, and above which it is class 1.

        Raises:
            DataError: the output has more than two columns.
        """
        self._check(own)
        if own.shape[1] == 1:
            known = reference.astype(float)
            return own[:, 0], vectors.cut_at(self.context, self.output, self.threshold, known)
        if self.threshold is None:
            return own[:, 1] - own[:, 0], 0.0
        return probabilities(own)[:, 1].astype(np.float32), self.threshold

    def _check(self, own: npt.NDArray[np.float32]) -> None:
        if own.shape[1] > 2:
            raise DataError(
                f"binary: {self.context.output_name(self.output)} has {own.shape[1]} columns; one"
                " score or two are wanted",
                hint="--task classification or multilabel",
            )

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The class that is said first, and how probable each is.

        Raises:
            DataError: the output has more than two columns.
        """
        own = vectors.rows(outputs[self.output][:1])
        scores, limit = self._scores(own, own)
        share = float(vectors.as_probabilities(scores, limit)[0])
        if own.shape[1] == 2:
            share = float(probabilities(own)[0, 1])
        both = ((1, share), (0, 1.0 - share))
        said = both if scores[0] > limit else both[::-1]
        names = self.context.spec.classes
        return Readout(
            task=TASK,
            form=Classes(
                indices=tuple(each for each, _ in said), shares=tuple(each for _, each in said)
            ),
            names=(f"not {names[0]}", names[0]) if len(names) == 1 else names,
        )

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """Accuracy at the threshold where there are labels, agreement, and the scores' error."""
        mine, theirs = np.array(own, np.float32), np.array(reference, np.float32)
        found, limit = self._scores(mine, theirs)
        other_found, _ = self._scores(theirs, theirs)
        said, other = found > limit, other_found > limit
        scores, other_scores = found.astype(np.float64), other_found.astype(np.float64)
        error = vectors.per_cent_of_spread(scores[:, None], other_scores[:, None])
        metrics: list[Metric] = []
        losses, values = error, None
        doubts: tuple[str, ...] = ()
        if self.truth is not None:
            right, was = said == self.truth, other == self.truth
            metrics.append(paired_share("accuracy", right, was))
            losses, values = was.astype(float) - right, 100.0 * right
            doubts = class_doubts(other.astype(int), self.truth, 2)
        else:
            doubts = one_class_doubts(other.astype(int))
        doubts = (*doubts, *collapsed_doubts(said.astype(int), other.astype(int)))
        metrics.append(agreement("agreement", said == other))
        kind = Kind(name="score error to FP32", unit="%", higher_is_better=False)
        if not np.isnan(error).all():
            metrics.append(mean_over_samples(kind, error, None))
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=_rule(self.context) if self.truth is not None else None,
            metrics=tuple(metrics),
            slices=vectors.column_slices(
                self.context, self.output, scores[:, None], other_scores[:, None], ("score",)
            ),
            doubts=doubts,
            worst=worst_of(self.context, losses),
            per_sample=None if values is None else packed(self.context, values),
        )


def _truth(context: Context) -> npt.NDArray[np.int64] | None:
    """The classes of the samples, 0 or 1.

    Raises:
        DataError: there are others.
    """
    found: Sequence[Any] | None = context.labels
    if found is None:
        listed = vectors.truths(context, TASK, ("labels", "values"))
        if listed is None:
            return None
        found = [np.asarray(each).ravel()[-1] for each in listed]
    classes = np.array([float(each) for each in found])
    strange = classes[(classes != 0) & (classes != 1)]
    if strange.size:
        raise DataError(
            f"binary: a sample has the label {strange[0]:g}; 0 and 1 are allowed",
            hint="--task regression for values, classification for more classes",
        )
    return classes.astype(np.int64)


def _rule(context: Context) -> str:
    if context.targets is not None and context.labels is None:
        return context.targets.rule
    return context.label_rule or "labels"
