"""A loop that prepares the next batch while the engine has this one, beside the engine alone.

It is what an application does that has a core to spare, and what `predict` does with a folder.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import inputs_of, load_pixels
from edge_scnet.data.samples import SampleSet
from edge_scnet.runtimes.base import Session
from edge_scnet.stats.accuracy import top_k

# Timed in each half of a window, however long they take.
_LEAST_RUNS = 3
# Pictures that are prepared for the engine alone: it is not to find one in its caches.
_READY = 4


def time_window(
    session: Session, samples: SampleSet, spec: ModelSpec, seconds: float
) -> tuple[float, float]:
    """Times the engine alone for half of a window, and the loop for the other half.

    Returns:
        ns of a batch: in the engine alone, and in the loop from the file to the classes.

    Raises:
        DataError: an image cannot be read.
    """
    batch = session.input_shape[0]

    def prepared(number: int) -> np.ndarray:
        indices = [(number * batch + i) % len(samples) for i in range(batch)]
        return inputs_of([load_pixels(samples, i, spec) for i in indices], spec)

    ready = [prepared(number) for number in range(max(_READY // batch, 1))]
    alone = _mean_ns(lambda number: session.infer(ready[number % len(ready)]), seconds / 2)
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(prepared, 0)

        def turn(number: int) -> None:
            nonlocal ahead
            taken = ahead.result()
            ahead = pool.submit(prepared, number + 1)
            scores = session.infer(taken)[0]
            if scores.ndim == 2:
                top_k(scores, 5)

        return alone, _mean_ns(turn, seconds / 2)


def _mean_ns(run: Callable[[int], object], seconds: float) -> float:
    """The mean time of runs for so long, after one that is not timed."""
    run(0)
    runs, clock = 0, time.perf_counter_ns
    started = now = clock()
    while runs < _LEAST_RUNS or now - started < seconds * 1e9:
        runs += 1
        run(runs)
        now = clock()
    return (now - started) / runs
