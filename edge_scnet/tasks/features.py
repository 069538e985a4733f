"""Features: outputs that nobody said the meaning of, by SQNR, whole and by slice.

Whole numbers have no noise: they are equal to the reference's or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.accuracy import LEAST_DB
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.stats.figures import Metric, SliceStats, TaskStats
from edge_scnet.stats.slices import MOST_ROWS, Rows, rows_of, slices_of
from edge_scnet.tasks.arguments import checked
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.counted import is_counted, same_size, unjudged
from edge_scnet.tasks.equal import equal_share
from edge_scnet.tasks.maps import layout_of
from edge_scnet.tasks.metrics import Kind, bootstrapped, worst_of
from edge_scnet.tasks.readout import Readout, read_outputs

TASK = "features"
# Stands for all ratios that are as high: outputs that are equal.
_EXACT_DB = 200.0


def evaluator(context: Context) -> Features:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments, of which it takes none.
    """
    checked(TASK, context, {})
    return Features(context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Adds up signal and noise by row of each output."""

    context: Context
    # outputs that are left out
    skipped: tuple[int, ...] = ()
    task: str = field(default=TASK)

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """By sample, the rows of each output; of whole numbers the shares that differ; of outputs
        whose size depends on the data whether it is the same."""
        by_output: list[list[Rows | _Whole | _Size | None]] = []
        for number, (own, other) in enumerate(zip(outputs, reference, strict=True)):
            if number in self.skipped or not other.size:
                by_output.append([None] * len(indices))
                continue
            if is_counted(self.context, number, own, other):
                by_output.append(
                    [_Size(same=_alike(a, b)) for a, b in zip(own, other, strict=True)]
                )
                continue
            if other.dtype.kind != "f":
                by_output.append([_whole(a, b) for a, b in zip(own, other, strict=True)])
                continue
            # infinite on purpose, as behind a mask, is no noise where both are
            own, other = _finite(own, other)
            by_output.append([*rows_of(own, other, self._axis(number, other))])
        return [tuple(each) for each in zip(*by_output, strict=True)]

    def _axis(self, number: int, array: np.ndarray) -> int:
        """The axis of an output's rows; 0: there are too many."""
        head = self.context.head(number)
        axis = _row_axis(array, self.context, number)
        if head is not None and head.joined is not None and head.joined[0] < array.ndim:
            axis = head.joined[0]
        return axis if axis and array.shape[axis] <= MOST_ROWS else 0

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The shapes and ranges of all outputs."""
        return read_outputs(TASK, self.context, outputs)

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """The SQNR of the worst output, each slice by itself, and the share of equal whole numbers.

        Without an output of floats there is no SQNR. Outputs whose size depends on the data are
        doubts.
        """
        counted = [number for number, rows in enumerate(own[0]) if isinstance(rows, _Size)]
        sizes = tuple(
            same_size(self.context.output_name(i), [each[i].same for each in own]) for i in counted
        )
        taken = [number for number, rows in enumerate(own[0]) if isinstance(rows, Rows)]
        whole = (*self._whole_metrics(own), *sizes)
        signal = np.array([[_total(each[i], 1) for i in taken] for each in own])
        noise = np.array([[_total(each[i], 2) for i in taken] for each in own])

        def worst_db(weights: Weights) -> npt.NDArray[np.float64]:
            ratios = in_db(weights @ signal, weights @ noise)
            worst: npt.NDArray[np.float64] = ratios.min(axis=1, initial=_EXACT_DB)
            return worst

        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=None,
            metrics=(
                bootstrapped(Kind(name="SQNR", unit="dB"), worst_db, None, len(own)),
                *whole,
            )
            if taken or not whole
            else whole,
            slices=tuple(
                part for i in taken for part in self._slices(i, [each[i] for each in own])
            ),
            worst=worst_of(
                # samples without noise are none of the worst
                self.context,
                _EXACT_DB - in_db(signal, noise).min(axis=1, initial=_EXACT_DB)
                if taken
                else np.sum(
                    [[rows.differing for rows in each if isinstance(rows, _Whole)] for each in own],
                    axis=1,
                ),
            ),
            doubts=tuple(unjudged(self.context, i) for i in counted),
        )

    def _whole_metrics(self, own: Sequence[Any]) -> tuple[Metric, ...]:
        """The share of the values that are equal, of each output of whole numbers."""
        return tuple(
            equal_share(
                f"equal values of {self.context.output_name(number)}",
                np.array([each[number].differing for each in own]),
                rows.values,
            )
            for number, rows in enumerate(own[0])
            if isinstance(rows, _Whole)
        )

    def _slices(self, number: int, kept: Sequence[Rows]) -> tuple[SliceStats, ...]:
        head = self.context.head(number)
        parts = head.joined[1] if head is not None and head.joined is not None else ()
        rank = 0 if head is None else len(head.shape)
        return slices_of(
            self.context.output_name(number),
            kept,
            parts=parts,
            row={2: "column", 4: "channel"}.get(rank, "row"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """Of an output whose size depends on the data, and one sample."""

    same: bool


def _alike(own: np.ndarray, reference: np.ndarray) -> bool:
    return np.shape(own) == np.shape(reference)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Whole:
    """Of an output of whole numbers or truth values, and one sample."""

    # the share of the values that are not the reference's
    differing: float
    values: int


def _whole(own: np.ndarray, reference: np.ndarray) -> _Whole:
    values = np.asarray(reference).size
    differing = float(np.mean(np.asarray(own != reference))) if values else 0.0
    return _Whole(differing=differing, values=max(values, 1))


def in_db(
    signal: npt.NDArray[np.float64], noise: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Ratios of powers in dB, from `LEAST_DB` to 200: no noise at all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = 10.0 * np.log10(signal / noise)
    ratios = np.where(noise == 0, _EXACT_DB, np.where(signal == 0, LEAST_DB, ratios))
    values: npt.NDArray[np.float64] = np.clip(ratios, LEAST_DB, _EXACT_DB)
    return values


def _finite(own: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both with 0 where they are infinite alike; where one alone is, the difference is noise."""
    known = np.isfinite(own) & np.isfinite(reference)
    if known.all():
        return own, reference
    alike = ~known & ((own == reference) | (np.isnan(own) & np.isnan(reference)))
    kept = np.where(np.isfinite(reference), reference, 0).astype(np.float64)
    # large beside all that there is, and finite
    noise = 1e3 * max(1.0, float(np.abs(kept).max()), float(np.abs(own[known]).max(initial=0.0)))
    return np.where(known, own, np.where(alike, 0.0, kept + noise)), kept


def _total(rows: Rows, kind: int) -> float:
    return float(rows.sums[kind].sum())


def _row_axis(array: np.ndarray, context: Context, number: int) -> int:
    """The axis of the rows: a vector's columns, a map's channels, a head's kinds of values."""
    if array.ndim < 2:
        return 0
    if array.ndim == 3:
        return 1 if array.shape[1] <= array.shape[2] else 2
    if array.ndim == 4:
        layout = layout_of(array.shape, context.head(number), context.spec.input_shape)
        return 3 if layout == "NHWC" else 1
    return 1
