"""Whose turn it is: blocks and windows that alternate between the children.

So drift of the machine cancels in ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data.samples import SampleSet
from edge_scnet.machine.linux import granted_cores
from edge_scnet.profiler.child import STAGES
from edge_scnet.profiler.process import Child
from edge_scnet.stats.figures import EndToEnd
from edge_scnet.stats.timing import end_to_end, prepared_ahead

MIN_RUNS = 100
_BLOCK_S = 0.15
_ROUNDS = 12
_THROUGHPUT_WARM_UP_S = 0.3
# Of throughput: six windows are the fewest of which the median has a 95 % interval. There are more
# where each has room for so long and so many inferences: what a window's beginning and end cost
# must not count.
_LEAST_WINDOWS, _MOST_WINDOWS = 6, 12
_WINDOW_S, _WINDOW_RUNS = 0.1, 20
# of end to end
_PASSES = 3
_AHEAD_PASSES = 5
_ONE_CORE = "there is one core, and it takes a second"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedBlocks:
    """The timed blocks of one engine so far."""

    # by block: run times in ns
    times_ns: list[list[int]] = field(default_factory=list)
    # by block: resident memory after it
    resident_bytes: list[int] = field(default_factory=list)


def turn_order(count: int, number: int) -> list[int]:
    """The order of the children in a round: turned every second round, reversed in between.

    Turning alone keeps the cyclic order, so that a child would always run after the same one.
    Turning at every round and reversing at odd ones would cancel where there are two.
    """
    order: list[int] = np.roll(np.arange(count), number // 2).tolist()
    return order[::-1] if number % 2 else order


def time_blocks(
    children: Sequence[Child],
    seconds: float,
    progress: Progress,
    blocks: Sequence[TimedBlocks],
    *,
    graphs: Sequence[bool | None] | None = None,
) -> None:
    """Times blocks of runs, the children in another order each round.

    Args:
        children: one that is timed in two ways is there twice.
        seconds: of each child, all blocks together; at least `MIN_RUNS` runs are timed.
        blocks: by child; each block is added as soon as it is timed.
        graphs: by child, with its CUDA graph or without; None: as it is.
    """
    rounds = max(_ROUNDS, round(seconds / _BLOCK_S))
    for number in range(rounds):
        for i in turn_order(len(children), number):
            times, resident = children[i].call(
                "timed_block",
                seconds / rounds,
                -(-MIN_RUNS // rounds),
                *(() if graphs is None or graphs[i] is None else (graphs[i],)),
            )
            blocks[i].times_ns.append(times)
            blocks[i].resident_bytes.append(resident)
        runs = sum(map(len, blocks[0].times_ns))
        progress("latency", (number + 1) / rounds, runs, "runs each")


def time_end_to_end(
    children: Sequence[Child],
    samples: SampleSet,
    spec: ModelSpec,
    seconds: float,
    progress: Progress,
) -> list[EndToEnd | None]:
    """Times batches from the file to the first classes, in windows alternated between the children.

    Args:
        seconds: of each child, all windows together.
    """
    stage_times: list[list[tuple[int, ...]]] = [[] for _ in children]
    for number in range(_PASSES):
        for i in turn_order(len(children), number):
            own = engine_spec(spec, children[i].engine.input)
            stage_times[i] += children[i].call("end_to_end", samples, own, seconds / _PASSES)
        progress("end to end", (number + 1) / _PASSES)
    return [
        end_to_end(rows, STAGES, images=child.batch)
        for child, rows in zip(children, stage_times, strict=True)
    ]


def time_ahead(
    times: Sequence[EndToEnd | None],
    children: Sequence[Child],
    samples: SampleSet,
    spec: ModelSpec,
    seconds: float,
    progress: Progress,
) -> list[EndToEnd | None]:
    """Times loops whose next batch is prepared on a core that the engines leave.

    The engines are opened again for it.

    Args:
        times: the plain loops', by child.
        seconds: of each child, all windows together.

    Returns:
        The same with these times, or with why there are none.
    """
    cores = granted_cores()
    if cores < 2:
        return [each and replace(each, no_ahead=_ONE_CORE) for each in times]
    threads = []
    for child in children:
        asked = child.engine.options.threads or cores
        # 0: an engine on a GPU takes no cores
        threads.append(min(asked, cores - 1) if child.on_cpu else 0)
        child.call("open_ahead", threads[-1])
    windows: list[list[tuple[float, float]]] = [[] for _ in children]
    for number in range(_AHEAD_PASSES):
        for i in turn_order(len(children), number):
            own = engine_spec(spec, children[i].engine.input)
            windows[i].append(children[i].call("ahead", samples, own, seconds / _AHEAD_PASSES))
        progress("prepared ahead", (number + 1) / _AHEAD_PASSES)
    found = [
        prepared_ahead(of_child, threads=count, images=child.batch)
        for of_child, count, child in zip(windows, threads, children, strict=True)
    ]
    return [each and replace(each, ahead=own) for each, own in zip(times, found, strict=True)]


def measure_throughput(
    children: Sequence[Child], seconds: float, progress: Progress
) -> list[tuple[float, ...]]:
    """Images per second by child and window, the windows alternated as the blocks are.

    Args:
        seconds: of each child, all windows together.
    """
    warm_up_seconds = min(seconds, _THROUGHPUT_WARM_UP_S)
    slowest = max(child.call("open_throughput", warm_up_seconds) for child in children)
    windows = window_count(seconds, slowest)
    rates: list[list[float]] = [[] for _ in children]
    for number in range(windows):
        for i in turn_order(len(children), number):
            rates[i].append(children[i].call("throughput", seconds / windows))
        progress("throughput", (number + 1) / windows)
    return [tuple(of_child) for of_child in rates]


def window_count(seconds: float, run_seconds: float) -> int:
    """The number of windows of throughput.

    Args:
        seconds: of all windows together.
        run_seconds: of an inference of the slowest engine.
    """
    fitting = seconds / max(_WINDOW_S, _WINDOW_RUNS * run_seconds)
    return min(max(int(fitting), _LEAST_WINDOWS), _MOST_WINDOWS)
