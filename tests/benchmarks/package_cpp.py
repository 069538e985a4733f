"""Compares the C++ program of a package with benchmark_app on the same engine, in turn.

    python tests/benchmarks/package_cpp.py BUILD_FOLDER... [--rounds 10] [--seconds 3] [--out FILE]

Both load the IR with the same hint and precision and run one synchronous inference after the other;
each round has a process of each, in alternating order. Exit code 1 where the C++ program's median
is the greater.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import openvino
from envelope import begin

from edge_scnet.core.manifest import load_manifest
from edge_scnet.pipeline.package import package

MOST_RATIO = 1.0


def compiled(build: Path, folder: Path) -> Path:
    """The program of a build's package."""
    package(build, form="cpp", out=folder, anyway=True)
    cmake = Path(openvino.__path__[0]) / "cmake"
    for command in (
        ["cmake", "-S", ".", "-B", "b", f"-DOpenVINO_DIR={cmake}"],
        ["cmake", "--build", "b"],
    ):
        subprocess.run(command, check=True, cwd=folder, stdout=sys.stderr)
    return folder / "b" / "run"


def ours_ms(program: Path, seconds: float) -> dict[str, float]:
    """Median and least time of the C++ program."""
    done = subprocess.run(
        [program, "--benchmark", str(seconds)], check=True, capture_output=True, text=True
    )
    return {
        name: float(re.findall(rf"{name} ([\d.]+) ms", done.stdout)[0])
        for name in ("median", "least")
    }


def theirs_ms(engine: Path, seconds: float) -> dict[str, float]:
    """Median and least time of benchmark_app."""
    program = shutil.which("benchmark_app", path=str(Path(sys.executable).parent))
    assert program is not None
    options = ["-d", "CPU", "-hint", "latency", "-api", "sync", "-infer_precision", "f32"]
    done = subprocess.run(
        [program, "-m", engine, *options, "-t", str(max(1, round(seconds)))],
        check=True,
        capture_output=True,
        text=True,
    )
    times = {}
    for name, word in (("median", "Median"), ("least", "Min")):
        number, unit = re.findall(rf"{word}:\s+([\d.]+) (us|ms)", done.stdout)[-1]
        times[name] = float(number) / (1e3 if unit == "us" else 1)
    return times


def compared(build: Path, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Times of both programs by round, and their ratios, of one build."""
    rounds_ms = []
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(build, Path(folder, "package"))
        for number in range(rounds):
            times = {}
            for name in ("cpp", "benchmark_app")[:: -1 if number % 2 else 1]:
                if name == "cpp":
                    times[name] = ours_ms(program, seconds)
                else:
                    times[name] = theirs_ms(build / "model.xml", seconds)
            rounds_ms.append(times)
            print(times, file=sys.stderr, flush=True)
    ratios = {
        name: statistics.median(
            each["cpp"][name] / each["benchmark_app"][name] for each in rounds_ms
        )
        for name in ("median", "least")
    }
    return {"rounds": rounds_ms, "ratios": ratios}


def main() -> int:
    """Writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("builds", type=Path, nargs="+", metavar="BUILD_FOLDER")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    begun = begin()
    found = {
        load_manifest(build).model.name: compared(build, rounds=asked.rounds, seconds=asked.seconds)
        for build in asked.builds
    }
    begun.write({"builds": found, "most": MOST_RATIO}, asked.out)
    return int(any(each["ratios"]["median"] > MOST_RATIO for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
