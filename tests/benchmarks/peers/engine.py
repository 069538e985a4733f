"""Runs finished files, in the project's own environment.

    python engine.py JOB.json

A job is one of four tasks.

logits: the first output of all test images, by the OpenVINO engine ("compiled") or by ONNX Runtime
with optimisations off ("simulated"). outputs: all outputs, by their numbers, in an .npz. compile:
the IR of an ONNX file, as `build` writes it. latency: several engines in this one process, in
blocks timed in turn. What is not quantized is pinned to float32.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from edge_scnet.config.target import load_target
from edge_scnet.graph.run import joined, ort_session
from edge_scnet.runtimes.base import OpenOptions, Session
from edge_scnet.runtimes.openvino import OPENVINO as ov
from edge_scnet.stats import timing

BLOCK_S, MIN_RUNS, WARM_BLOCKS = 0.15, 3, 3


def logits(job: dict[str, Any]) -> dict[str, Any]:
    found, facts = _run(job)
    np.save(job["out"], found[0])
    return facts


def outputs(job: dict[str, Any]) -> dict[str, Any]:
    found, facts = _run(job)
    with Path(job["out"]).open("wb") as file:
        np.savez(file, **{str(i): array for i, array in enumerate(found)})
    return facts


def compile_ir(job: dict[str, Any]) -> dict[str, Any]:
    ov.build(Path(job["model"]), load_target("cpu"), Path(job["out"]))
    return {}


def _run(job: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The outputs of all images, and how many convolutions execute in which precision."""
    images = np.load(job["images"], mmap_mode="r")
    singles = [images[i : i + 1] for i in range(len(images))]
    found, facts = dict[int, list[np.ndarray]](), dict[str, Any]()
    if job["how"] == "simulated":
        # images side by side: a small graph of batch 1 gains next to nothing from threads
        reference = ort_session(onnxruntime, Path(job["model"]), threads=1)
        name = reference.get_inputs()[0].name
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = dict(enumerate(pool.map(lambda x: reference.run(None, {name: x}), singles)))
    else:
        with ov.open(
            Path(job["model"]), OpenOptions(precision="f32", mode="throughput")
        ) as session:
            session.infer_many(
                singles, lambda i, rows: found.update({i: [np.array(row) for row in rows]})
            )
            layers = session.executed_precisions()
        facts["convolutions"] = Counter(
            layer.precision for layer in layers if layer.kind in ov.convolutions
        )
    return joined([found[i] for i in range(len(images))]), facts


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Times in milliseconds, and the ratio of the last engine's time to each other's: the median
    over the rounds.
    """
    images, names = (
        np.array(np.load(job["images"], mmap_mode="r")[:16]),
        [n for n in job.get("names", ("fp32", "ours", "row")) if n in job],
    )
    with contextlib.ExitStack() as stack:
        engines = [
            stack.enter_context(ov.open(Path(job[name]), OpenOptions(precision="f32")))
            for name in names
        ]
        blocks: dict[str, list[list[int]]] = {name: [] for name in names}
        gc.disable()  # a full collection takes milliseconds, which would be counted as an engine's
        for number in range(-WARM_BLOCKS, job["rounds"]):
            turned = np.roll(np.arange(len(names)), number // 2).tolist()
            for i in turned[::-1] if number % 2 else turned:
                times = _block(engines[i], images)
                if number >= 0:
                    blocks[names[i]].append(times)
        medians = {
            name: [float(np.median(times)) / 1e6 for times in rounds]
            for name, rounds in blocks.items()
        }
    ratios = {n: timing.paired_ratio(blocks[names[-1]], blocks[n]) for n in names[:-1]}
    return {
        "p50_ms": {
            name: float(np.median(np.concatenate(rounds))) / 1e6 for name, rounds in blocks.items()
        },
        "row_to": {name: (ratio.ratio, ratio.low, ratio.high) for name, ratio in ratios.items()},
        "round_medians_ms": medians,
        "load_average": os.getloadavg()[0],
    }


def _block(engine: Session, images: np.ndarray) -> list[int]:
    clock, times = time.perf_counter_ns, list[int]()
    engine.infer(images[-1:])  # untimed: the caches hold another engine
    end = clock() + int(BLOCK_S * 1e9)
    while len(times) < MIN_RUNS or clock() < end:
        image = images[len(times) % len(images)][None]
        started = clock()
        engine.infer(image)
        times.append(clock() - started)
    return times


if __name__ == "__main__":
    task = json.loads(Path(sys.argv[1]).read_text())
    tasks = {"logits": logits, "outputs": outputs, "compile": compile_ir, "latency": latency}
    record = tasks[task["task"]](task)
    Path(task["record"]).write_text(json.dumps(record))
    os._exit(0)  # the runtime's threads must not hold the process up
