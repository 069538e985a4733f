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
    return replace(metric, **changes)


def _stats(metric: Metric, **changes: object) -> TaskStats:
    stats = TaskStats(task="segmentation", samples=100, truth="masks", metrics=(metric,))
    return replace(stats, **changes)


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


def _scores_kept(f1: float, *, decides: bool = True, half: float = 0.3) -> TaskStats:
    """mAP is what it was, and F1 is another."""
    metrics = (_metric(79.8, 0.2), _metric(f1, half, name="F1", decides=decides))
    return replace(_stats(metrics[0]), task="multilabel", metrics=metrics)


def test_every_figure_with_an_interval_is_held_to_the_baseline() -> None:
    """Scores that all fall below the threshold keep mAP, and lose F1."""
    before = _scores_kept(79.5)
    assert _verdicts(before, before) == ["pass", "pass"]
    assert _verdicts(_scores_kept(78.9), before) == ["pass", "pass"]
    found = list(compare_tasks(_scores_kept(70.0), before, Gates()))
    assert [finding.verdict for finding in found] == ["pass", "fail"]
    assert found[1].metric == "F1 to baseline" and found[1].exit_code == 10
    assert "worse by 9.5 pp" in found[1].message and found[1].limit == 2.0
    assert _verdicts(_scores_kept(77.4), before) == ["pass", "inconclusive"]


def test_a_figure_told_beside_fails_where_its_loss_is_proven_and_asks_for_nothing() -> None:
    before = _scores_kept(79.5, decides=False)
    assert _verdicts(_scores_kept(77.4, decides=False), before) == ["pass", "skipped"]
    assert _verdicts(_scores_kept(70.0, decides=False), before) == ["pass", "fail"]


def test_a_figure_that_the_report_lacks_is_no_pass() -> None:
    (first, other) = compare_tasks(
        _stats(_metric(79.8), task="multilabel"), _scores_kept(79.5), Gates()
    )
    assert first.verdict == "pass"
    assert (other.metric, other.exit_code) == ("F1 to baseline", 12)


def test_chance_neighbours_and_figures_without_an_interval_are_not_held() -> None:
    neighbours = _metric(60.0, name="nearest neighbour, same", reference=None)
    ends = ("loss_low", "loss_high", "loss_lower95", "loss_upper95")
    bare = _metric(60.0, name="F1", **dict.fromkeys(ends))
    before = _stats(_metric(79.8), metrics=(_metric(79.8), neighbours, bare))
    assert len(_verdicts(before, before)) == 1
