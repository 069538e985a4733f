"""Outputs with one row of values a sample: read, held to their truth, and their thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.core.outputs import OutputHead
from edge_scnet.errors import DataError
from edge_scnet.stats.figures import SliceStats
from edge_scnet.stats.slices import rows_of, slices_of
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.maps import threshold_of

# Of a column, relative to its size.
_LEAST_DEVIATION = 0.01

Values = npt.NDArray[np.float64]


def rows(array: np.ndarray) -> npt.NDArray[np.float32]:
    """An output as [samples, values]."""
    return array.reshape(len(array), -1).astype(np.float32)


def column_slices(
    context: Context, output: int, own: Values, reference: Values, names: Sequence[str] = ()
) -> tuple[SliceStats, ...]:
    """The columns of vectors as slices.

    Args:
        own, reference: [samples, columns].
    """
    kept = rows_of(own, reference, 1)
    return slices_of(context.output_name(output), kept, row="column", names=names)


def spread_of(reference: Values) -> Values:
    """The standard deviation of each column over the samples; NaN where it does not vary.

    It is at least 1 % of the column's size: what varies by less, 8 bits cannot say.
    """
    deviation = reference.std(axis=0)
    floor = 1e-7 * np.abs(reference).max(axis=0, initial=0.0)
    least = _LEAST_DEVIATION * np.sqrt(np.square(reference).mean(axis=0))
    spread: Values = np.where(deviation > floor, np.maximum(deviation, least), np.nan)
    return spread


def cut_at(context: Context, output: int, given: float | None, reference: Values) -> float:
    """Above which score a label applies: as given, 0.5 of probabilities, 0 of logits.

    Args:
        reference: of all samples: where nothing is known of how the output ends they decide.
    """
    if given is not None:
        return given
    known = known_cut(context.head(output))
    if known is not None:
        return known
    return 0.5 if reference.size and reference.min() >= 0 and reference.max() <= 1 else 0.0


def known_cut(head: OutputHead | None) -> float | None:
    """Above which score a label applies, by how the output ends; None: that is not known."""
    if head is not None and head.ending in ("sigmoid", "softmax", "linear"):
        return threshold_of(head)
    return None


def as_probabilities(scores: np.ndarray, limit: float) -> Values:
    """Scores from 0 to 1, for people: those that are no probabilities are logits.

    Args:
        limit: above which a label applies: 0 of logits.
    """
    values = scores.astype(np.float64)
    if limit > 0 and values.min(initial=0.0) >= 0 and values.max(initial=0.0) <= 1:
        return values
    found: Values = 0.5 + 0.5 * np.tanh(0.5 * values)
    return found


def truths(context: Context, task: str, kinds: Sequence[str]) -> list[Any] | None:
    """The truth of every sample; None where there is none.

    Raises:
        DataError: it is of another kind.
    """
    if context.targets is None:
        return None
    if context.targets.kind not in kinds:
        raise DataError(
            f"{task} is judged by {' or '.join(kinds)}, the samples have {context.targets.kind}",
            hint="give the targets of that task, or leave them out: --ignore-labels",
        )
    return [context.targets.at(i) for i in range(context.count)]


def truth_rows(context: Context, task: str, kind: str, columns: int) -> Values | None:
    """The truth as [samples, columns]; None where there is none.

    Raises:
        DataError: it is of another kind, or has another number of columns than the output.
    """
    found = truths(context, task, (kind,))
    if found is None:
        return None
    for index, each in enumerate(found):
        size = np.asarray(each).size
        if size != columns:
            raise DataError(
                f"{context.name_of(index)} has {size} {kind}, the output {columns} columns",
                hint="choose the columns of the table that the network gives, in its order",
            )
    return np.array([np.asarray(each, np.float64).ravel() for each in found])


def per_cent_of_spread(own: Values, reference: Values) -> Values:
    """By sample, the mean over columns of the difference relative to the spread, in %.

    Columns in which the reference does not vary are left out; NaN where all are.
    """
    spread = spread_of(reference)
    known = ~np.isnan(spread)
    if not known.any():
        return np.full(len(own), np.nan)
    ratios = np.abs(own - reference)[:, known] / spread[known]
    values: Values = 100.0 * ratios.mean(axis=1)
    return values
