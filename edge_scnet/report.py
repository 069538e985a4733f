"""`RunReport`: everything one run measured, to and from JSON, and as a table. Reads and renders; measures nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_scnet.artifact import record_from_json, write_text
from edge_scnet.errors import ArtifactError
from edge_scnet.gate import Finding
from edge_scnet.metrics import AccuracyStats, LatencyStats, MemoryStats, RatioStats

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine's row."""

    name: str  # "fp32", "default", "int8"
    runtime: str
    file: str
    sha256: str
    size_bytes: int
    precision_hint: str
    convolutions: dict[str, int]  # how many convolutions execute in which precision
    other_layers: dict[str, int]
    load_seconds: float
    warm_up_seconds: float
    latency: LatencyStats
    speedup: RatioStats | None  # time of the first row over this row's, in the same alternated blocks
    throughput_per_second: float
    memory: MemoryStats
    accuracy: AccuracyStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The images that accuracy was measured on."""

    name: str
    sha256: str
    images: int
    skipped: int
    labels: str | None  # how labels were found; None: unlabelled


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run: which engines of which model for which target, on which images, by which machine and command."""

    schema: int
    created_utc: str
    command: str
    model: str
    target: str
    batch: int  # images per inference: what a latency is the time of
    engines: tuple[EngineReport, ...]
    evaluation: EvaluationSet | None
    findings: tuple[Finding, ...]
    verdict: str
    stage_seconds: dict[str, float]
    environment: dict[str, Any]


def save_report(report: RunReport, path: Path) -> None:
    """Writes the report as JSON.

    Raises:
        StorageError: the folder cannot be written.
    """
    write_text(path, to_json(report) + "\n")


def to_json(report: RunReport) -> str:
    return json.dumps(asdict(report), indent=1, allow_nan=False)


def load_report(path: Path) -> RunReport:
    """Reads what `save_report` wrote.

    Raises:
        ArtifactError: not such a file, or of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA:
            raise ArtifactError(f"{path} has schema {content['schema']}, this version reads {SCHEMA}")
        report: RunReport = record_from_json(RunReport, content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is not a report: {error}", hint="make one: edge-scnet profile BUILD_FOLDER") from error
    return report


def verdict(findings: Sequence[Finding]) -> str:
    """One line: ship or not, and why. Accuracy decides first; an engine that gains nothing is not worth shipping either."""
    if not findings:
        return "no INT8 engine was measured"
    by_metric = {finding.metric: finding for finding in findings}
    speed = by_metric.pop("speed")
    accuracy = next(iter(by_metric.values()), None)
    if accuracy is None:
        return f"not judged: no evaluation images. INT8 has {speed.message}"
    if accuracy.verdict == "fail":
        return f"do not ship: {accuracy.message}"
    if speed.verdict == "fail":
        return f"do not ship: {speed.message} {accuracy.message}"
    if accuracy.verdict == "inconclusive":
        return f"not proven: {accuracy.message}"
    return f"ship INT8: {speed.message} {accuracy.message}"


def _speed(ratio: RatioStats | None) -> str:
    return "-" if ratio is None else f"{ratio.ratio:.2f}x"


def table(report: RunReport) -> Table:
    """The summary: one row an engine."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    columns = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("engine", "p50 ms", "p90", "p99", "speed", "images/s", "load MB", "steady MB", "size MB", "convolutions"):
        columns.add_column(
            title, justify="left" if title in ("engine", "convolutions") else "right", no_wrap=title != "convolutions"
        )
    if report.evaluation is not None:
        for title in ("top-1 %", "drop pp (95 %)", "agree %", "SQNR dB"):
            columns.add_column(title, justify="right", no_wrap=True)
    for engine in report.engines:
        row = [
            engine.name, f"{engine.latency.p50_ms:.3f}", f"{engine.latency.p90_ms:.3f}", f"{engine.latency.p99_ms:.3f}",
            _speed(engine.speedup), f"{engine.throughput_per_second:,.0f}", f"{engine.memory.load_peak_bytes / 2**20:,.0f}",
            f"{engine.memory.steady_bytes / 2**20:,.0f}", f"{engine.size_bytes / 1e6:.2f}",
            ", ".join(f"{count} {name}" for name, count in engine.convolutions.items()) or "not told",
        ]  # fmt: skip
        if report.evaluation is not None:
            row += _accuracy_cells(engine.accuracy, reference=engine.name == "fp32")
        columns.add_row(*row)
    return columns


def _accuracy_cells(stats: AccuracyStats | None, *, reference: bool) -> list[str]:
    if stats is None:
        return ["-"] * 4
    top1 = "-" if stats.top1_percent is None else f"{stats.top1_percent:.2f}"
    if reference:
        return [top1, "-", "-", "-"]
    drop = "-" if stats.drop_pp is None else f"{stats.drop_pp:+.2f} ({stats.drop_low_pp:+.2f} to {stats.drop_high_pp:+.2f})"
    return [
        top1,
        drop,
        "-" if stats.agreement_percent is None else f"{stats.agreement_percent:.2f}",
        "exact" if stats.sqnr_db is None else f"{stats.sqnr_db:.1f}",
    ]
