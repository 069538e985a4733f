"""Accuracy before the board: outputs of the Q/DQ graph and of the float graph in ONNX Runtime.

It tells the drop to expect, not the engine's: fusions and FP16 around INT8 are the runtime's. So
every row and verdict says "simulated". No figure of time or memory comes from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edge_scnet.core.events import Progress
from edge_scnet.core.ragged import batch_of_one
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import load
from edge_scnet.graph.run import Observer
from edge_scnet.machine.linux import usable_cores
from edge_scnet.profiler.outputs import Outputs, OutputsSum
from edge_scnet.tasks.base import Evaluator

_CHUNK = 64


def evaluate_graphs(
    files: Sequence[Path],
    samples: SampleSet,
    spec: ModelSpec,
    progress: Progress,
    evaluator: Evaluator | None = None,
) -> list[Outputs]:
    """The outputs of ONNX graphs for every image; the first graph is the reference.

    Args:
        evaluator: of the task; None: the first output has classes, where it can have.

    Raises:
        DataError: an image cannot be read, or outputs are not those of the task.
    """
    models = [load(file) for file in files]
    names = [[str(value.name) for value in model.graph.outputs] for model in models]
    counted = {name for model in models for name in counted_outputs(model.graph)}
    runs = [
        Observer(model, wanted, at_once=usable_cores()).run(batches(samples, spec, batch=_CHUNK))
        for model, wanted in zip(models, names, strict=True)
    ]
    del models
    sums = OutputsSum(names, evaluator=evaluator, difference_dtype=np.float64)
    for done, rows in enumerate(zip(*runs, strict=True), start=1):
        for index, (row, wanted) in enumerate(zip(rows, names, strict=True)):
            sums.add(index, [batch_of_one(row[name], counted=name in counted) for name in wanted])
        if done % _CHUNK == 0 or done == len(samples):
            progress("accuracy", done / len(samples), done, "images")
    return sums.outputs()
