"""Calibration by many workers: each observes shards, and their statistics are merged exactly.

The result is that of `calibrate.collect_here`, bit for bit: a graph computes in one thread there
too, and the bins of histograms merge without error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.graph.model import batch_of
from edge_scnet.graph.shared import graph_bytes, graph_from
from edge_scnet.quantizer.calibrate import (
    CalibrationImages,
    Halves,
    Run,
    add,
    check_count,
    empty_halves,
    half_of,
)
from edge_scnet.quantizer.histogram import Accumulator
from edge_scnet.quantizer.summary import Summarizer
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.shards import as_bytes, from_bytes, shards_of
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Inputs, Task

if TYPE_CHECKING:
    import onnx_ir as ir


def collect_by(pool: Pool) -> Callable[[ir.Model, Sequence[str], bool], Run]:
    """Has graphs observed by the workers of a pool; for `calibrate`."""

    def collect(model: ir.Model, names: Sequence[str], histogram: bool) -> Run:
        graph, batch = pool.blob(graph_bytes(model)), batch_of(model)
        settings = {"names": [*names], "bins": histogram}

        def run(images: CalibrationImages, progress: Callable[[int], None]) -> Halves:
            halves, seen = empty_halves(names, histogram=histogram), 0
            sent: deque[Task] = deque()

            def tasks() -> Iterator[Task]:
                for task in _tasks(pool, graph, images, settings, batch):
                    sent.append(task)
                    yield task

            for arrays in pool.in_turn(tasks()):
                task = sent.popleft()
                # the set may be larger than the disk that temporary files are on
                pool.forget(task.inputs["samples"])
                _merge(halves, names, arrays)
                seen += task.images
                progress(seen)
            check_count(seen, images)
            pool.forget(graph)
            return halves

        return run

    return collect


def _tasks(
    pool: Pool, graph: str, images: CalibrationImages, settings: Mapping[str, Any], batch: int
) -> Iterator[Task]:
    """A task for each shard, as the images come.

    Args:
        batch: of the graph, which no shard cuts.
    """
    seen = 0
    for shard in shards_of(images.batches, batch):
        numbers = range(seen, seen + len(shard))
        yield Task(
            work=observe,
            inputs={"graph": graph, "samples": pool.blob(as_bytes(shard))},
            settings={**settings, "halves": [half_of(images, number) for number in numbers]},
            images=len(shard),
        )
        seen += len(shard)


def observe(inputs: Inputs, settings: Mapping[str, Any]) -> Arrays:
    """The statistics of a shard, in two halves.

    Args:
        inputs: "graph" and "samples".
        settings: "names" of the tensors, "bins": whether there are histograms, and "halves": of
            each sample the half it belongs to.
    """
    names, bins = settings["names"], settings["bins"]
    summarizer = inputs.made(("graph",), _summarizer, bins, *names)
    halves = empty_halves(names, histogram=bins)
    samples = from_bytes(inputs["samples"])
    for which, summaries in zip(settings["halves"], summarizer.run([samples]), strict=True):
        add(halves[which], summaries)
    return _arrays_of(halves)


def _summarizer(data: bytes, bins: bool, *names: str) -> Summarizer:
    return Summarizer(graph_from(data), names, sample=bins)


def _arrays_of(halves: Halves) -> Arrays:
    """Statistics as arrays: of each half and tensor a row, and all bins one behind the other."""
    every = [accumulator for half in halves for accumulator in half.values()]
    for accumulator in every:
        accumulator.settle()
    return {
        "ends": np.array([(each.minimum, each.maximum) for each in every], np.float64),
        "grids": np.array(
            [(each.exponent, each.first_bin, each.finite, each.counts.size) for each in every],
            np.int64,
        ),
        "counts": np.concatenate([each.counts for each in every]),
    }


def _merge(halves: Halves, names: Sequence[str], arrays: Arrays) -> None:
    """Adds the statistics of a shard."""
    rows = zip(arrays["ends"].tolist(), arrays["grids"].tolist(), strict=True)
    start = 0
    for half in halves:
        for name in names:
            (minimum, maximum), (exponent, first_bin, finite, size) = next(rows)
            other = Accumulator(histogram=half[name].histogram)
            other.minimum, other.maximum, other.finite = minimum, maximum, bool(finite)
            other.exponent, other.first_bin = exponent, first_bin
            other.counts = arrays["counts"][start : start + size]
            half[name].merge(other)
            start += size
