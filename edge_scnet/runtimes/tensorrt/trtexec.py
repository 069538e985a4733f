"""trtexec's words: how it is asked, and what it prints and exports, from TensorRT 8.5 to 11. Pure,
but for finding the program.

Formats differ by version: everything is read by its field names, and what is missing is named.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from packaging.version import Version

from edge_scnet.core.manifest import PLAN_STEMS

ROUNDS = 6  # the least that give the median of the rounds an interval
WARM_UP_MS = 500
MIN_QUERIES = 100
_JETPACK = Path("/usr/src/tensorrt/bin/trtexec")
_BANNER = re.compile(r"\[TensorRT v(\d+)\]")
_OUTCOME = re.compile(r"^&&&& (PASSED|FAILED) TensorRT\.trtexec", re.MULTILINE)
_THROUGHPUT = re.compile(r"\bThroughput: ([0-9.]+) qps")
_GPU_TIMES = re.compile(
    r"\bGPU Compute Time: min = ([\d.]+) ms, max = ([\d.]+) ms, mean = ([\d.]+) ms, median ="
    r" ([\d.]+) ms"
)
_ERROR = re.compile(r"\[E\]|\bError\b")
# Of the median of the exported times from the printed one: it prints six digits.
_ROUNDING = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What one run printed."""

    version: str | None  # "10.3.0"; None: it printed none
    passed: bool
    first_error: str | None
    queries_per_second: float | None
    gpu_median_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProfile:
    """One layer's time in one query."""

    name: str
    median_ms: float


def find_trtexec() -> Path | None:
    """The program: as TRTEXEC names it, on PATH, or where JetPack has it, which is not on PATH."""
    if named := os.environ.get("TRTEXEC"):
        return Path(named) if os.access(named, os.X_OK) else None
    if found := shutil.which("trtexec"):
        return Path(found)
    return _JETPACK if os.access(_JETPACK, os.X_OK) else None


def timing_options(version: str, *, seconds: int) -> list[str]:
    """How a plan is timed, the same in every version: CUDA graph, spin wait, no transfers.

    11 changed the defaults to these, so that its options are those that switch them off.
    """
    older = (
        ["--useCudaGraph", "--useSpinWait", "--noDataTransfers"]
        if Version(version).major < 11
        else []
    )
    return [
        *older,
        f"--warmUp={WARM_UP_MS}",
        f"--duration={seconds}",
        f"--iterations={MIN_QUERIES}",
        "--avgRuns=1",
        "--percentile=90,99",
    ]


LAYER_OPTIONS = (
    "--iterations=50",
    "--dumpProfile",
    "--separateProfileRun",
    "--profilingVerbosity=detailed",
)


def round_order(number: int) -> tuple[str, str]:
    """The stems of a round's plans, in turn: a board that warms up slows both. Rounds count from 1,
    as build.sh's.
    """
    fp16, int8 = PLAN_STEMS["fp16"], PLAN_STEMS["int8"]
    return (fp16, int8) if number % 2 else (int8, fp16)


def version_of(number: str) -> str:
    """ "8502" is 8.5.2, "100300" is 10.3.0."""
    value = int(number)
    if value >= 100_000:
        return f"{value // 10_000}.{value // 100 % 100}.{value % 100}"
    return f"{value // 1000}.{value // 100 % 10}.{value % 100}"


def parse_log(text: str) -> Log:
    """What a run printed, whatever of it is there."""
    banner, rate, times = _BANNER.search(text), _THROUGHPUT.search(text), _GPU_TIMES.search(text)
    outcomes = _OUTCOME.findall(text)
    error = next((line for line in text.splitlines() if _ERROR.search(line)), None)
    return Log(
        version=version_of(banner[1]) if banner else None,
        passed=bool(outcomes) and outcomes[-1] == "PASSED",
        first_error=error.strip() if error else None,
        queries_per_second=float(rate[1]) if rate else None,
        gpu_median_ms=float(times[4]) if times else None,
    )


def check_round(log: Log, times_ns: tuple[int, ...]) -> float:
    """The queries per second of a round whose log and times belong together.

    Raises:
        ValueError: the run failed or printed no figures, or the times are of another run.
    """
    if not log.passed:
        raise ValueError(f"trtexec did not pass: {log.first_error or 'its log ends early'}")
    if log.queries_per_second is None or log.gpu_median_ms is None:
        missing = (
            "Throughput: ... qps"
            if log.queries_per_second is None
            else "GPU Compute Time: ... median = ..."
        )
        raise ValueError(f"a log of trtexec has no line '{missing}'")
    found = median(times_ns) / 1e6
    if abs(found - log.gpu_median_ms) > _ROUNDING * log.gpu_median_ms:
        raise ValueError(
            f"the exported times have a median of {found:.4g} ms, the log says"
            f" {log.gpu_median_ms:.4g} ms"
        )
    return log.queries_per_second


def parse_times(text: str) -> tuple[int, ...]:
    """GPU compute times in ns, of --exportTimes; warm-up queries are not in it.

    Raises:
        ValueError: no such JSON, or no times in it.
    """
    try:
        times = tuple(round(float(row["computeMs"]) * 1e6) for row in json.loads(text))
    except (KeyError, TypeError) as error:
        raise ValueError(f"no computeMs: {error}") from error
    if not times:
        raise ValueError("no queries were timed")
    return times


def parse_profile(text: str) -> tuple[LayerProfile, ...]:
    """Times by layer, of --exportProfile: its first element counts the queries, the others are
    layers in their order.

    Raises:
        ValueError: no such JSON.
    """
    rows: Any = json.loads(text)
    try:
        layers = [row for row in rows if "name" in row]
        # 8.4 and newer tell the median; before it there is the mean only
        return tuple(
            LayerProfile(
                name=str(r["name"]),
                median_ms=float(r["medianMs" if "medianMs" in r else "averageMs"]),
            )
            for r in layers
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no profile of layers: {error}") from error
