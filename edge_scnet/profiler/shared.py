"""Accuracy by workers: the outputs of engines for every image, as `outputs.evaluate` has them.

The samples are cut, made whole batches of and added up as there. Each engine computes in one thread
of a worker.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.samples import SampleSet
from edge_scnet.profiler.as_timed import check_as_timed
from edge_scnet.profiler.outputs import Outputs, OutputsSum, in_all_forms
from edge_scnet.profiler.process import Child, EngineFile
from edge_scnet.profiler.whole_batches import by_image, cycled
from edge_scnet.runtimes import runtime_named
from edge_scnet.runtimes.shared import SharedEngine, runs_of, shards_in, share, tasks_over
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.store import Arrays
from edge_scnet.scale.task import Task
from edge_scnet.tasks.base import Evaluator


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An engine, and what its own process told of it."""

    engine: EngineFile
    batch: int
    output_names: tuple[str, ...]
    # by output, whether its size depends on the data
    open_outputs: tuple[bool, ...]
    # what it gave for the first images as it was timed
    first_outputs: list[np.ndarray]


def opened_by(child: Child) -> Opened:
    """What a process tells of its engine."""
    return Opened(
        engine=child.engine,
        batch=child.batch,
        output_names=child.call("output_names"),
        open_outputs=child.call("open_outputs"),
        first_outputs=child.call("first_outputs"),
    )


def evaluate_by(
    pool: Pool,
    engines: Sequence[Opened],
    samples: SampleSet,
    spec: ModelSpec,
    progress: Progress,
    evaluator: Evaluator | None = None,
) -> list[Outputs]:
    """The outputs of every engine for every image, by the workers of a pool.

    Args:
        evaluator: of the task; None: the first output has classes, where it can have.

    Raises:
        DataError: an image cannot be read, or outputs are not those of the task.
        BackendError: a worker is another machine, its runtime refuses an engine, or an engine
            gives other outputs than while it was timed.
    """
    sums = OutputsSum([each.output_names for each in engines], evaluator=evaluator)
    sent: deque[_Sent] = deque()
    parts: list[Arrays] = []
    done = 0
    for arrays in pool.in_turn(_tasks(pool, engines, samples, spec, sent)):
        one = sent.popleft()
        # the set may be larger than the disk that temporary files are on
        pool.forget(one.samples)
        parts.append(arrays)
        if not one.images:
            continue
        engine = engines[one.engine]
        outputs = _joined(parts, engine, one.images)
        if not done:
            check_as_timed(engine.engine.path, engine.first_outputs, outputs)
        sums.add(one.engine, outputs)
        parts = []
        if one.engine == len(engines) - 1:
            done += one.images
            progress("accuracy", done / len(samples), done, "images")
    return sums.outputs()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """What a task on its way is of."""

    # its number
    engine: int
    # the hash of its samples
    samples: str
    # of the last task of a chunk, how many images that has; of others 0
    images: int


def _tasks(
    pool: Pool,
    engines: Sequence[Opened],
    samples: SampleSet,
    spec: ModelSpec,
    sent: deque[_Sent],
) -> Iterator[Task]:
    """The tasks of chunk after chunk, in each of engine after engine.

    Args:
        sent: what each task is of is put here.
    """
    shared = [_shared(pool, each) for each in engines]
    for chunk in in_all_forms([each.engine for each in engines], samples, spec):
        for number, (opened, engine) in enumerate(zip(engines, shared, strict=True)):
            images = chunk[opened.engine.input]
            whole = cycled(images, -(-len(images) // opened.batch) * opened.batch)
            tasks = tasks_over(engine, shards_in(pool, whole, opened.batch))
            for task in tasks:
                count = len(images) if task is tasks[-1] else 0
                sent.append(_Sent(engine=number, samples=task.inputs["samples"], images=count))
                yield task


def _shared(pool: Pool, opened: Opened) -> SharedEngine:
    engine = opened.engine
    runtime = runtime_named(engine.runtime)
    return share(pool, runtime, engine.path, engine.options, batch=opened.batch)


def _joined(parts: Sequence[Arrays], engine: Opened, images: int) -> list[np.ndarray]:
    """By output what an engine gave for a chunk, the images along the first axis."""
    runs = [run for arrays in parts for run in runs_of(arrays)]
    return [
        by_image(column, engine.batch, is_open=is_open)[:images]
        for column, is_open in zip(zip(*runs, strict=True), engine.open_outputs, strict=True)
    ]
