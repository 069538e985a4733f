"""Engines of any builds timed together, and an answer for each.

Blocks in turn, so that drift of the machine cancels, and in new processes again and again: where an
engine's memory happens to lie makes one process 1 to 2 % faster than another of the very same
engine, for as long as it lives. The ratio of each round of processes is one value, and the interval
is of those, not of the blocks within them.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_scnet.core.events import Events, Progress
from edge_scnet.core.spec import ModelSpec
from edge_scnet.profiler.measure import Measurement, MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile
from edge_scnet.stats.figures import RatioStats
from edge_scnet.stats.timing import paired_ratio, ratio_of

# The fewest of which a 99 % interval of the median leaves out the lowest and the highest: one may
# be disturbed.
ROUNDS = 12


def time_in_rounds(
    files: Sequence[EngineFile], spec: ModelSpec, *, seconds: float, events: Events
) -> tuple[list[tuple[Measurement, ...]], bool]:
    """Times engines in rounds, each of new processes that are started in another order.

    Args:
        seconds: timed seconds per engine for latency, all rounds together; throughput is measured
            in the first.

    Returns:
        The engines' figures by round, in the order of `files`; whether all rounds were made.

    Raises:
        BackendError: an engine fails.
        KeyboardInterrupt: interrupted before anything was timed.
    """
    rounds: list[tuple[Measurement, ...]] = []
    for number in range(ROUNDS):
        order = list(range(len(files)))[:: -1 if number % 2 else 1]
        try:
            measured = measure(
                [files[i] for i in order],
                None,
                spec,
                MeasureSettings(
                    seconds=seconds / ROUNDS,
                    by_layer=False,
                    throughput=not number,
                    keep_partial=True,
                ),
                progress=_progress_of_round(number, events),
            )
        except KeyboardInterrupt:
            if not rounds:
                raise
            return rounds, False
        rounds.append(tuple(measured.engines[order.index(i)] for i in range(len(files))))
        if not measured.complete:
            return rounds, False
    return rounds, True


def _progress_of_round(number: int, events: Events) -> Progress:
    """Tells the timing in one round as a share of all rounds."""

    def progress(what: str, share: float, count: int = 0, unit: str = "") -> None:
        if what == "latency":
            events.progress("rounds", (number + share) / ROUNDS)

    return progress


def ratio_of_rounds(rounds: Sequence[tuple[Measurement, ...]], i: int) -> RatioStats:
    """The first engine's time over that of engine `i`: the median of the rounds' ratios."""
    return ratio_of(
        [paired_ratio(figures[0].blocks, figures[i].blocks).ratio for figures in rounds]
    )
