"""FP32's own figure held to what its owner measured: `--expect 94.9`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_scnet.errors import DataError
from edge_scnet.report.run_report import EngineReport, first_of
from edge_scnet.stats.intervals import Z_TWO_SIDED_95, wilson_bounds

# A figure as people write it: 94.9 stands for 94.85 to 94.95.
_ROUNDING = 0.05
# Of figures without an interval.
_NEAR = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class _Figure:
    """FP32's own, and the range that other samples of the kind may put it in."""

    name: str
    unit: str
    value: float
    low: float
    high: float
    samples: int


def check_expected(rows: Sequence[EngineReport], expected: float | None) -> None:
    """Refuses a reference whose first figure is not the expected one, within its 95 % interval.

    Args:
        expected: in the figure's unit: 94.9 for 94.9 %; None: nothing is expected.

    Raises:
        DataError: it is another, or there is no ground truth to measure it with.
    """
    if expected is None:
        return
    figure = _figure_of(rows)
    if figure is None:
        raise DataError(
            f"--expect {expected:g} cannot be held to anything: the evaluation samples have no"
            " ground truth",
            hint="give labelled samples with --eval, or leave --expect out",
        )
    if figure.low - _ROUNDING <= expected <= figure.high + _ROUNDING:
        return
    unit = f" {figure.unit}" if figure.unit else ""
    raise DataError(
        f"FP32's own {figure.name} is {figure.value:.4g}{unit} on {figure.samples:,} samples"
        f" ({figure.low:.4g} to {figure.high:.4g} with 95 % confidence); --expect says"
        f" {expected:g}: these are not the inputs, or not the samples, that it was measured with",
        hint=(
            "compare the preprocessing (--preprocess, --mean, --std, --resize) and the order of the"
            " classes with those of training; leave --expect out to build all the same"
        ),
    )


def _figure_of(rows: Sequence[EngineReport]) -> _Figure | None:
    row = first_of(rows, "reference", judged=True)
    if row is None or row.accuracy is None:
        return None
    stats = row.accuracy
    if stats.labels is not None:
        value = stats.labels.reference_top1_percent
        low, high = wilson_bounds(value / 100.0 * stats.images, stats.images, z=Z_TWO_SIDED_95)
        return _Figure(
            name="top-1",
            unit="%",
            value=value,
            low=100.0 * low,
            high=100.0 * high,
            samples=stats.images,
        )
    if stats.task is None or stats.task.truth is None:
        return None
    metric = stats.task.metrics[0]
    near = _NEAR * abs(metric.value)
    return _Figure(
        name=metric.name,
        unit=metric.unit,
        value=metric.value,
        low=metric.value - near if metric.value_low is None else metric.value_low,
        high=metric.value + near if metric.value_high is None else metric.value_high,
        samples=stats.images,
    )
