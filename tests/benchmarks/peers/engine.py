"""Runs finished files, in the project's own environment.

    python engine.py JOB.json

A job is one of two tasks.

logits: of all test images, by the OpenVINO engine ("compiled") or by ONNX Runtime with
optimisations off ("simulated"). latency: several engines in this one process, in blocks timed in
turn. What is not quantized is pinned to float32.
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

from edge_scnet.runtimes.base import OpenOptions, Session
from edge_scnet.runtimes.openvino import OPENVINO as ov
from edge_scnet.stats import timing

BLOCK_S, MIN_RUNS, WARM_BLOCKS = 0.15, 3, 3


def logits(job: dict[str, Any]) -> dict[str, Any]:
    images = np.load(job["images"], mmap_mode="r")
    singles, found = [images[i : i + 1] for i in range(len(images))], dict[int, np.ndarray]()
    facts = {}
    if job["how"] == "simulated":
        settings = onnxruntime.SessionOptions()
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        settings.log_severity_level = 3
        settings.intra_op_num_threads = (
            1  # images side by side: a small graph of batch 1 gains next to nothing from threads
        )
        reference = onnxruntime.InferenceSession(
            job["model"], settings, providers=["CPUExecutionProvider"]
        )
        name = reference.get_inputs()[0].name
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            found = dict(
                enumerate(pool.map(lambda image: reference.run(None, {name: image})[0], singles))
            )
    else:
        with ov.open(
            Path(job["model"]), OpenOptions(precision="f32", mode="throughput")
        ) as session:
            session.infer_many(singles, lambda i, outputs: found.update({i: outputs[0]}))
            layers = session.executed_precisions()
        facts["convolutions"] = Counter(
            layer.precision for layer in layers if layer.kind in ov.convolutions
        )
    np.save(job["out"], np.concatenate([found[i] for i in range(len(images))]))
    return facts


def latency(job: dict[str, Any]) -> dict[str, Any]:
    """Times in milliseconds, and the ratio of the row's time to each other engine's: the median
    over the rounds.
    """
    images, names = (
        np.array(np.load(job["images"], mmap_mode="r")[:16]),
        [n for n in ("fp32", "ours", "row") if n in job],
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
    ratios = {name: timing.paired_ratio(blocks["row"], blocks[name]) for name in names[:-1]}
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
    record = {"logits": logits, "latency": latency}[task["task"]](task)
    Path(task["record"]).write_text(json.dumps(record))
    os._exit(0)  # the runtime's threads must not hold the process up
