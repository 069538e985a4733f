"""Holds the main job's figures to their limits.

    python tests/benchmarks/main_job.py [--out FILE] [--work DIR]

Builds the bundled model for `cpu`, and for `cpu-avx2` acted by ONEDNN_MAX_CPU_ISA=AVX2, each in a
fresh folder: wall seconds, accuracy, SQNR, executed precisions, latencies, and what is printed of
the first. Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from envelope import begin

LIMITS = {
    "cpu": {"drop_high_pp": 0.20, "agreement_percent": 99.6, "sqnr_db": 32.0, "wall_seconds": 90.0},
    "cpu-avx2": {
        "drop_high_pp": 0.20,
        "agreement_percent": 99.6,
        "sqnr_db": 28.0,
        "wall_seconds": 90.0,
    },
}
# how far a stage is
_PASSING = re.compile(r"\d %.* left$")
AT_MOST = ("drop_high_pp", "wall_seconds")


def run(target: str, out: Path) -> dict[str, Any]:
    """Builds for a target, and returns what came of it."""
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
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    wall = time.perf_counter() - started
    print(done.stderr, file=sys.stderr, flush=True)
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
        **figures,
        "limits": LIMITS[target],
        "missed": missed,
        "exit_code": done.returncode,
        "floor": manifest["floor"],
        "fidelity": manifest["artifacts"]["model.xml"]["facts"]["fidelity"],
        "parity": manifest["artifacts"]["model.onnx"]["facts"]["parity"]["worst"],
        "stage_seconds": report["stage_seconds"],
        "engines": {name: engine_row(engine) for name, engine in engines.items()},
        "verdict": report["verdict"],
        "progress": [line for line in done.stderr.splitlines() if not _PASSING.search(line)],
        "printed": printed(next((out / target).glob("*/*/report.json"))),
    }


def engine_row(engine: dict[str, Any]) -> dict[str, Any]:
    """The figures of one engine of a report."""
    accuracy, labels = engine["accuracy"], engine["accuracy"]["labels"]
    return {
        "p50_ms": engine["latency"]["p50_ms"],
        "p90_ms": engine["latency"]["p90_ms"],
        "speedup": engine["speedup"],
        "images_per_second": engine["throughput_per_second"],
        "top1_percent": labels["top1_percent"],
        **{key: labels[key] for key in ("drop_pp", "drop_low_pp", "drop_high_pp")},
        "agreement_percent": accuracy["agreement_percent"],
        "sqnr_db": accuracy["sqnr_db"],
        "convolutions": engine["convolutions"],
        "size_bytes": engine["size_bytes"],
        "memory": engine["memory"],
    }


def printed(report: Path) -> list[str]:
    """The lines that are printed of a report, 80 columns wide."""
    command = [sys.executable, "-m", "edge_scnet", "report", str(report)]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "80"}
    )
    return [line.rstrip() for line in done.stdout.splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    parser.add_argument("--work", type=Path, help="for the builds")
    args = parser.parse_args()
    begun, work = begin(), args.work or Path(tempfile.mkdtemp())
    runs = {target: run(target, work) for target in LIMITS}
    begun.write({"runs": runs}, args.out)
    sys.exit(any(found["missed"] for found in runs.values()))


if __name__ == "__main__":
    main()
