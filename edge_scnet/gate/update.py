"""Baselines written and renewed from the reports of a run, and committed files verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_scnet.config import project
from edge_scnet.config.target import Gates, read_target
from edge_scnet.errors import ArtifactError, EdgeError
from edge_scnet.gate import baseline
from edge_scnet.gate.baseline import Change
from edge_scnet.gate.check import report_file
from edge_scnet.report.store import load_report


@dataclass(frozen=True, slots=True, kw_only=True)
class Updated:
    """A baseline that was written or renewed."""

    file: Path
    is_new: bool
    changes: tuple[Change, ...]
    # why it would hold later reports to little
    doubt: str | None


def update_from(
    report: Path, *, baselines: Path, limits: dict[str, Any] | None = None, accept: str | None
) -> Updated:
    """Writes the baseline of a report, or renews it.

    Args:
        report: a report.json, or a build folder that holds one.
        baselines: a baseline's file, or a folder of them named `<model>-<target>.json`.
        limits: limits set over the report's own, by name.
        accept: why the bar may be lowered.

    Raises:
        ArtifactError: no report or a damaged one; or as `baseline.update`.
        TargetError: no such limit.
    """
    loaded = load_report(report_file(report))
    file = baseline.file_of(baselines, loaded)
    is_new = not file.exists()
    gates = project.with_limits(loaded.gates or Gates(), limits or {})
    changes = baseline.update(file, loaded, gates, accept=accept)
    return Updated(file=file, is_new=is_new, changes=changes, doubt=baseline.doubt(loaded))


def change_words(change: Change) -> str:
    """A change as a line: "SQNR, dB: 31.20 -> 30.10"."""
    arrow = f"{change.before} -> {change.after}" if change.before else change.after
    return f"{change.what}: {arrow}"


def faults_of(files: Iterable[Path]) -> tuple[EdgeError, ...]:
    """What is wrong with baselines, target files and project files, one error a file."""
    faults = []
    for file in files:
        try:
            _read(file)
        except EdgeError as error:
            faults.append(error)
    return tuple(faults)


def _read(file: Path) -> None:
    if file.name == project.FILE:
        project.load(file)
    elif file.suffix == ".toml":
        read_target(file)
    elif file.suffix == ".json":
        baseline.load(file)
    else:
        raise ArtifactError(
            f"{file} is neither a baseline (.json) nor a target (.toml)",
            hint="name only such files",
        )
