"""Baselines: the report that later ones are held to, as a committed file that detects manual edits.

A baseline is a report without its raw samples, the limits, and the reasons of whoever accepted a
loss. It is one JSON file, named after model and target, sealed by a hash of its content: an edit
goes through `gate/update.py`, which shows what changes and asks for a reason where something gets
worse.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from edge_scnet.config.target import Gates
from edge_scnet.core.foreign import reason
from edge_scnet.core.json_records import convert, encode_pretty, read_json
from edge_scnet.core.output_file import write_output
from edge_scnet.core.schema_number import check_schema
from edge_scnet.errors import ArtifactError, TargetError
from edge_scnet.gate import half, regression
from edge_scnet.report.run_report import (
    EngineReport,
    RunReport,
    accuracy_row,
    timed_row,
)
from edge_scnet.report.store import upgraded
from edge_scnet.report.validate import check_values

# 2: the report in it is of schema 3.
SCHEMA = 2
_READS = (1, SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """A loss that somebody took on, and why."""

    date_utc: str
    reason: str
    losses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What later reports are held to."""

    # without raw samples
    report: RunReport
    limits: Gates
    accepted: tuple[Acceptance, ...] = ()


def file_of(path: Path, model: str, target: str) -> Path:
    """Returns a baseline's file: `path` itself, or `<model>-<target>.json` where it is a folder."""
    return path if path.suffix == ".json" else path / f"{model}-{target}.json"


def save(baseline: Baseline, path: Path) -> None:
    """Writes the file with its seal.

    Raises:
        StorageError: the folder cannot be written.
    """
    content = {"schema": SCHEMA, **msgspec.to_builtins(baseline)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_output(path, encode_pretty({"sha256": _seal(content), **content}))


def load(path: Path, *, report: Path | None = None) -> Baseline:
    """Reads a baseline.

    Args:
        report: the file that is held to it, which hints name; None: not known.

    Raises:
        ArtifactError: missing, no baseline, of another schema, or edited by hand.
    """
    file = shlex.quote(str(path))
    of = "REPORT" if report is None else shlex.quote(str(report))
    write = f"edge-scnet baseline update {of} --baseline {file}"
    update = f"restore it: git checkout {file}; or remove it, and write it anew: {write}"
    try:
        content = read_json(path)
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no baseline at {path}",
            hint=f"write one: {write}",
        ) from error
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} is not a baseline: {reason(error)}", hint=update) from error
    if not isinstance(content, dict) or "schema" not in content or "limits" not in content:
        raise ArtifactError(f"{path} is not a baseline: it lacks schema or limits", hint=update)
    check_schema(path, content["schema"], _READS, hint=update)
    if content.pop("sha256", None) != _seal(content):
        raise ArtifactError(
            f"{path} was edited by hand: its content has not the hash it says",
            hint=f'git checkout {file}, or change it with a reason: {write} --accept "REASON"',
        )
    try:
        baseline = convert(Baseline, {**content, "report": upgraded(content.get("report"))})
        check_values(baseline.report)
    except (ValueError, TargetError) as error:
        raise ArtifactError(f"{path} is incomplete: {error}", hint=update) from error
    return baseline


def _seal(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def of_report(report: RunReport, limits: Gates, *, accepted: Sequence[Acceptance] = ()) -> Baseline:
    """Makes a baseline of what a report says.

    Raises:
        ArtifactError: it is damaged, has nothing to hold others to, or breaks the limits itself.
    """
    if half.is_half(report):
        raise ArtifactError(
            f"{report.model} for {report.target} is FP16 alone: nothing is quantized, and a"
            " baseline holds an INT8 engine",
            hint="without one edge-scnet check holds it to its own limits against FP32",
        )
    if not report.complete or report.quantization is None or report.provenance is None:
        raise ArtifactError(
            "a baseline needs a complete report of this version",
            hint="edge-scnet profile BUILD_FOLDER",
        )
    if accuracy_row(report) is None and timed_row(report) is None:
        raise ArtifactError(
            "the report holds no INT8 engine to hold others to",
            hint="edge-scnet profile BUILD_FOLDER",
        )
    rows = tuple(_lean(row) for row in report.engines if row.role != "default")
    # no raw times, and no pictures of somebody's images in a file that is committed
    lean = replace(
        report,
        engines=rows,
        findings=(),
        stage_seconds={},
        flips=None,
        worst=(),
        sweep=(),
        sweep_load=None,
        load=None,
    )
    try:
        findings = regression.compare(report, lean, limits=limits)
    except ValueError as error:
        raise ArtifactError(
            f"the report is damaged: {error}", hint="edge-scnet profile BUILD_FOLDER"
        ) from error
    broken = next((finding for finding in findings if finding.verdict == "fail"), None)
    if broken is not None:
        raise ArtifactError(
            f"the limits contradict the report that the baseline is made of: {broken.metric}:"
            f" {broken.message}",
            hint=(
                "mend the engine, or set a limit that it keeps: --limit KEY=VALUE or the target's"
                " [gates]"
            ),
        )
    return Baseline(report=lean, limits=limits, accepted=tuple(accepted))


def _lean(row: EngineReport) -> EngineReport:
    if row.latency is None:
        return row
    latency = replace(row.latency, samples_ns=(), blocks=())
    return replace(row, latency=latency, throughput_windows=())
