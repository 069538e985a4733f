"""Measures how often the gate fails an unchanged engine.

    python tests/benchmarks/gate_false_alarms.py [--runs 50] [--work DIR] [--out FILE]

Builds the bundled model once, writes its baseline, and then profiles and checks the unchanged
engines again and again: the evaluation images in another order each time (other images are timed,
and the seed is the run's number), every fifth run on one core, blocks of another length. How
many checks did not pass, and which findings. No failure in 50 bounds the rate at 6 % (one-sided
95 %: 1 - 0.05 ** (1 / 50)). Exit code 1 when any failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bundled_set import published, write_idx
from envelope import begin

TARGET = "cpu"
TOOL = (sys.executable, "-m", "edge_scnet")


def write_shuffled(folder: Path, seed: int) -> Path:
    """The bundled evaluation set in another order."""
    images, labels = published("eval")
    order = np.random.default_rng(seed).permutation(len(images))
    return write_idx(folder, images[order], labels[order])


def check_again(folder: Path, baseline: Path, run: int, scratch: Path) -> dict[str, object]:
    """One profile and one check of the unchanged build."""
    cores = os.sched_getaffinity(0)
    used = {min(cores)} if run % 5 == 0 else cores
    seconds = str(1.0 + 0.25 * (run % 3))
    images = write_shuffled(scratch / "eval", run)
    for arguments in (
        ("profile", str(folder), "--eval", str(images), "--seconds", seconds, "--json"),
        ("check", str(folder), "--baseline", str(baseline), "--json"),
    ):
        done = subprocess.run(
            [*TOOL, *arguments],
            capture_output=True,
            text=True,
            preexec_fn=lambda: os.sched_setaffinity(0, used),
        )
    shown = json.loads(done.stdout)
    rows = shown["reports"] if shown["kind"] == "check" else []
    findings = rows[0]["findings"] if rows else []
    return {
        "run": run,
        "cores": len(used),
        "exit_code": done.returncode,
        "not_passed": [f for f in findings if f["exit_code"]],
        "stderr": done.stderr[-300:] if not rows else "",
        "speed": next((f["measured"] for f in findings if f["metric"] == "speed"), None),
        "skipped": [f["metric"] for f in findings if f["verdict"] == "skipped"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--work", type=Path, help="keep and go on with what is there")
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun, out = begin(), given.work or Path(tempfile.mkdtemp())
    folder, baseline = out / "scnet20-fashion-mnist" / TARGET, out / "baselines"
    subprocess.run(
        [*TOOL, "build", "--target", TARGET, "--out", str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    subprocess.run(
        [
            *TOOL,
            "baseline",
            "update",
            str(folder),
            "--baseline",
            str(baseline),
            "--accept",
            "benchmark",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    runs = []
    for run in range(1, given.runs + 1):
        runs.append(check_again(folder, baseline, run, out))
        print(run, runs[-1]["exit_code"], runs[-1]["speed"], file=sys.stderr, flush=True)
    alarms = [run for run in runs if run["exit_code"]]
    bound = 1 - 0.05 ** (1 / len(runs)) if not alarms else None
    result = {
        "runs": len(runs),
        "alarms": len(alarms),
        "rate_upper95": bound,
        "of": alarms,
        "speeds": [run["speed"] for run in runs],
    }
    begun.write(result, given.out)
    sys.exit(1 if alarms else 0)


if __name__ == "__main__":
    main()
