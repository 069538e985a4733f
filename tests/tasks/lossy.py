"""A user's evaluators: one that is right, and several that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks.base import Context


class Largest:
    """By how much the largest value of a sample moves."""

    task = "largest"

    def __init__(self, context: Context, fail_at: int | None = None) -> None:
        self.context, self.fail_at = context, fail_at

    def reduce(
        self, outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], indices: Any
    ) -> list[float]:
        if self.fail_at is not None and self.fail_at in list(indices):
            raise ValueError("no largest value")
        return [float(row.max()) for row in outputs[0]]

    def compare(self, own: Sequence[float], reference: Sequence[float]) -> TaskStats:
        difference = float(np.abs(np.subtract(own, reference)).mean())
        metric = Metric(
            name="distance",
            unit="m",
            value=difference,
            reference=None,
            higher_is_better=False,
            loss=difference,
        )
        return TaskStats(task=self.task, samples=len(own), truth=None, metrics=(metric,))


def right(context: Context) -> Largest:
    return Largest(context)


class _Declaring(Largest):
    def __init__(self, context: Context, outputs: Any) -> None:
        super().__init__(context)
        self.outputs = outputs


def judges_the_first(context: Context) -> Largest:
    return _Declaring(context, ["out"])


def judges_by_number(context: Context) -> Largest:
    return _Declaring(context, (0,))


def judges_both(context: Context) -> Largest:
    return _Declaring(context, ("out", "second"))


def judges_another(context: Context) -> Largest:
    return _Declaring(context, ("depth",))


def judges_a_word(context: Context) -> Largest:
    return _Declaring(context, "out")


def fails_on_the_fifth(context: Context) -> Largest:
    return Largest(context, fail_at=5)


def is_none(context: Context) -> object:
    return object()


def raises(context: Context) -> Largest:
    raise RuntimeError("no weights\nof mine")


class _Forgetful(Largest):
    def reduce(self, outputs: Any, reference: Any, indices: Any) -> list[float]:
        return [0.0]

    def compare(self, own: Any, reference: Any) -> Any:
        return {"distance": 0.0}


def forgets(context: Context) -> Largest:
    return _Forgetful(context)


class _Wrong(Largest):
    """Figures that are none."""

    def __init__(self, context: Context, of_stats: Any, of_metric: Any) -> None:
        super().__init__(context)
        self.of_stats, self.of_metric = of_stats, of_metric

    def compare(self, own: Sequence[float], reference: Sequence[float]) -> TaskStats:
        stats = super().compare(own, reference)
        metric = replace(stats.metrics[0], **self.of_metric)
        return replace(stats, metrics=(metric,), **self.of_stats)


def is_nan(context: Context) -> Largest:
    return _Wrong(context, {}, {"value": float("nan")})


def has_no_bound(context: Context) -> Largest:
    return _Wrong(context, {}, {"loss_upper95": float("inf")})


def flatters(context: Context) -> Largest:
    return _Wrong(context, {}, {"value": 3.0, "reference": 1.0, "loss": -2.0})


def counts_wrong(context: Context) -> Largest:
    return _Wrong(context, {"samples": 999}, {})
