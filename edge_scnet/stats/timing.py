"""Latencies, ratios of blocks that were timed in turn, and times end to end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_scnet.stats.figures import (
    EndToEnd,
    GraphTimes,
    LatencyStats,
    PreparedAhead,
    RatioStats,
)
from edge_scnet.stats.quantiles import quantile_interval
from edge_scnet.stats.steadiness import steadiness


def latency_stats(blocks_ns: Sequence[Sequence[int]]) -> LatencyStats:
    """Percentiles of run times with their intervals, and how steady they were.

    The intervals are order statistics of runs taken as independent: of a machine that drifts they
    are too narrow, which is why engines are compared by the ratios of blocks (`paired_ratio`) and
    the drift is said beside them.

    Args:
        blocks_ns: run times in ns, by timed block, in the order taken.

    Raises:
        ValueError: no samples, or a time that is not positive.
    """
    times = np.asarray([ns for block in blocks_ns for ns in block], dtype=np.int64)
    if times.size == 0 or times.min() <= 0:
        raise ValueError(
            f"run times must be positive, got {'none' if times.size == 0 else f'{times.min()} ns'}"
        )
    ms = times / 1e6
    p50, p90, p99 = np.percentile(ms, [50, 90, 99]).tolist()
    (low50, high50), (low90, high90), (low99, high99) = (
        quantile_interval(ms, q) for q in (0.5, 0.9, 0.99)
    )
    return LatencyStats(
        samples_ns=tuple(times.tolist()),
        count=times.size,
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        p50_low_ms=low50,
        p50_high_ms=high50,
        p90_low_ms=low90,
        p90_high_ms=high90,
        p99_low_ms=low99,
        p99_high_ms=high99,
        blocks=tuple(len(block) for block in blocks_ns),
        steadiness=steadiness(blocks_ns),
    )


def paired_ratio(
    blocks_a: Sequence[Sequence[int]], blocks_b: Sequence[Sequence[int]]
) -> RatioStats:
    """How long `a` takes relative to `b`, from blocks of run times that were taken in turn.

    Round i is blocks_a[i] and blocks_b[i]. The ratio of the two medians within a round cancels what
    drifts from round to round; the median over the rounds ignores the rounds that something else
    disturbed.

    Raises:
        ValueError: no rounds, unequal numbers of rounds, an empty block, or a time that is not
            positive.
    """
    if not blocks_a or len(blocks_a) != len(blocks_b):
        raise ValueError(f"blocks must come in pairs, got {len(blocks_a)} and {len(blocks_b)}")
    if any(len(block) == 0 or min(block) <= 0 for block in (*blocks_a, *blocks_b)):
        raise ValueError("a block is empty or holds a time that is not positive")
    return ratio_of(
        [float(np.median(a) / np.median(b)) for a, b in zip(blocks_a, blocks_b, strict=True)]
    )


def graph_times(
    without: Sequence[Sequence[int]], with_graph: Sequence[Sequence[int]], fault: str | None = None
) -> GraphTimes:
    """What a CUDA graph makes of a plan's time; the faster way is used.

    Args:
        without, with_graph: run times in ns by block, taken in turn.
        fault: why no graph could be recorded; then `with_graph` is not looked at.

    Raises:
        ValueError: as `paired_ratio`.
    """
    plain_ms = float(np.median(np.concatenate([np.asarray(block) for block in without]))) / 1e6
    if fault is not None:
        return GraphTimes(
            used=False, without_p50_ms=plain_ms, with_p50_ms=None, speedup=None, fault=fault
        )
    ratio = paired_ratio(without, with_graph)
    graph_ms = float(np.median(np.concatenate([np.asarray(block) for block in with_graph]))) / 1e6
    return GraphTimes(
        used=ratio.ratio > 1, without_p50_ms=plain_ms, with_p50_ms=graph_ms, speedup=ratio
    )


def rate_ratio(rates: Sequence[float], reference: Sequence[float]) -> RatioStats:
    """How many times the reference's rate an engine has, from windows that were taken in turn.

    Window i is rates[i] and reference[i]; as in `paired_ratio` their ratio cancels the drift.

    Args:
        rates, reference: images per second by window.

    Raises:
        ValueError: no windows, unequal numbers of windows, or a rate that is not positive.
    """
    if not rates or len(rates) != len(reference):
        raise ValueError(f"windows must come in pairs, got {len(rates)} and {len(reference)}")
    if min(*rates, *reference) <= 0:
        raise ValueError("a rate is not positive")
    return ratio_of([own / other for own, other in zip(rates, reference, strict=True)])


def ratio_of(ratios: Sequence[float]) -> RatioStats:
    """The median of ratios, with its intervals from order statistics."""
    low, high = quantile_interval(ratios, 0.5)
    low99, high99 = quantile_interval(ratios, 0.5, outside=0.01)
    return RatioStats(
        ratio=float(np.median(ratios)),
        low=low,
        high=high,
        rounds=len(ratios),
        low99=low99,
        high99=high99,
    )


def end_to_end(
    batches_ns: Sequence[Sequence[int]], stages: Sequence[str], *, images: int
) -> EndToEnd:
    """The times of batches and of their stages.

    Args:
        batches_ns: by batch, ns of each of the stages.
        images: in a batch.
    """
    table = np.asarray(batches_ns, dtype=np.float64) / 1e6
    means = table.mean(axis=0).tolist()
    p50, p90 = np.percentile(table.sum(axis=1), [50, 90]).tolist()
    return EndToEnd(
        images=len(table) * images,
        p50_ms=p50,
        p90_ms=p90,
        stages_ms=dict(zip(stages, means, strict=True)),
        images_per_second=1e3 * images / sum(means),
    )


def prepared_ahead(
    windows_ns: Sequence[tuple[float, float]], *, threads: int, images: int
) -> PreparedAhead:
    """The time of a loop whose next batch is prepared meanwhile, beside the engine's alone.

    Args:
        windows_ns: by window, ns of a batch: in the engine alone, and in the loop right after.
        threads: of the engine.
        images: in a batch.
    """
    alone_ms, loop_ms = (np.median(column) / 1e6 for column in zip(*windows_ns, strict=True))
    ratio = float(np.median([loop / alone for alone, loop in windows_ns]))
    return PreparedAhead(
        threads=threads,
        batch_ms=float(loop_ms),
        infer_ms=float(alone_ms),
        overhead_percent=100 * (ratio - 1),
        images_per_second=1e3 * images / float(loop_ms),
    )
