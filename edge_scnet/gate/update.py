"""Baselines written and renewed from the reports of a run, and committed files verified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_scnet.config import project
from edge_scnet.config.target import Gates, check_own_name, read_target
from edge_scnet.core.clock import now_utc
from edge_scnet.core.folder_lock import in_turn
from edge_scnet.errors import ArtifactError, EdgeError
from edge_scnet.gate import baseline
from edge_scnet.gate.baseline import Acceptance
from edge_scnet.gate.changes import Change, changes, doubt
from edge_scnet.gate.check import report_file
from edge_scnet.report.run_report import RunReport
from edge_scnet.report.store import load_report


def update(
    path: Path, report: RunReport, limits: Gates, *, accept: str | None
) -> tuple[Change, ...]:
    """Writes a baseline, or renews the one that is there.

    Returns:
        What changed; nothing for a new one.

    Raises:
        ArtifactError: it is damaged; the bar would be lowered and no reason was given; or as
            `baseline.load` and `baseline.of_report`.
    """
    if not path.exists():
        baseline.save(baseline.of_report(report, limits), path)
        return ()
    old = baseline.load(path)
    if (old.report.model, old.report.target) != (report.model, report.target):
        raise ArtifactError(
            f"{path} is the baseline of {old.report.model} for {old.report.target}, the report is"
            f" of {report.model} for {report.target}",
            hint=f"name its own: --baseline {path.parent / f'{report.model}-{report.target}.json'}",
        )
    new = baseline.of_report(report, limits, accepted=old.accepted)
    try:
        differences = changes(old, new)
    except ValueError as error:  # what is packed in it is damaged, and was sealed so
        raise ArtifactError(
            f"{path} is damaged: {error}",
            hint=f"restore it: git checkout {path}; or remove it, and run this again",
        ) from error
    losses = tuple(change.loss for change in differences if change.loss is not None)
    if losses and not (accept or "").strip():
        shown = "".join(f"\n  {loss}" for loss in losses[:8])
        raise ArtifactError(
            f"{path} would be lowered:{shown}",
            hint='if that is meant, say why: --accept "REASON" (kept in the file)',
        )
    if losses:
        acceptance = Acceptance(date_utc=now_utc(), reason=str(accept).strip(), losses=losses)
        new = replace(new, accepted=(*old.accepted, acceptance))
    baseline.save(new, path)
    return differences


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
        ArtifactError: no report or a damaged one; or as `update`.
        TargetError: no such limit.
    """
    loaded = load_report(report_file(report))
    file = baseline.file_of(baselines, loaded.model, loaded.target)
    gates = project.with_limits(loaded.gates or Gates(), limits or {})
    # of two that renew it at once, the second looks at what the first made
    with in_turn(file.parent):
        is_new = not file.exists()
        differences = update(file, loaded, gates, accept=accept)
    return Updated(file=file, is_new=is_new, changes=differences, doubt=doubt(loaded))


def faults_of(files: Iterable[Path]) -> tuple[EdgeError, ...]:
    """Returns what is wrong with baselines, target and project files, one error for a file."""
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
        check_own_name(file)
        read_target(file)
    elif file.suffix == ".json":
        baseline.load(file)
    else:
        raise ArtifactError(
            f"{file} is neither a baseline (.json) nor a target (.toml)",
            hint="name only such files",
        )
