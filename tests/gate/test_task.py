"""A task's figure held to a baseline's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_scnet.config.target import Gates
from edge_scnet.core.packing import pack_values
from edge_scnet.gate.task import compare_tasks
from edge_scnet.report.metric_change import change_of
from edge_scnet.stats.figures import Metric, TaskStats


def _metric(value: float, half: float = 0.2, **changes: object) -> Metric:
    loss = 80.0 - value
    metric = Metric(
        name="mIoU",
        unit="%",
        value=value,
        reference=80.0,
        higher_is_better=True,
        loss=loss,
        loss_low=loss - half,
        loss_high=loss + half,
        loss_lower95=loss - half,
        loss_upper95=loss + half,
    )
    return replace(metric, **changes)  # type: ignore[arg-type]


def _stats(metric: Metric, **changes: object) -> TaskStats:
    stats = TaskStats(task="segmentation", samples=100, truth="masks", metrics=(metric,))
    return replace(stats, **changes)  # type: ignore[arg-type]


def _verdicts(now: TaskStats | None, before: TaskStats | None) -> list[str]:
    return [finding.verdict for finding in compare_tasks(now, before, Gates())]


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (79.8, 0.9, "pass"),
        (79.7, 0.2, "pass"),
        (79.4, 0.2, "inconclusive"),
        (78.9, 0.2, "fail"),
        (79.7, 0.6, "inconclusive"),
    ],
)
def test_without_values_by_sample_both_intervals_count(
    value: float, half: float, verdict: str
) -> None:
    before = _stats(_metric(79.8, 0.2))
    assert _verdicts(_stats(_metric(value, half)), before) == [verdict]


def test_values_by_sample_are_paired() -> None:
    """Errors that vary much from sample to sample, and hardly from engine to engine."""
    errors = np.random.default_rng(0).exponential(5.0, 100)
    figures = {"name": "mean error", "unit": "px", "higher_is_better": False, "reference": 5.0}

    def of(values: np.ndarray) -> TaskStats:
        metric = _metric(float(values.mean()), **figures)
        return _stats(metric, per_sample=pack_values(values.tolist()))

    assert _verdicts(of(errors * 1.02), of(errors)) == ["pass"]
    assert _verdicts(of(errors * 1.2), of(errors)) == ["fail"]
    change = change_of(of(errors), of(errors + 0.1))
    assert change.worse == pytest.approx(0.1, abs=1e-5) and change.method == "paired by sample"
    assert change.low == pytest.approx(0.1, abs=1e-4) == change.high


def test_other_tasks_and_other_truth_are_not_compared() -> None:
    stats = _stats(_metric(80.0))
    for now, before in (
        (None, stats),
        (stats, None),
        (replace(stats, task="detection"), stats),
        (_stats(_metric(80.0, name="mIoU to FP32")), stats),
    ):
        (finding,) = compare_tasks(now, before, Gates())
        assert finding.verdict == "fail" and finding.exit_code == 12
    assert not list(compare_tasks(None, None, Gates()))


def test_the_sqnr_has_its_own_limit() -> None:
    stats = _stats(_metric(40.0, name="SQNR", unit="dB", reference=None), truth=None)
    assert not list(compare_tasks(stats, stats, Gates()))


def test_a_cosine_may_fall_by_a_hundredth() -> None:
    def of(value: float) -> TaskStats:
        figures = {"name": "cosine", "unit": "", "reference": None, "loss": 1 - value}
        ends = ("loss_low", "loss_high", "loss_lower95", "loss_upper95")
        return _stats(_metric(value, **figures, **dict.fromkeys(ends, 1 - value)), truth=None)

    assert _verdicts(of(0.995), of(0.999)) == ["pass"]
    assert _verdicts(of(0.90), of(0.999)) == ["fail"]
