"""A project's targets built, and their reports held to its baselines."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_scnet.config.project import AllowedKind, Located, with_limits
from edge_scnet.config.target import Gates, load_target
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import REPORT
from edge_scnet.errors import ArtifactError, BuildInterrupted, EdgeError
from edge_scnet.gate import baseline
from edge_scnet.gate.check import Asked, Result, Unchecked, check_one, limit_words
from edge_scnet.models.zoo import resolve
from edge_scnet.pipeline.build import build
from edge_scnet.pipeline.profile import time_again


def check_project(
    located: Located,
    *,
    limits: dict[str, Any] | None = None,
    allowed: Mapping[AllowedKind, str] | None = None,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> tuple[Result, ...]:
    """Builds every target of a project and holds it to its baseline.

    A target that cannot be built or judged does not hide the others; where baselines are missing
    or damaged, nothing is built, and each of those is named.

    Args:
        limits: limits set over the project's, by name.
        allowed: what may differ from the baselines beside what the project says, and who says so.
        wait: for another run in a build folder to end, as `build`.
        command: the command line that called this, for the reports.

    Raises:
        BuildInterrupted: a build was interrupted.
        TargetError: a limit that there is not.
    """
    baselines = located.path(located.project.baselines)
    with_limits(Gates(), limits or {})
    asked_of = {
        target: _asked(located, target, limits or {}, allowed or {})
        for target in located.project.targets
    }
    faults: list[Result] = []
    for target, asked in asked_of.items():
        try:
            _check_baseline(located, baselines, target)
        except EdgeError as error:
            faults.append(_unchecked(located, target, asked, error))
    if faults:
        return tuple(faults)
    results: list[Result] = []
    for target, asked in asked_of.items():
        try:
            report = _build(located, target, wait=wait, events=events, command=command)
            asked = replace(asked, report=report)
            results.append(check_one(asked, time_again=time_again, events=events))
        except EdgeError as error:
            results.append(_unchecked(located, target, asked, error))
    return tuple(results)


def _unchecked(located: Located, target: str, asked: Asked, error: EdgeError) -> Unchecked:
    return Unchecked(asked=asked, error=error, name=f"{located.project.model} for {target}")


def _asked(
    located: Located, target: str, limits: dict[str, Any], allowed: Mapping[AllowedKind, str]
) -> Asked:
    file = shlex.quote(str(located.file))
    command = " ".join([f"edge-scnet check --build --project {file}", *limit_words(limits)])
    return Asked(
        report=located.path(located.project.out),
        against=located.path(located.project.baselines),
        limits={**located.limits, **limits},
        allowed={**located.allowed, **allowed},
        command=command,
        project_file=located.file,
        target_file=located.path(target) if target.endswith(".toml") else None,
    )


def _check_baseline(located: Located, baselines: Path, target: str) -> None:
    """Refuses a baseline that is missing or damaged before its engine is built."""
    settings = located.settings(target)
    model = resolve(settings["model"], settings["model_options"]).spec.name
    spec = load_target(settings["target"])
    file = baseline.file_of(baselines, model, spec.name)
    if spec.precision == "fp16" and not file.exists():
        return  # nothing is quantized: it is held to its own limits
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
    """Builds every target of a project that has a baseline: those of FP16 alone have none.

    Args:
        wait: for another run in a build folder to end, as `build`.

    Returns:
        The files of the reports.

    Raises:
        ArtifactError: no target has one.
        BuildInterrupted: a build was interrupted.
        EdgeError: see errors.py; the first target that cannot be built ends it.
    """
    targets = [
        target
        for target in located.project.targets
        if load_target(located.settings(target)["target"]).precision != "fp16"
    ]
    if not targets:
        raise ArtifactError(
            f"{located.file} names targets of FP16 alone: nothing is quantized, and baselines hold"
            " INT8 engines",
            hint=f"edge-scnet check --build --project {located.file}",
        )
    return tuple(
        _build(located, target, wait=wait, events=events, command=command) for target in targets
    )


def _build(
    located: Located, target: str, *, wait: bool, events: Events | None, command: str | None
) -> Path:
    result = build(**located.settings(target), wait=wait, events=events, command=command)
    if result.report is not None and not result.report.complete:
        # what was measured is kept in the folder, and a gate has no use for a part
        raise BuildInterrupted(f"the build for {target} was interrupted")
    return result.folder / REPORT
