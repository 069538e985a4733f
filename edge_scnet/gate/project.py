"""A project's targets built, and their reports held to its baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_scnet.config.project import Located
from edge_scnet.config.target import load_target
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import REPORT
from edge_scnet.errors import ArtifactError, BuildInterrupted
from edge_scnet.gate import baseline
from edge_scnet.gate.check import Checked, check
from edge_scnet.models.zoo import resolve
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.profile import time_again


def check_project(
    located: Located,
    *,
    limits: dict[str, Any] | None = None,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> tuple[Checked, ...]:
    """Builds every target of a project and holds it to its baseline.

    Args:
        limits: limits set over the project's, by name.
        wait: for another run in a build folder to end, as `build`.
        command: the command line that called this, for the reports.

    Raises:
        BuildInterrupted: a build was interrupted.
        EdgeError: see errors.py; the first target that cannot be built ends it.
    """
    baselines = located.path(located.project.baselines)
    for target in located.project.targets:
        _check_baseline(located, baselines, target)
    reports = build_project(located, wait=wait, events=events, command=command)
    return check(
        reports,
        against=baselines,
        limits={**located.limits, **(limits or {})},
        time_again=time_again,
        events=events,
    )


def _check_baseline(located: Located, baselines: Path, target: str) -> None:
    """Refuses a baseline that is missing or damaged before its engine is built."""
    settings = located.settings(target)
    model = resolve(settings["model"], settings["model_options"]).spec.name
    file = baseline.file_of(baselines, model, load_target(settings["target"]).name)
    if not file.exists():
        raise ArtifactError(
            f"no baseline at {file}: nothing can be held to it",
            hint=f"edge-scnet baseline update --build --project {located.file}; then commit it",
        )
    baseline.load(file)


def build_project(
    located: Located,
    *,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> tuple[Path, ...]:
    """Builds every target of a project.

    Args:
        wait: for another run in a build folder to end, as `build`.

    Returns:
        The files of the reports.

    Raises:
        BuildInterrupted: a build was interrupted.
        EdgeError: see errors.py; the first target that cannot be built ends it.
    """
    project, reports = located.project, []
    for target in project.targets:
        result = build(**located.settings(target), wait=wait, events=events, command=command)
        if result.report is not None and not result.report.complete:
            # what was measured is kept in the folder, and a gate has no use for a part
            raise BuildInterrupted(f"the build for {target} was interrupted")
        reports.append(result.folder / REPORT)
    return tuple(reports)
