"""What the order and the spread of figures say of the machine: drift, heaps, growth. Pure; no input
or output.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_scnet.stats.figures import Steadiness

_MODE_GAP = 1.08  # clusters nearer to each other than 8 % are one
_MODE_LEAST = 0.1  # of the runs
_MOST_POINTS = 400
_VALLEY = 0.5  # how deep the density must fall between two clusters, to the lower one's peak


def steadiness(blocks_ns: Sequence[Sequence[int]]) -> Steadiness:
    """Drift and heaps of run times in ns, by timed block in the order taken."""
    medians = [float(np.median(block)) / 1e6 for block in blocks_ns if len(block)]
    slope, p = trend(range(len(medians)), medians)
    drift = (
        None if slope is None else 100.0 * slope * (len(medians) - 1) / float(np.median(medians))
    )
    centres, shares = modes([ns / 1e6 for block in blocks_ns for ns in block])
    return Steadiness(drift_percent=drift, drift_p=p, modes_ms=centres, mode_percents=shares)


def trend(x: Sequence[float], y: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """The slope of y over x that outliers do not bend, and how probable so much order is where
    there is none.

    Theil and Sen's slope (the median of the slopes of all pairs) and Kendall's test, two-sided, by
    the normal approximation with the corrections for ties and for continuity (M. G. Kendall, Rank
    Correlation Methods, 4th edition, 1970, chapter 4). None below 8 points, where the approximation
    is poor.
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
    """Medians of neighbours, where there are many: an hour has 24,000 blocks, and all their pairs
    would take 20 GB.
    """
    if len(values) <= _MOST_POINTS:
        return values
    return np.array([np.median(part) for part in np.array_split(values, _MOST_POINTS)])


def memory_growth(
    runs: Sequence[int], resident_bytes: Sequence[int]
) -> tuple[float, int, float] | tuple[None, None, None]:
    """Bytes a run, bytes over all runs, and Kendall's p, from the resident memory at the ends of
    blocks.

    Args:
        runs: how many runs there had been by then.
    """
    slope, p = trend(runs, resident_bytes)
    if slope is None or p is None:
        return None, None, None
    return slope, round(slope * (runs[-1] - runs[0])), p


def modes(times_ms: Sequence[float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Clusters of run times: their medians and their shares in percent, fastest first.

    A machine that switches (two clocks, a neighbour that comes and goes, another core) has times in
    heaps, whose common median is the time of none. The density over the logarithm of the time is
    estimated with a Gaussian kernel (bandwidth by Silverman's rule for what is not normal, 1986,
    page 47, at least 1 %); heaps are its peaks of at least a tenth of the runs, 8 % apart, with a
    valley between them of at most half the lower peak.
    """
    times = np.asarray(times_ms, dtype=np.float64)
    one = (float(np.median(times)),), (100.0,)
    if times.size < 50:
        return one
    logs = np.log(times[times <= np.percentile(times, 99)])
    low, high = np.percentile(logs, [25, 75])
    width = max(0.9 * min(float(logs.std()), float(high - low) / 1.34) * logs.size**-0.2, 0.01)
    edges = np.arange(logs.min() - 4 * width, logs.max() + 5 * width, width / 4)
    if len(edges) > 20_000:  # times over many orders of magnitude: no heaps to speak of
        return one
    density = np.histogram(logs, edges)[0].astype(np.float64)
    kernel = np.exp(-0.5 * (np.arange(-12, 13) / 4) ** 2)
    density = np.convolve(density, kernel / kernel.sum(), mode="same")
    centres = (edges[:-1] + edges[1:]) / 2
    cuts = [centres[cut] for cut in _valleys(density, centres)]
    parts = np.split(np.sort(times), np.searchsorted(np.sort(times), np.exp(cuts)))
    medians = tuple(float(np.median(part)) for part in parts)
    return medians, tuple(100.0 * part.size / times.size for part in parts)


def _valleys(density: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> list[int]:
    """Indices of the lowest points between heaps, left to right."""
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
