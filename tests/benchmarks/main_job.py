"""Holds the main job's figures to their limits.

    python tests/benchmarks/main_job.py [--out DIR]

Builds the bundled model for `cpu`, and for `cpu-avx2` acted by ONEDNN_MAX_CPU_ISA=AVX2, each in a
fresh folder, and prints JSON: wall seconds, accuracy, SQNR, executed precisions, latencies, with
the machine. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LIMITS = {
    "cpu": {"drop_high_pp": 0.20, "agreement_percent": 99.6, "sqnr_db": 32.0, "wall_seconds": 90.0},
    "cpu-avx2": {
        "drop_high_pp": 0.20,
        "agreement_percent": 99.6,
        "sqnr_db": 28.0,
        "wall_seconds": 90.0,
    },
}
AT_MOST = ("drop_high_pp", "wall_seconds")


def run(target: str, out: Path) -> dict[str, object]:
    environment = {**os.environ, **({"ONEDNN_MAX_CPU_ISA": "AVX2"} if target == "cpu-avx2" else {})}
    command = [
        sys.executable,
        "-m",
        "edge_scnet",
        "build",
        "--target",
        target,
        "--out",
        str(out / target),
        "--json",
    ]
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    wall = time.perf_counter() - started
    report = json.loads(done.stdout)
    manifest = json.loads(next((out / target).glob("*/*/manifest.json")).read_text())
    engines = {engine["name"]: engine for engine in report["engines"]}
    int8 = engines["int8"]
    figures = {
        "wall_seconds": wall,
        "drop_pp": int8["accuracy"]["labels"]["drop_pp"],
        "drop_high_pp": int8["accuracy"]["labels"]["drop_high_pp"],
        "agreement_percent": int8["accuracy"]["agreement_percent"],
        "sqnr_db": int8["accuracy"]["sqnr_db"],
    }
    missed = [
        key
        for key, limit in LIMITS[target].items()
        if (figures[key] > limit if key in AT_MOST else figures[key] < limit)
    ]
    if set(int8["convolutions"]) - {"u8", "i8"}:
        missed.append("convolutions")
    return {
        "target": target,
        "figures": figures,
        "limits": LIMITS[target],
        "missed": missed,
        "exit_code": done.returncode,
        "floor": manifest["floor"],
        "fidelity": manifest["artifacts"]["model.xml"]["facts"]["fidelity"],
        "parity": manifest["artifacts"]["model.onnx"]["facts"]["parity"]["worst"],
        "stage_seconds": report["stage_seconds"],
        "engines": {
            name: {
                "p50_ms": e["latency"]["p50_ms"],
                "p90_ms": e["latency"]["p90_ms"],
                "speedup": e["speedup"],
                "images_per_second": e["throughput_per_second"],
                "top1_percent": e["accuracy"]["labels"]["top1_percent"],
                "convolutions": e["convolutions"],
                "size_bytes": e["size_bytes"],
                "memory": e["memory"],
            }
            for name, e in engines.items()
        },
        "environment": report["environment"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    out = args.out or Path(tempfile.mkdtemp())
    results = [run(target, out) for target in LIMITS]
    print(json.dumps({"benchmark": "main_job", "runs": results}, indent=1))
    sys.exit(any(result["missed"] for result in results))


if __name__ == "__main__":
    main()
