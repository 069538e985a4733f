"""Compares the profiler's figures with those of other programs.

    python tests/benchmarks/profiler.py BUILD_FOLDER [--rounds 10] [--out FILE]

On one INT8 engine of a build for the CPU:

- against OpenVINO, same IR, hint and precision, in alternating rounds: median latency against the
  loop of its sample sync_benchmark.py, and against benchmark_app, which stamps inside the runtime,
  so that what a caller in Python waits for besides (10 us) is not in it; throughput against
  benchmark_app's;
- the timed loop against a bare one on the same request, blocks of both in turn in one process;
- the evaluation of all bundled images, decoded and preprocessed, against the engine's asynchronous
  throughput in the same run;
- how long the page takes to write, and its size.

Exit code 1 when a figure is missed.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from envelope import begin
from evaluation import LEAST_EVALUATION, evaluation

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.spec import ModelSpec, engine_spec
from edge_scnet.data import samples as dataset
from edge_scnet.pipeline import build_folder as engines
from edge_scnet.profiler.child import Server
from edge_scnet.profiler.measure import MeasureSettings, measure
from edge_scnet.profiler.process import EngineFile, engine_process, timed_images
from edge_scnet.stats.timing import paired_ratio

_BLOCK_S = 0.3
SECONDS = 4.0  # timed, of each figure and round
LATENCY_WITHIN, LEAST_THROUGHPUT, OVERHEAD_WITHIN = 0.02, 0.97, 0.01
PAGE_SECONDS, PAGE_BYTES = 2.0, 5_000_000


def benchmark_app(engine: EngineFile, hint: str, api: str) -> tuple[float, float]:
    """OpenVINO's own figures: median latency in ms, inferences a second. From its text: its JSON
    has hundredths of a ms.
    """
    program = shutil.which("benchmark_app", path=str(Path(sys.executable).parent))
    assert program is not None
    options = [
        "-d",
        "CPU",
        "-hint",
        hint,
        "-api",
        api,
        "-infer_precision",
        "f32",
        "-t",
        str(int(SECONDS)),
    ]
    text = subprocess.run(
        [program, "-m", engine.path, *options], check=True, capture_output=True, text=True
    ).stdout
    median, unit = re.findall(r"Median:\s+([\d.]+) (us|ms)", text)[-1]
    return float(median) / (1e3 if unit == "us" else 1), float(
        re.findall(r"Throughput:\s+([\d.]+) FPS", text)[-1]
    )


_SAMPLE = """
import sys, statistics, openvino as ov
from time import perf_counter
import numpy as np
options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
compiled = ov.Core().compile_model(sys.argv[1], "CPU", options)
request = compiled.create_infer_request()
for tensor in request.input_tensors:
    values = np.random.default_rng(0).standard_normal(tensor.data.shape)
    tensor.data[:] = values if tensor.data.dtype.kind == "f" else values * 32 + 128
request.infer()
for line in sys.stdin:
    latencies, end = [], perf_counter() + float(line)
    while (start := perf_counter()) < end:
        request.infer()
        latencies.append(perf_counter() - start)
    print(int(1e9 * statistics.median(latencies)), flush=True)
"""


def against_sample(engine: EngineFile, spec: ModelSpec, rounds: int) -> dict[str, object]:
    """Our median latency over that of the loop of OpenVINO's sample sync_benchmark.py, which times
    around the call.

    Blocks of both in turn, each in a process of its own; new processes every 20 rounds, for one may
    be luckier than another.
    """
    ratios = []
    for _ in range(rounds // 2):
        command = [sys.executable, "-c", _SAMPLE, str(engine.path)]
        with (
            engine_process(engine, spec) as ours,
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as theirs,
        ):
            assert theirs.stdin is not None and theirs.stdout is not None

            def sample(seconds: float, process: subprocess.Popen[str] = theirs) -> list[int]:
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(f"{seconds}\n")
                process.stdin.flush()
                return [int(process.stdout.readline())]

            ours.call("warm_up")
            sample(1.0)
            mine, other = [], []
            for number in range(20):
                if number % 2:
                    other.append(sample(_BLOCK_S))
                mine.append(ours.call("block", _BLOCK_S, 5))
                if not number % 2:
                    other.append(sample(_BLOCK_S))
        ratios.append(paired_ratio(mine, other).ratio)
        print("sample", ratios[-1], file=sys.stderr, flush=True)
    return {"ratios": ratios, "ratio": float(np.median(ratios))}


def against_benchmark_app(engine: EngineFile, spec: ModelSpec, rounds: int) -> dict[str, object]:
    """Ours over theirs, by round: latency (theirs is stamped inside the runtime) and throughput."""
    latency, throughput = [], []

    def theirs() -> tuple[float, float]:
        return (
            benchmark_app(engine, "latency", "sync")[0],
            benchmark_app(engine, "throughput", "async")[1],
        )

    for number in range(rounds):
        other = theirs() if number % 2 else None
        (mine,) = measure([engine], None, spec, MeasureSettings(seconds=SECONDS)).engines
        median, rate = other or theirs()
        assert mine.throughput_per_second is not None
        latency.append(mine.latency.p50_ms / median)
        throughput.append(mine.throughput_per_second / rate)
        print("benchmark_app", number, latency[-1], throughput[-1], file=sys.stderr, flush=True)
    return {
        "latency_ratios": latency,
        "throughput_ratios": throughput,
        "latency_ratio": float(np.median(latency)),
        "throughput_ratio": float(np.median(throughput)),
    }


def overhead(engine: EngineFile, spec: ModelSpec, rounds: int) -> dict[str, object]:
    """The median of our timed block over that of a bare loop on the same request."""
    images = timed_images(None, engine_spec(spec, engine.input))
    server = Server()
    server.load(engine.runtime, engine.path, engine.options, images)
    server.warm_up()
    held = server._session._request
    request, own = held.native, held.native.input_tensors[0].data

    def bare() -> list[int]:
        times: list[int] = []
        end = time.perf_counter_ns() + 200_000_000
        while time.perf_counter_ns() < end:
            image = server._timed[len(times) % 16]
            started = time.perf_counter_ns()
            own[...] = image
            request.infer(share_outputs=True)
            times.append(time.perf_counter_ns() - started)
        return times

    ours, others = [], []
    for number in range(10 * rounds):
        if number % 2:
            others.append(bare())
        ours.append(server.block(0.2, 5))
        if not number % 2:
            others.append(bare())
    ratio = paired_ratio(ours, others)
    server._stack.close()
    return {"ratio": ratio.ratio, "low": ratio.low, "high": ratio.high}


def bundled_evaluation(engine: EngineFile, spec: ModelSpec, rounds: int) -> dict[str, object]:
    """All bundled images of the model's data set, against the engine's throughput."""
    source = dataset.bundled_sets(str(spec.dataset))[1]
    return evaluation(
        engine,
        lambda: dataset.open_samples(source, model=spec, role="evaluation"),
        spec,
        rounds,
        SECONDS,
    )


def page(folder: Path) -> dict[str, object]:
    """Seconds of the command that writes the page, and its bytes: the median of five."""
    seconds = []
    with tempfile.TemporaryDirectory() as out:
        for _ in range(5):
            started = time.perf_counter()
            command = [
                sys.executable,
                "-m",
                "edge_scnet",
                "report",
                folder,
                "--html",
                Path(out) / "r.html",
            ]
            subprocess.run(command, check=True)
            seconds.append(time.perf_counter() - started)
        return {
            "seconds": float(np.median(seconds)),
            "bytes": (Path(out) / "r.html").stat().st_size,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun = begin()
    folder = BuildFolder.open(given.folder)
    manifest = folder.manifest
    engine = engines.engine_files(folder)[2]
    # an evaluation needs images that the model belongs to
    found = {
        "page": page(given.folder),
        "overhead": overhead(engine, manifest.model, given.rounds),
        "evaluation": (
            bundled_evaluation(engine, manifest.model, given.rounds)
            if manifest.model.dataset
            else None
        ),
        "sample": against_sample(engine, manifest.model, given.rounds),
        "benchmark_app": against_benchmark_app(engine, manifest.model, given.rounds),
    }
    app, loop = found["benchmark_app"], found["overhead"]
    kept = {
        "latency": abs(found["sample"]["ratio"] - 1) <= LATENCY_WITHIN,
        "latency to benchmark_app": abs(app["latency_ratio"] - 1) <= LATENCY_WITHIN,
        "throughput": app["throughput_ratio"] >= LEAST_THROUGHPUT,
        "overhead": abs(loop["ratio"] - 1) <= OVERHEAD_WITHIN,
        "evaluation": found["evaluation"] is None
        or found["evaluation"]["ratio"] >= LEAST_EVALUATION,
        "page": found["page"]["seconds"] < PAGE_SECONDS and found["page"]["bytes"] < PAGE_BYTES,
    }
    begun.write({**found, "kept": kept}, given.out)
    sys.exit(0 if all(kept.values()) else 1)


if __name__ == "__main__":
    main()
