"""Accuracy before the board: the Q/DQ graph in ONNX Runtime against the float graph, on the evaluation images.

It tells the drop to expect, not the engine's: fusions and FP16 around INT8 are the runtime's. So every row and verdict says
"simulated". No figure of time or memory comes from here.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, Artifact, Manifest, verify
from edge_scnet.core.optional import require
from edge_scnet.data.samples import SampleSet, batches
from edge_scnet.graph.run import Observer
from edge_scnet.machine.environment import usable_cores
from edge_scnet.pipeline.assemble import flips_of, judge, new_report, packed_first_classes, rows_of_outputs, stats_of
from edge_scnet.profiler.measure import Outputs
from edge_scnet.report.run_report import EngineReport, RunReport
from edge_scnet.stats.figures import AccuracyStats

_CHUNK = 64


def simulate_and_judge(
    folder: Path, manifest: Manifest, samples: SampleSet, *, target: TargetSpec, stage_seconds: dict[str, float],
    events: Events,
) -> tuple[RunReport, int]:  # fmt: skip
    """Runs both graphs on the evaluation set and judges by the target's gates: the report, and the exit code.

    Raises:
        DataError: an image that cannot be read, labels that do not fit the model.
    """
    started = time.perf_counter()
    labels = samples.label_rule or "no labels"
    events.stage("simulate", f"float and Q/DQ graph in ONNX Runtime on {len(samples):,} images, {labels}")
    entries = [manifest.artifacts[FLOAT_ONNX], manifest.artifacts[QDQ_ONNX]]
    outputs = _run_both([verify(folder, entry) for entry in entries], samples, manifest, events)
    rows = [
        _row(entry, name, stats_of(name, entry.file, found, outputs[0], samples), found, samples)
        for entry, name, found in zip(entries, ("fp32", "int8 simulated"), outputs, strict=True)
    ]
    findings = judge(rows, target)
    events.done("simulated, not executed", reused=False)
    seconds = {**stage_seconds, "simulate": round(time.perf_counter() - started, 2)}
    report, code = new_report(manifest, rows, samples, findings, target=target, stage_seconds=seconds)
    return replace(report, flips=flips_of(outputs[1], outputs[0], samples, manifest.model)), code


def _run_both(files: list[Path], samples: SampleSet, manifest: Manifest, events: Events) -> list[Outputs]:
    ir = require("onnx_ir", extra="quantize")
    models = [ir.load(file) for file in files]
    names = [[str(value.name) for value in model.graph.outputs] for model in models]
    runs = [
        Observer(model, wanted, at_once=usable_cores()).run(batches(samples, manifest.model, batch=_CHUNK))
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
            power[i] += [float(np.vdot(a, a)) for a in (array.astype(np.float64) for array in arrays)]
            if arrays[0].ndim == 1:
                logits[i].append(arrays[0])
        differences = [a.astype(np.float64) - b for a, b in zip(values[1], values[0], strict=True)]
        noise += [float(np.vdot(d, d)) for d in differences]
        if done % _CHUNK == 0 or done == len(samples):
            events.progress("accuracy", done / len(samples), done, "images")
    return [
        Outputs(
            logits=np.stack(logits[i]) if logits[i] else None, signal_power=tuple(power[0].tolist()),
            own_power=tuple(power[i].tolist()), noise_power=tuple(noise.tolist()) if i else (0.0,) * len(noise),
            finite=finite[i], names=tuple(names[i]),
        )
        for i in range(2)
    ]  # fmt: skip


def _row(entry: Artifact, name: str, accuracy: AccuracyStats, outputs: Outputs, samples: SampleSet) -> EngineReport:
    return EngineReport(
        name=name, runtime="onnxruntime", file=entry.file, sha256=entry.sha256, size_bytes=entry.size_bytes,
        precision_hint="f32", convolutions={}, other_layers={}, load_seconds=None, warm_up_seconds=None, latency=None,
        speedup=None, throughput_per_second=None, memory=None, accuracy=accuracy,
        first_classes=packed_first_classes(outputs, samples), outputs=rows_of_outputs(outputs),
    )  # fmt: skip
