"""Measures INT8 against FP32, both through ONNX Runtime: SCNet-50, and the bundled network.

    python tests/benchmarks/onnxruntime_int8.py --calib DIR --eval DIR --work DIR [--out FILE]

Each is built for the target `onnxruntime`, whose engines are timed in turn. SCNet-50 at 224 px has
the weights of `scnet50_224.py`, which no training made: its times mean something, and its agreement
with FP32 does not.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from envelope import begin
from scnet50_224 import make_checkpoint, some_of

TARGET = """\
title = "The onnxruntime target with 300 calibration images"
why = "The benchmark fixes the number of images."
runtime = "onnxruntime"
device = "CPU"
precision = "int8"
isa = "native"
opset = 20

[quant]
placement = "onnxruntime"
variant = "VARIANT"
samples = 300

# no training made the weights: which layers lose what of them is not asked for
[gates]
min_agreement_percent = 0
"""


def built(*arguments: object) -> dict[str, Any]:
    """The report of `edge-scnet build` with these arguments."""
    command = [sys.executable, "-m", "edge_scnet", "build", "--json", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if not done.stdout:
        sys.exit(done.returncode)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def figures_of(report: dict[str, Any]) -> dict[str, Any]:
    """The rows of a report by name, and its verdict."""
    rows = {
        row["name"]: {
            "p50_ms": row["latency"]["p50_ms"],
            "p90_ms": row["latency"]["p90_ms"],
            "speedup": row["speedup"],
            "images_per_second": row["throughput_per_second"],
            "convolutions": row["convolutions"],
            "memory": row["memory"],
            "settings": row["settings"],
            "sqnr_db": row["accuracy"]["sqnr_db"],
            "agreement_percent": row["accuracy"]["agreement_percent"],
            "labels": row["accuracy"]["labels"],
        }
        for row in report["engines"]
    }
    return {
        "engines": rows,
        "stage_seconds": report["stage_seconds"],
        "verdict": report["verdict"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calib", type=Path, required=True, help="photographs")
    parser.add_argument("--eval", type=Path, required=True, help="photographs")
    parser.add_argument("--work", type=Path, required=True, help="for the checkpoint and builds")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--images", type=int, default=100, help="to evaluate, of those of --eval")
    parser.add_argument("--variant", default="fast", choices=("fast", "accurate"))
    args = parser.parse_args()
    begun = begin()
    args.work.mkdir(parents=True, exist_ok=True)
    checkpoint, target = args.work / "scnet50.pth", args.work / "onnxruntime-300.toml"
    target.write_text(TARGET.replace("VARIANT", args.variant))
    make_checkpoint("scnet50", args.calib, checkpoint)
    photographs = some_of(args.eval, args.images, args.work / "eval")
    common = ["--out", args.work, "--seconds", args.seconds]
    scnet50 = built(
        checkpoint,
        "--arch",
        "scnet50",
        "--target",
        target,
        "--calib",
        args.calib,
        "--eval",
        photographs,
        "--ignore-labels",
        *common,
    )
    bundled = built("--target", "onnxruntime", *common)
    figures = {"scnet50": figures_of(scnet50), "scnet20": figures_of(bundled)}
    begun.write({"variant": args.variant, **figures}, args.out)


if __name__ == "__main__":
    main()
