"""Accuracy before the board: outputs of the Q/DQ graph and of the float graph in ONNX Runtime.

It tells the drop to expect, not the engine's: fusions and FP16 around INT8 are the runtime's. So
every row and verdict says "simulated". No figure of time or memory comes from here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.ragged import batch_of_one
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import batch_of, load
from edge_scnet.graph.run import Observer
from edge_scnet.graph.shared import rows_of, run_rows
from edge_scnet.machine.linux import usable_cores
from edge_scnet.profiler.outputs import Outputs, OutputsSum
from edge_scnet.scale.pool import Pool
from edge_scnet.scale.shards import as_bytes, shards_of
from edge_scnet.scale.task import Task
from edge_scnet.tasks.base import Evaluator

if TYPE_CHECKING:
    import onnx_ir as ir

_CHUNK = 64


def evaluate_graphs(
    files: Sequence[Path],
    samples: SampleSet,
    spec: ModelSpec,
    progress: Progress,
    evaluator: Evaluator | None = None,
    pool: Pool | None = None,
) -> list[Outputs]:
    """The outputs of ONNX graphs for every image; the first graph is the reference.

    Args:
        evaluator: of the task; None: the first output has classes, where it can have.
        pool: whose workers run the graphs, with the same results; None: this process.

    Raises:
        DataError: an image cannot be read, or outputs are not those of the task.
    """
    models = [load(file) for file in files]
    names = [[str(value.name) for value in model.graph.outputs] for model in models]
    counted = {name for model in models for name in counted_outputs(model.graph)}
    if pool is None:
        runs = _run_here(models, names, samples, spec)
    else:
        batch = max(batch_of(model) for model in models)
        runs = _run_by(pool, files, batch, names, samples, spec)
    del models  # weights are the runtimes' now
    sums = OutputsSum(names, evaluator=evaluator, difference_dtype=np.float64)
    for done, rows in enumerate(runs, start=1):
        for index, (row, wanted) in enumerate(zip(rows, names, strict=True)):
            arrays = zip(row, wanted, strict=True)
            sums.add(index, [batch_of_one(one, counted=name in counted) for one, name in arrays])
        if done % _CHUNK == 0 or done == len(samples):
            progress("accuracy", done / len(samples), done, "images")
    return sums.outputs()


# By sample: of each graph its outputs.
_Runs = Iterator[Sequence[Sequence[np.ndarray]]]


def _run_here(
    models: Sequence[ir.Model],
    names: Sequence[Sequence[str]],
    samples: SampleSet,
    spec: ModelSpec,
) -> _Runs:
    """Runs the graphs in this process, a sample on each core."""

    def rows(observer: Observer, wanted: Sequence[str]) -> Iterator[list[np.ndarray]]:
        for row in observer.run(batches(samples, spec, batch=_CHUNK)):
            yield [row[name] for name in wanted]

    observers = [
        Observer(model, wanted, at_once=usable_cores())
        for model, wanted in zip(models, names, strict=True)
    ]
    each = [rows(observer, wanted) for observer, wanted in zip(observers, names, strict=True)]
    return zip(*each, strict=True)


def _run_by(
    pool: Pool,
    files: Sequence[Path],
    batch: int,
    names: Sequence[Sequence[str]],
    samples: SampleSet,
    spec: ModelSpec,
) -> _Runs:
    """Runs the graphs by the workers of a pool.

    Args:
        batch: the largest of the graphs.
    """
    graphs = {str(number): pool.blob(file.read_bytes()) for number, file in enumerate(files)}
    shards: deque[str] = deque()

    def tasks() -> Iterator[Task]:
        for shard in shards_of(batches(samples, spec, batch=_CHUNK), batch):
            shards.append(pool.blob(as_bytes(shard)))
            yield Task(
                work=run_rows,
                inputs={**graphs, "samples": shards[-1]},
                settings={"outputs": [[*wanted] for wanted in names]},
                images=len(shard),
            )

    for arrays in pool.in_turn(tasks()):
        # the set may be larger than the disk that temporary files are on
        pool.forget(shards.popleft())
        yield from rows_of(arrays, names)
