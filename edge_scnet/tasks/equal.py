"""Values that an engine gives exactly as the reference does: labels, and whole numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.figures import Metric
from edge_scnet.stats.intervals import Z_ONE_SIDED_95, Z_TWO_SIDED_95, wilson_bounds
from edge_scnet.tasks.metrics import Kind, mean_over_samples


def equal_share(name: str, differing: npt.NDArray[np.float64], values: int) -> Metric:
    """The share of the values of all samples on which both agree, in %.

    Its interval is the bootstrap's, and no narrower than Wilson's of the samples in which any value
    differs: where none does, resamples say nothing.

    Args:
        differing: by sample, the share of its values that differ.
        values: of a sample.
    """
    kind = Kind(name=name, unit="%", perfect=100.0)
    metric = mean_over_samples(kind, 100.0 * (1.0 - differing), None)
    some = differing[differing > 0]
    share = float(some.mean()) if len(some) else 1.0 / values
    high = 100.0 * share * wilson_bounds(len(some), len(differing), z=Z_TWO_SIDED_95)[1]
    upper = 100.0 * share * wilson_bounds(len(some), len(differing), z=Z_ONE_SIDED_95)[1]
    if metric.loss_high is None or metric.loss_upper95 is None:
        return metric
    return replace(
        metric,
        loss_high=max(metric.loss_high, high),
        loss_upper95=max(metric.loss_upper95, upper),
        method=f"{metric.method}, and Wilson's score interval",
    )
