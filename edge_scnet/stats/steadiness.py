"""What the order and the spread of figures tell about the machine: drift, clusters, growth."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.figures import Steadiness

_MODE_GAP = 1.08  # clusters nearer to each other than 8 % are one
_MODE_LEAST = 0.1  # of the runs
_MOST_POINTS = 400  # of a trend
_MOST_BINS = 20_000  # of a density
_VALLEY = 0.5  # how deep the density must fall between two clusters, relative to the lower peak


def steadiness(blocks_ns: Sequence[Sequence[int]]) -> Steadiness:
    """Drift and clusters of run times.

    Args:
        blocks_ns: run times in ns, by timed block, in the order taken.
    """
    medians = [float(np.median(block)) / 1e6 for block in blocks_ns if len(block)]
    slope, p = trend(range(len(medians)), medians)
    drift = (
        None if slope is None else 100.0 * slope * (len(medians) - 1) / float(np.median(medians))
    )
    centres, shares = modes([ns / 1e6 for block in blocks_ns for ns in block])
    return Steadiness(drift_percent=drift, drift_p=p, modes_ms=centres, mode_percents=shares)


def trend(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The slope of y over x that outliers do not bend, and the p value of so much order.

    Theil and Sen's slope (the median of the slopes of all pairs) and Kendall's test, two-sided, by
    the normal approximation with the corrections for ties and for continuity (M. G. Kendall, Rank
    Correlation Methods, 4th edition, 1970, chapter 4).

    Args:
        x: values that grow.
        y: as many; of more than 400 points the medians of neighbours are taken.

    Returns:
        None below 8 points, where the approximation is poor.
    """
    if len(x) < 8:
        return None, None
    xs, ys = (_thinned(np.asarray(values, dtype=np.float64)) for values in (x, y))
    first, second = np.triu_indices(len(xs), 1)
    run, rise = xs[second] - xs[first], ys[second] - ys[first]
    slope = float(np.median(rise[run > 0] / run[run > 0]))
    score = float(np.sign(rise * np.sign(run)).sum())
    n = len(ys)
    ties = np.unique(ys, return_counts=True)[1]
    variance = (
        n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())
    ) / 18.0
    if variance <= 0 or score == 0:
        return slope, 1.0
    return slope, math.erfc((abs(score) - 1) / math.sqrt(2.0 * variance))


def _thinned(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Medians of neighbours, where there are many values.

    An hour has 24,000 blocks, and all their pairs would take 20 GB.
    """
    if len(values) <= _MOST_POINTS:
        return values
    return np.array([np.median(part) for part in np.array_split(values, _MOST_POINTS)])


def memory_growth(
    runs: Sequence[int], resident_bytes: Sequence[int]
) -> tuple[float, int, float] | tuple[None, None, None]:
    """Growth of memory: bytes per run, bytes over all runs, and Kendall's p.

    Args:
        runs: how many runs there had been at the end of each block.
        resident_bytes: the resident memory then.

    Returns:
        None below 8 blocks.
    """
    slope, p = trend(runs, resident_bytes)
    if slope is None or p is None:
        return None, None, None
    return slope, round(slope * (runs[-1] - runs[0])), p


def modes(times_ms: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Clusters of run times: their medians and their shares in percent, fastest first.

    A machine that switches (two clocks, a neighbour that comes and goes, another core) has times in
    clusters, whose common median is the time of none. The density over the logarithm of the time is
    estimated with a Gaussian kernel (bandwidth by Silverman's rule for what is not normal, 1986,
    page 47, at least 1 %); clusters are its peaks of at least a tenth of the runs, 8 % apart, with
    a valley between them of at most half the lower peak.
    """
    times = np.asarray(times_ms, dtype=np.float64)
    one = (float(np.median(times)),), (100.0,)
    if times.size < 50:
        return one
    logs = np.log(times[times <= np.percentile(times, 99)])
    low, high = np.percentile(logs, [25, 75])
    width = max(0.9 * min(float(logs.std()), float(high - low) / 1.34) * logs.size**-0.2, 0.01)
    if np.ptp(logs) + 9 * width > _MOST_BINS * width / 4:
        return one  # times over many orders of magnitude have no clusters to speak of
    centres, density = kernel_density(logs, width)
    cuts = [centres[cut] for cut in _valleys(density, centres)]
    parts = np.split(np.sort(times), np.searchsorted(np.sort(times), np.exp(cuts)))
    medians = tuple(float(np.median(part)) for part in parts)
    return medians, tuple(100.0 * part.size / times.size for part in parts)


def kernel_density(
    values: npt.NDArray[np.float64], width: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places, a quarter of `width` apart, and the density of the values there.

    The values are counted in bins, and the counts are smoothed by a Gaussian of the standard
    deviation `width`, cut off at 3 of them.

    Returns:
        The places; the density as the number of values in a bin.
    """
    edges = np.arange(values.min() - 4 * width, values.max() + 5 * width, width / 4)
    counts = np.histogram(values, edges)[0].astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4) ** 2)
    return (edges[:-1] + edges[1:]) / 2, np.convolve(counts, kernel / kernel.sum(), mode="same")


def _valleys(density: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> list[int]:
    """Indices of the lowest points between clusters, left to right."""
    peaks = [i for i in range(1, len(density) - 1) if density[i - 1] < density[i] >= density[i + 1]]
    if not peaks:
        return []
    kept, cuts, start, total = [peaks[0]], [], 0, float(density.sum())
    for peak in peaks[1:]:
        valley = kept[-1] + int(density[kept[-1] : peak + 1].argmin())
        deep = density[valley] <= _VALLEY * min(density[kept[-1]], density[peak])
        apart = centres[peak] - centres[kept[-1]] >= math.log(_MODE_GAP)
        heavy = (
            density[start:valley].sum() >= _MODE_LEAST * total
            and density[valley:].sum() >= _MODE_LEAST * total
        )
        if deep and apart and heavy:
            cuts.append(valley)
            kept.append(peak)
            start = valley
        elif density[peak] > density[kept[-1]]:
            kept[-1] = peak
    return cuts
