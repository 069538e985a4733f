"""package: what a build's manifest and report say, and a folder made of it that runs by itself."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from edge_scnet.config.target import TargetSpec
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.facts import PlanFacts, RangesFacts
from edge_scnet.core.foreign import exists
from edge_scnet.core.manifest import BUNDLE, RANGES, REPORT, Artifact
from edge_scnet.core.spec import InputForm, ModelSpec, TaskSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.package.card import CARD, model_card
from edge_scnet.package.facts import EnginePart, PackageFacts
from edge_scnet.package.form import check_runtime, format_named
from edge_scnet.package.write import check_empty, write_package
from edge_scnet.pipeline.build_folder import (
    companions_listed,
    input_of,
    open_build,
    opened_in,
    target_of,
)
from edge_scnet.pipeline.context import heads_in
from edge_scnet.pipeline.readings import judged_as
from edge_scnet.report.run_report import JUDGED_ROLES, RunReport, first_judged
from edge_scnet.report.store import load_report, profile_command
from edge_scnet.report.verdict import ships
from edge_scnet.runtimes import RUNTIMES, runtime_of_kind
from edge_scnet.tasks.registry import CLASSIFICATION

# The stage of engines; earlier ones make graphs.
_COMPILED = "compile"
# Names that stand in generated files as they are.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A package that was written."""

    folder: str
    form: Annotated[str, Meta(description="what it is for: cpp, python, ...")]
    engine: Annotated[str, Meta(description="the file in the build that it holds")]
    files: Annotated[tuple[str, ...], Meta(description="all of its files, by path in the folder")]
    held_back: Annotated[str | None, Meta(description="why the build did not ship; null: it did")]


def package(path: Path | str, *, form: str, out: Path | str, anyway: bool = False) -> Packaged:
    """Writes a folder that runs an engine without edge-scnet, of its manifest and report alone.

    Args:
        path: a build folder, or an engine in one.
        form: of `edge_scnet.package.FORMATS`.
        out: a folder that is empty, or is not there yet.
        anyway: also of a build that did not ship, which its README says then.

    Raises:
        ArtifactError: no build, an engine that is not what was built, one that did not ship, or
            one that the format is not for.
        StorageError: `out` holds something, or cannot be written.
    """
    path, out = Path(path), Path(out)
    chosen = format_named(form)
    check_empty(out)
    facts = facts_of(path)
    check_runtime(chosen, facts)
    if facts.held_back is not None and not anyway:
        command = ["edge-scnet", "package", str(path), "--for", form, "--out", str(out), "--anyway"]
        raise ArtifactError(
            f"{facts.engine.path} did not ship: {facts.held_back}",
            hint=f"to package it all the same, as its README will say: {shlex.join(command)}",
        )
    contents = {**chosen.contents(facts), CARD: model_card(facts)}
    write_package(out, contents)
    return Packaged(
        folder=str(out),
        form=form,
        engine=str(facts.engine.path),
        files=tuple(sorted(contents)),
        held_back=facts.held_back,
    )


def facts_of(path: Path) -> PackageFacts:
    """What a build's manifest and report say of its engine, whose files are verified.

    Args:
        path: a build folder, of which the judged engine is taken, or an engine in one.

    Raises:
        ArtifactError: no build or no engine, or a file that is not what was built.
        TargetError: the manifest holds no target that is valid.
    """
    folder, chosen = open_build(path)
    manifest, target = folder.manifest, target_of(folder)
    entry = chosen or _judged_engine(folder, target)
    runtime = runtime_of_kind(entry.kind)
    report = _report_of(folder)
    held_back = _held_back(folder, entry, report)
    if report is not None and all(row.sha256 != entry.sha256 for row in report.engines):
        report = None
    form = input_of(folder, entry)
    task = manifest.model.task
    if task is None and report is not None and (kind := judged_as(report)) is not None:
        task = TaskSpec(kind=kind)
    return PackageFacts(
        model=_as_fed(manifest.model, form),
        task=task,
        target=target,
        floor=manifest.floor,
        rebuild=manifest.rebuild,
        runtime=runtime.name,
        runtime_title=runtime.title,
        runtime_version=(
            entry.facts.tensorrt
            if isinstance(entry.facts, PlanFacts)
            else entry.versions.get(runtime.name)
        ),
        kind=entry.kind,
        precision=entry.precision or "",
        opened_in=opened_in(folder, entry.precision or ""),
        board=entry.facts.board if isinstance(entry.facts, PlanFacts) else None,
        files=tuple(_part(folder, file) for file in (entry, *companions_listed(folder, entry))),
        report=report,
        held_back=held_back,
        calibration=_calibration(folder),
        input=form,
        heads=() if task is None or task.kind == CLASSIFICATION else heads_in(folder),
    )


def _as_fed(model: ModelSpec, form: InputForm) -> ModelSpec:
    """The model with the order of colours that its engine takes, which may be another for bytes."""
    if form.colour is None:
        return model
    return replace(model, preprocessing=model.preprocessing.in_order(form.colour))


def _calibration(folder: BuildFolder) -> RangesFacts | None:
    """What an engine's scales were found with; None: the build has no such file."""
    entry = folder.manifest.artifacts.get(RANGES)
    return entry.facts if entry is not None and isinstance(entry.facts, RangesFacts) else None


def _judged_engine(folder: BuildFolder, target: TargetSpec) -> Artifact:
    """The engine that a build was made for.

    Raises:
        ArtifactError: it holds none, as the folder of a board's build on the workstation.
    """
    kind = RUNTIMES[target.runtime].artifact_kind
    for entry in folder.manifest.artifacts.values():
        # of ONNX Runtime's builds the quantized graph is of the engine's kind too
        is_engine = entry.kind == kind and entry.stage == _COMPILED
        if is_engine and entry.precision == target.precision:
            return entry
    raise ArtifactError(
        f"{folder.path} holds no {target.precision.upper()} engine to package",
        hint=(
            folder.manifest.rebuild
            if target.board is None
            else f"on the board: edge-scnet compile {folder.path}/{BUNDLE}"
        ),
    )


def _part(folder: BuildFolder, entry: Artifact) -> EnginePart:
    """A file of an engine, verified.

    Raises:
        ArtifactError: it is missing, is not what was built, or has a name that cannot stand in
            code.
    """
    path = folder.verified_entry(entry)
    if not _PLAIN_NAME.fullmatch(entry.file):
        raise ArtifactError(
            f"{path}: a package's files have names of ASCII letters, digits, '.', '_' and '-'",
            hint="build again: edge-scnet build",
        )
    return EnginePart(name=entry.file, path=path, sha256=entry.sha256, size_bytes=entry.size_bytes)


def _report_of(folder: BuildFolder) -> RunReport | None:
    """A build's report; None: there is none.

    Raises:
        ArtifactError: there is one that cannot be read.
    """
    path = folder.path / REPORT
    return load_report(path) if exists(path) else None


def _held_back(folder: BuildFolder, entry: Artifact, report: RunReport | None) -> str | None:
    """Why an engine did not ship, in a sentence; None: it did."""
    measure = profile_command(folder.path / REPORT)
    if report is None:
        return f"it was not measured, for there is no {REPORT} ({measure})"
    judged = first_judged(report.engines)
    rows = [row for row in report.engines if row.sha256 == entry.sha256]
    if not rows:
        return f"{REPORT} is of another engine than this one ({measure})"
    if all(row.role not in JUDGED_ROLES for row in rows):
        named = "another engine" if judged is None else judged.file
        return f"the verdict is about {named}, and this engine was not judged"
    if not report.complete:
        return f"the run that measured it was interrupted ({measure})"
    return None if ships(report.findings) else report.verdict
