"""Regression: the error in the output's own units, and relative; or the distance from FP32."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edge_scnet.stats.chance import better_than
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.stats.slices import rows_of, slices_of
from edge_scnet.tasks import vectors
from edge_scnet.tasks.arguments import OUTPUT, checked, output_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import Kind, mean_over_samples, packed, worst_of
from edge_scnet.tasks.readout import Numbers, Readout, read_outputs
from edge_scnet.tasks.vectors import Values

TASK = "regression"
_ARGUMENTS = {"output": OUTPUT}
# More values a sample are a map, of which sums are kept.
_MOST_COLUMNS = 1024
_NAMED = 8


def evaluator(context: Context) -> Regression:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that are none, or targets that are no values.
    """
    checked(TASK, context, _ARGUMENTS)
    vectors.truths(replace(context, count=0), TASK, ("values",))
    return Regression(context=context, output=output_of(TASK, context))


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """Keeps each sample's values; of maps how far they are from the reference's."""

    context: Context
    output: int
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, its values; or the sum of a map's differences, and its rows."""
        own, other = (vectors.rows(each[self.output]) for each in (outputs, reference))
        if own.shape[1] <= _MOST_COLUMNS or self.context.targets is not None:
            return list(own)
        distance = np.abs(own.astype(np.float64) - other).mean(axis=1)
        return list(zip(distance, rows_of(own, other, 0), strict=True))

    def check_truth(self, kept: Any) -> None:
        """Holds the truth to the columns that were kept of a sample, before all samples run.

        Raises:
            DataError: it has another number of values.
        """
        if not isinstance(kept, tuple):  # of maps
            vectors.truth_rows(self.context, TASK, "values", len(kept))

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The values; of a map its range."""
        own = vectors.rows(outputs[self.output][:1])[0]
        if len(own) > _MOST_COLUMNS:
            return read_outputs(TASK, self.context, outputs)
        targets = self.context.targets
        names = () if targets is None else targets.names
        return Readout(task=TASK, form=Numbers(values=own), names=names)

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """The mean absolute and relative error, or the distance from FP32 relative to its spread.

        Raises:
            DataError: the truth does not fit the output.
        """
        if isinstance(own[0], tuple):
            return self._of_maps(own)
        values, other = (np.array(each, np.float64) for each in (own, reference))
        names = self.context.targets.names if self.context.targets else ()
        truth = vectors.truth_rows(self.context, TASK, "values", values.shape[1])
        distance = vectors.per_cent_of_spread(values, other)
        kind = Kind(name="error to FP32", unit="%", higher_is_better=False)
        metrics = [mean_over_samples(kind, distance, None)]
        losses, errors = distance, None
        doubts: tuple[str, ...] = ()
        if np.isnan(distance).all():
            doubts = ("FP32 gives the same values for every sample",)
            metrics = [_absolute("distance from FP32", np.abs(values - other).mean(axis=1))]
        if truth is not None:
            found, errors = _against_truth(values, other, truth, names)
            metrics = [*found, *metrics]
            losses = np.abs(values - truth).mean(axis=1) - np.abs(other - truth).mean(axis=1)
            doubts = (*doubts, *_doubts(other, truth))
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=self.context.targets.rule if self.context.targets else None,
            metrics=tuple(metrics),
            slices=vectors.column_slices(self.context, self.output, values, other, names),
            doubts=doubts,
            worst=worst_of(self.context, losses),
            per_sample=None if errors is None else packed(self.context, errors),
        )

    def _of_maps(self, own: Sequence[Any]) -> TaskStats:
        distance = np.array([kept[0] for kept in own])
        kept = [each[1] for each in own]
        count = sum(each.places for each in kept)
        total, squares = (sum(float(each.sums[row].sum()) for each in kept) for row in (0, 1))
        variance = squares / count - (total / count) ** 2
        constant = variance <= 1e-12 * squares / count
        kind = Kind(name="error to FP32", unit="%", higher_is_better=False)
        metric = (
            _absolute("distance from FP32", distance)
            if constant
            else mean_over_samples(kind, 100.0 * distance / variance**0.5, None)
        )
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=None,
            metrics=(metric,),
            slices=slices_of(self.context.output_name(self.output), kept),
            doubts=("FP32 gives one value throughout",) if constant else (),
            worst=worst_of(self.context, distance),
        )


def _absolute(name: str, errors: Values) -> Metric:
    return mean_over_samples(Kind(name=name, unit="", higher_is_better=False), errors, None)


def _against_truth(
    own: Values, reference: Values, truth: Values, names: Sequence[str]
) -> tuple[list[Metric], Values]:
    """The errors against the truth, and by sample those of the first metric."""
    mine, others = np.abs(own - truth), np.abs(reference - truth)
    columns = truth.shape[1]
    metrics = []
    first, first_of_reference = mine.mean(axis=1), others.mean(axis=1)
    if columns > 1:
        # columns have units of their own: each counts by its spread
        spread = vectors.spread_of(truth)
        known = ~np.isnan(spread) if not np.isnan(spread).all() else np.ones(columns, bool)
        scale = np.where(np.isnan(spread), 1.0, spread)[known]
        first, first_of_reference = (
            100.0 * (errors[:, known] / scale).mean(axis=1) for errors in (mine, others)
        )
        kind = Kind(name="mean error, of the spread", unit="%", higher_is_better=False)
        metrics.append(mean_over_samples(kind, first, first_of_reference))
    for column in range(min(columns, _NAMED)):
        name = f"mean error of {names[column] if column < len(names) else f'column {column}'}"
        kind = Kind(name=name if columns > 1 else "mean error", unit="", higher_is_better=False)
        metrics.append(mean_over_samples(kind, mine[:, column], others[:, column]))
    if (truth != 0).all():
        relative, relative_of_reference = (
            100.0 * (errors / np.abs(truth)).mean(axis=1) for errors in (mine, others)
        )
        kind = Kind(name="mean relative error", unit="%", higher_is_better=False)
        metrics.append(mean_over_samples(kind, relative, relative_of_reference))
    return metrics, first


def _doubts(reference: Values, truth: Values) -> tuple[str, ...]:
    """Why the samples prove nothing: FP32 is no better than one value for all, beyond the noise.

    The best one for an absolute error is the median. One column that is known better is enough.
    """
    own, constant = np.abs(reference - truth), np.abs(truth - np.median(truth, axis=0))
    varies = np.flatnonzero(constant.any(axis=0))
    if not varies.size:
        return (f"the ground truth is the same for all {len(truth):,} samples",)
    scale = constant[:, varies].mean(axis=0)
    together = [(errors[:, varies] / scale).mean(axis=1) for errors in (own, constant)]
    pairs = [together, *([own[:, column], constant[:, column]] for column in varies)]
    if any(better_than(*pair, tests=len(pairs)) for pair in pairs):
        return ()
    return (
        f"FP32's own mean error is {float(own.mean()):.4g}, that of one value for all samples"
        f" {float(constant.mean()):.4g}: are the preprocessing, the units and the order of the"
        " columns the network's?",
    )
