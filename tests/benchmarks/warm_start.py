"""How long engines take to load: compiled, from OpenVINO's cache, from a compiled blob.

    python tests/benchmarks/warm_start.py BUILD [BUILD...] [--rounds 15] [--out FILE]

BUILD is a build folder of a target of OpenVINO. Each way is timed in processes of its own, in turn:
the plug-in is loaded, then the engine is opened, which is timed, and run once. The blob is the one
that a target with `compiled_blob = true` puts beside the engine; its hash, which `predict` looks at
first, is timed by itself. The cache is OpenVINO's own, `CACHE_DIR`, filled by a run before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from envelope import begin

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.files import sha256_file
from edge_scnet.runtimes.base import OpenOptions
from edge_scnet.runtimes.openvino import OPENVINO

WAYS = ("compiled", "cache", "cache of the model alone", "blob")

# what a process of its own runs: the seconds until the engine is ready, and of its first inference
CHILD = """
import json, sys, time
from pathlib import Path

import numpy as np
import openvino as ov
from edge_scnet.runtimes.openvino_blob import load_blob

way, engine, place, precision = sys.argv[1:]
core = ov.Core()
core.get_property("CPU", "FULL_DEVICE_NAME")
settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
if way.startswith("cache"):
    settings["CACHE_DIR"] = place
if way == "cache of the model alone":
    settings["CACHE_MODE"] = "OPTIMIZE_SIZE"
started = time.perf_counter()
if way == "blob":
    compiled = load_blob(core, Path(place), settings)
else:
    compiled = core.compile_model(engine, "CPU", settings)
request = compiled.create_infer_request()
ready = time.perf_counter()
feed = {port: np.zeros(port.shape, port.element_type.to_dtype()) for port in compiled.inputs}
outputs = [np.array(value) for value in request.infer(feed).values()]
end = time.perf_counter()
from_cache = compiled.get_property("LOADED_FROM_CACHE")
sums = [float(np.abs(output).sum()) for output in outputs]
print(json.dumps([ready - started, end - ready, bool(from_cache), sums]))
"""


def run_child(way: str, engine: Path, place: Path, precision: str) -> tuple[float, float, Any, Any]:
    command = [sys.executable, "-c", CHILD, way, str(engine), str(place), precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    load, first, from_cache, sums = json.loads(done.stdout.splitlines()[-1])
    return load, first, from_cache, sums


def median_ms(seconds: list[float]) -> float:
    return round(1e3 * statistics.median(seconds), 3)


def spread_ms(seconds: list[float]) -> list[float]:
    low, high = np.percentile(seconds, [25, 75])
    return [round(1e3 * float(low), 3), round(1e3 * float(high), 3)]


def measure(build: Path, rounds: int, work: Path) -> dict[str, Any]:
    folder = BuildFolder.open(build)
    engine = folder.verified("model.xml")
    folder.verified("model.bin")
    precision = folder.manifest.precision_hint
    blob = work / "model.blob"
    started = time.perf_counter()
    OPENVINO.save_blob(engine, OpenOptions(), blob)
    written = time.perf_counter() - started
    started = time.perf_counter()
    sha256_file(blob)
    hashed = time.perf_counter() - started
    places = {way: work / way.replace(" ", "-") for way in WAYS} | {"blob": blob}
    for way in WAYS[1:3]:
        run_child(way, engine, places[way], precision)  # fills the cache
    loads: dict[str, list[float]] = {way: [] for way in WAYS}
    firsts: dict[str, list[float]] = {way: [] for way in WAYS}
    from_cache, sums = {}, {}
    for number in range(rounds):
        for way in WAYS if number % 2 else reversed(WAYS):
            load, first, from_cache[way], sums[way] = run_child(way, engine, places[way], precision)
            loads[way].append(load)
            firsts[way].append(first)
    ways = {
        way.replace(" ", "_"): {
            "load_ms": median_ms(loads[way]),
            "load_quartiles_ms": spread_ms(loads[way]),
            "first_inference_ms": median_ms(firsts[way]),
            "loaded_from_cache": from_cache[way],
            "same_outputs": sums[way] == sums["compiled"],
            "time_of_compiled": round(
                statistics.median(
                    own / other for own, other in zip(loads[way], loads["compiled"], strict=True)
                ),
                4,
            ),
        }
        for way in WAYS
    }
    cached = {way: sum(f.stat().st_size for f in places[way].glob("*.blob")) for way in WAYS[1:3]}
    return {
        "rounds": rounds,
        "ways": ways,
        "engine_bytes": sum((build / name).stat().st_size for name in ("model.xml", "model.bin")),
        "blob_bytes": blob.stat().st_size,
        "cache_bytes": cached["cache"],
        "cache_of_the_model_alone_bytes": cached["cache of the model alone"],
        "blob_written_s": round(written, 3),
        "blob_hashed_ms": round(1e3 * hashed, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("builds", type=Path, nargs="+", metavar="BUILD")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    args = parser.parse_args()
    begun = begin()
    figures = {}
    for build in args.builds:
        with tempfile.TemporaryDirectory() as work:
            name = BuildFolder.open(build).manifest.model.name.replace("-", "_")
            figures[name] = measure(build, args.rounds, Path(work))
    begun.write(figures, args.out)


if __name__ == "__main__":
    main()
