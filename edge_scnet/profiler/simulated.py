"""Accuracy before the board: the Q/DQ graph in ONNX Runtime against the float graph, on the
evaluation images.

It tells the drop to expect, not the engine's: fusions and FP16 around INT8 are the runtime's. So
every row and verdict says "simulated". No figure of time or memory comes from here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge_scnet.core.events import Events
from edge_scnet.core.manifest import Manifest
from edge_scnet.core.optional import require
from edge_scnet.data.batches import batches
from edge_scnet.data.samples import SampleSet
from edge_scnet.graph.run import Observer
from edge_scnet.machine.linux import usable_cores
from edge_scnet.profiler.outputs import Outputs

_CHUNK = 64


def run_both(
    files: list[Path], samples: SampleSet, manifest: Manifest, events: Events
) -> list[Outputs]:
    ir = require("onnx_ir", extra="quantize")
    models = [ir.load(file) for file in files]
    names = [[str(value.name) for value in model.graph.outputs] for model in models]
    runs = [
        Observer(model, wanted, at_once=usable_cores()).run(
            batches(samples, manifest.model, batch=_CHUNK)
        )
        for model, wanted in zip(models, names, strict=True)
    ]
    del models
    logits: list[list[np.ndarray]] = [[], []]
    # by graph and output
    power, noise = np.zeros((2, len(names[0]))), np.zeros(len(names[0]))
    finite = [True, True]
    for done, pair in enumerate(zip(*runs, strict=True), start=1):
        values = [[row[name] for name in wanted] for row, wanted in zip(pair, names, strict=True)]
        for i, arrays in enumerate(values):
            finite[i] &= all(bool(np.isfinite(array).all()) for array in arrays)
            power[i] += [
                float(np.vdot(a, a)) for a in (array.astype(np.float64) for array in arrays)
            ]
            if arrays[0].ndim == 1:
                logits[i].append(arrays[0])
        differences = [a.astype(np.float64) - b for a, b in zip(values[1], values[0], strict=True)]
        noise += [float(np.vdot(d, d)) for d in differences]
        if done % _CHUNK == 0 or done == len(samples):
            events.progress("accuracy", done / len(samples), done, "images")
    return [
        Outputs(
            logits=np.stack(logits[i]) if logits[i] else None,
            signal_power=tuple(power[0].tolist()),
            own_power=tuple(power[i].tolist()),
            noise_power=tuple(noise.tolist()) if i else (0.0,) * len(noise),
            finite=finite[i],
            names=tuple(names[i]),
        )
        for i in range(2)
    ]
