"""Figures with intervals: losses too rare to be seen, samples that say nothing."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import weighted_mean
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.stats.intervals import Z_ONE_SIDED_95
from edge_scnet.tasks.metrics import Kind, bootstrapped, mean_over_samples, refuse_unfinite
from tests.tasks.cases import judged

_SHARE = Kind(name="AP", unit="%")
_ERROR = Kind(name="mean error", unit="px", higher_is_better=False)


def _verdict(metric: Metric, samples: int) -> Any:
    return judged(TaskStats(task="t", samples=samples, truth="boxes", metrics=(metric,)))


def _rare(samples: int) -> float:
    return Z_ONE_SIDED_95**2 / (samples + Z_ONE_SIDED_95**2)


@pytest.mark.parametrize(("samples", "found"), [(20, "inconclusive"), (540, "pass")])
def test_shares_that_no_sample_loses_are_proven_by_as_many_as_tangos(
    samples: int, found: str
) -> None:
    values = np.full(samples, 80.0)
    metric = mean_over_samples(_SHARE, values, values)
    assert metric.loss_upper95 == pytest.approx(100 * _rare(samples))
    assert metric.loss_high is not None and metric.loss_upper95 < metric.loss_high
    finding = _verdict(metric, samples)
    assert finding.verdict == found
    if found != "pass":
        assert "use about 540" in finding.message


def test_samples_that_say_nothing_do_not_count() -> None:
    values = np.full(1000, np.nan)
    values[:30] = 80.0
    figure = partial(weighted_mean, values)
    for metric in (
        mean_over_samples(_SHARE, values, values),
        bootstrapped(_SHARE, figure, figure, 1000),
    ):
        assert metric.loss_upper95 == pytest.approx(100 * _rare(30))
    values[19:] = np.nan
    assert mean_over_samples(_SHARE, values, values).loss_upper95 is None
    assert bootstrapped(_SHARE, figure, figure, 1000).loss_upper95 is None


def test_errors_may_rise_by_what_a_sample_has() -> None:
    before = np.full(100, 4.0)
    before[0] = 12.0
    equal = mean_over_samples(_ERROR, before, before)
    assert equal.loss_upper95 == pytest.approx(12.0 * _rare(100))
    now = before.copy()
    now[1] += 300.0
    once = mean_over_samples(_ERROR, now, before)
    assert once.loss_upper95 is not None
    assert once.loss_upper95 >= 3.0 + 300.0 * _rare(100)


def test_cosines_may_fall_to_the_smallest_seen() -> None:
    cosines = np.full(50, 1.0)
    kind = Kind(name="cosine", unit="", perfect=1.0)
    assert mean_over_samples(kind, cosines, None).loss_upper95 == 0.0
    cosines[7] = -1.0
    found = mean_over_samples(kind, cosines, None).loss_upper95
    assert found is not None and found >= 2.0 / 50 + 2.0 * _rare(50)


def test_no_error_of_three_samples_proves_nothing() -> None:
    for samples, found in ((3, "inconclusive"), (20, "pass")):
        nought = np.zeros(samples)
        assert _verdict(mean_over_samples(_ERROR, nought, nought), samples).verdict == found


def test_figures_that_no_report_can_hold_are_refused() -> None:
    metric = mean_over_samples(_SHARE, np.full(30, np.nan), np.full(30, np.nan))
    with pytest.raises(DataError, match="t: value of AP is nan over 30 samples"):
        refuse_unfinite(TaskStats(task="t", samples=30, truth="boxes", metrics=(metric,)))
