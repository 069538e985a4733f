"""Options, logs and exports of trtexec, from TensorRT 8.5 to 11.

Formats differ by version: everything is read by its field names, and what is missing is named.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

from msgspec import Meta
from packaging.version import Version

from edge_scnet.core.json_records import convert, loads
from edge_scnet.core.manifest import PLAN_STEMS

# The fewest rounds that give their median an interval.
ROUNDS = 6
WARM_UP_MS = 500
MIN_QUERIES = 100
LAYER_OPTIONS = (
    "--iterations=50",
    "--dumpProfile",
    "--separateProfileRun",
    "--profilingVerbosity=detailed",
)
_JETPACK = Path("/usr/src/tensorrt/bin/trtexec")
# "v8502", "v100300"; some builds write "v11.1.0.106"
_BANNER = re.compile(r"\[TensorRT v(\d{4,7}|\d{1,2}(?:\.\d{1,9}){1,3})\]")
_OUTCOME = re.compile(r"^&&&& (PASSED|FAILED) TensorRT\.trtexec", re.MULTILINE)
_FIGURE = r"(\d{1,12}(?:\.\d{1,12})?(?:e[+-]?\d\d)?)"
_THROUGHPUT = re.compile(rf"\bThroughput: {_FIGURE} qps")
_GPU_TIMES = re.compile(
    rf"\bGPU Compute Time: min = {_FIGURE} ms, max = {_FIGURE} ms, mean = {_FIGURE} ms, median ="
    rf" {_FIGURE} ms"
)
_ERROR = re.compile(r"\[E\]|\bError\b")
# The parser's first line names a node; the cause stands behind the node's whole text, on lines
# without a tag: "... ERROR: onnxOpImporters.cpp:123 In function importTile:", "[6] Invalid Node -
# /Tile", "...".
_AT_NODE = re.compile(r"While parsing node number")
_CAUSE = re.compile(r"\bIn function \w{1,100}:")
_TAGGED = re.compile(r"^(?:\[\d\d/\d\d/\d{4}-|&&&& )")
_LINES_OF_CAUSE = 3
# How far the median of the exported times may be from the printed one, which has six digits.
_ROUNDING = 0.01
_HELP_S = 60
# trtexec's own warning (sampleInference.cpp, `createEnqueueFunction`).
_WITHOUT_GRAPH = re.compile(
    r"not permitted under CUDA graph capture|launched without using CUDA graph"
)
_MOST_SHOWN = 300  # characters of a line of its log


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """One query of --exportTimes, by trtexec's names."""

    computeMs: Annotated[float, Meta(gt=0, le=1e7)]
    # since the first query of the warm-up
    startComputeMs: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _ProfileRow:
    """A row of --exportProfile, by trtexec's names: the first counts the queries."""

    name: str | None = None
    # 8.4 and newer tell the median; before it there is the mean only
    medianMs: Annotated[float, Meta(ge=0, le=1e7)] | None = None
    averageMs: Annotated[float, Meta(ge=0, le=1e7)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """What one run printed."""

    # "10.3.0"; None: it printed none.
    version: str | None
    passed: bool
    first_error: str | None
    queries_per_second: float | None
    gpu_median_ms: float | None
    # The plan could not be recorded as a CUDA graph: trtexec went on without one.
    without_graph: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerProfile:
    """One layer's time in one query."""

    name: str
    median_ms: float


def find_trtexec() -> Path | None:
    """Finds the program: as TRTEXEC names it, on PATH, or where JetPack has it.

    JetPack's is not on PATH.
    """
    named = os.environ.get("TRTEXEC")
    if on_path := shutil.which(named or "trtexec"):
        return Path(on_path)
    return None if named else _JETPACK if os.access(_JETPACK, os.X_OK) else None


def version_told_by(program: Path) -> str | None:
    """Returns the version of TensorRT that a trtexec belongs to; None where it does not tell.

    Raises:
        OSError: it cannot be run.
    """
    try:
        done = subprocess.run(
            [program, "--help"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=_HELP_S,
        )
    except subprocess.TimeoutExpired:
        return None
    return parse_log(done.stdout + done.stderr).version


def timing_options(version: str, *, seconds: int, graph: bool = True) -> list[str]:
    """Returns the options to time a plan by, which mean the same in every version.

    They are a CUDA graph, spin wait and no transfers. 11 made these the defaults, and has options
    that switch them off.

    Args:
        graph: with a CUDA graph.
    """
    is_older = Version(version).major < 11
    return [
        *(["--useCudaGraph"] if graph and is_older else []),
        *([] if graph or is_older else ["--noCudaGraph"]),
        *(["--useSpinWait", "--noDataTransfers"] if is_older else []),
        f"--warmUp={WARM_UP_MS}",
        f"--duration={seconds}",
        f"--iterations={MIN_QUERIES}",
        "--avgRuns=1",
        "--percentile=90,99",
    ]


def round_order(number: int, graphs: Sequence[bool] = (True,)) -> list[tuple[str, bool]]:
    """Returns the stems of a round's plans in their order, each with a CUDA graph or without.

    The order alternates, so that a board that warms up slows all. Rounds count from 1, as in
    build.sh.

    Args:
        graphs: the ways to time each plan in.
    """
    order = [(PLAN_STEMS[name], graph) for name in ("fp16", "int8") for graph in graphs]
    return order if number % 2 else order[::-1]


def name_of_round(stem: str, number: int, *, plain: bool) -> str:
    """Returns how a round's files begin; `plain` those without a CUDA graph beside those with."""
    return f"{stem}.{number}{'.plain' if plain else ''}"


def version_of(number: str) -> str:
    """Returns the version that a banner's number means: "8502" is 8.5.2, "100300" is 10.3.0.

    With dots it is the version itself, and the build's number behind it.
    """
    if "." in number:
        return ".".join(number.split(".")[:3])
    value = int(number)
    if value >= 100_000:
        return f"{value // 10_000}.{value // 100 % 100}.{value % 100}"
    return f"{value // 1000}.{value // 100 % 10}.{value % 100}"


def parse_log(text: str) -> Log:
    """Reads what a run printed, whatever of it is there."""
    banner, rate, times = _BANNER.search(text), _THROUGHPUT.search(text), _GPU_TIMES.search(text)
    outcomes = _OUTCOME.findall(text)
    return Log(
        version=version_of(banner[1]) if banner else None,
        passed=bool(outcomes) and outcomes[-1] == "PASSED",
        first_error=_first_error(text.splitlines()),
        queries_per_second=float(rate[1]) if rate else None,
        gpu_median_ms=float(times[4]) if times else None,
        without_graph=_WITHOUT_GRAPH.search(text) is not None,
    )


def _first_error(lines: list[str]) -> str | None:
    """The first error, with its cause where the parser has that further down."""
    start = next((i for i, line in enumerate(lines) if _ERROR.search(line)), None)
    if start is None:
        return None
    first = lines[start].strip()[:_MOST_SHOWN]
    if not _AT_NODE.search(first):
        return first
    told = next((i for i in range(start, len(lines)) if _CAUSE.search(lines[i])), start)
    cause = _CAUSE.split(lines[told])[1:]
    for line in lines[told + 1 : told + 1 + _LINES_OF_CAUSE]:
        if _TAGGED.search(line):
            break
        cause.append(line.strip())
    return " ".join([first, *filter(None, cause)])[: 2 * _MOST_SHOWN]


def check_round(log: Log, times_ns: tuple[int, ...]) -> float:
    """Returns the queries per second of a round, whose log and times must belong together.

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
    if not log.queries_per_second > 0:
        raise ValueError(f"a throughput of {log.queries_per_second:g} qps")
    median_ms = median(times_ns) / 1e6
    if abs(median_ms - log.gpu_median_ms) > _ROUNDING * log.gpu_median_ms:
        raise ValueError(
            f"the exported times have a median of {median_ms:.4g} ms, the log says"
            f" {log.gpu_median_ms:.4g} ms"
        )
    return log.queries_per_second


class TrtexecError(Exception):
    """trtexec failed; its words, and its log's name."""

    def __init__(self, words: str, log: str) -> None:
        super().__init__(words)
        self.words, self.log = words, log


def run_trtexec(program: Path, arguments: Sequence[str], log: Path) -> None:
    """Runs trtexec, what it prints into a file.

    Raises:
        TrtexecError: it failed.
    """
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [program, *arguments], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        text = log.read_text(encoding="utf-8", errors="replace")
        words = parse_log(text).first_error or next(
            reversed(text.split("\n")[:-1]), f"exit code {done.returncode}"
        )
        raise TrtexecError(words, log.name)


def parse_times(text: str) -> tuple[int, ...]:
    """Reads GPU compute times in ns from --exportTimes, those of the warm-up left out.

    Before 8.5 trtexec exports them too; a query is of the warm-up by its rule, the start of its
    computation (sampleReporting.cpp, `isNotWarmup`).

    Raises:
        ValueError: no such JSON, or no times in it.
    """
    queries = [
        query
        for query in convert(tuple[_Query, ...], loads(text), path="times")
        if query.startComputeMs is None or query.startComputeMs >= WARM_UP_MS
    ]
    if not queries:
        raise ValueError("no queries were timed")
    return tuple(round(query.computeMs * 1e6) for query in queries)


def parse_profile(text: str) -> tuple[LayerProfile, ...]:
    """Reads times by layer from --exportProfile.

    Its first element counts the queries, the others are layers in their order.

    Raises:
        ValueError: no such JSON.
    """
    layers = []
    for row in convert(tuple[_ProfileRow, ...], loads(text), path="profile"):
        if row.name is None:
            continue
        time_ms = row.averageMs if row.medianMs is None else row.medianMs
        if time_ms is None:
            raise ValueError(f"the profile has no medianMs of {row.name[:_MOST_SHOWN]!r}")
        layers.append(LayerProfile(name=row.name, median_ms=time_ms))
    return tuple(layers)
