"""Two open engines timed against each other, in blocks that are taken in turn."""

from __future__ import annotations

import time

import numpy as np

from edge_scnet.runtimes.base import Session
from edge_scnet.stats.figures import RatioStats
from edge_scnet.stats.timing import paired_ratio

_ROUNDS, _BLOCK_S, _LEAST_RUNS = 15, 0.03, 3


def time_ratio(own: Session, other: Session, data: np.ndarray, *, graph: bool) -> RatioStats:
    """The time of one engine over another's, with its interval.

    Args:
        data: a batch as both take it.
        graph: as CUDA graphs, which were recorded of both: else the time of enqueueing would hide
            that of a plan's kernels.
    """
    sessions = (own, other)
    for session in sessions:
        session.use_graph(on=graph)
    blocks: tuple[list[list[int]], list[list[int]]] = ([], [])
    for number in range(_ROUNDS + 1):
        for i in (0, 1) if number % 2 else (1, 0):
            times = _block(sessions[i], data)
            if number:  # the first round warms up
                blocks[i].append(times)
    return paired_ratio(*blocks)


def _block(session: Session, data: np.ndarray) -> list[int]:
    """Times of single inferences in ns, after one that does not count."""
    clock, times = time.perf_counter_ns, list[int]()
    session.infer(data)
    end = clock() + int(_BLOCK_S * 1e9)
    while len(times) < _LEAST_RUNS or clock() < end:
        started = clock()
        session.infer(data)
        times.append(clock() - started)
    return times
