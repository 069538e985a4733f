"""A bundle compiled on its board; a board's results as a report."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from edge_scnet.compile.board import check_board
from edge_scnet.compile.build_times import timer_for
from edge_scnet.compile.bundle import PLAIN_NAME, REFERENCE, unpack
from edge_scnet.compile.executed import wanted_layers, warn_of_float
from edge_scnet.compile.plans import PlanSource, build_pair, summary_of_plans
from edge_scnet.compile.reference import load
from edge_scnet.compile.search_part import CALIBRATION, SEARCH
from edge_scnet.config.target import TargetSpec, from_dict, with_max_drop
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.files import sha256_file, write_atomic
from edge_scnet.core.folder_lock import locked
from edge_scnet.core.manifest import FP16_FORM, INT8_FORM, QDQ_ONNX, Artifact, load_manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.pipeline.assemble import conclude
from edge_scnet.pipeline.board_search import open_part, searched, with_search
from edge_scnet.pipeline.build_folder import target_of
from edge_scnet.pipeline.measuring import take_board_times
from edge_scnet.pipeline.result import BuildResult, result_of, save_run
from edge_scnet.profiler.board_results import read_results
from edge_scnet.runtimes import runtime_named


def compile_bundle(  # noqa: PLR0913  the public function's options, by keyword
    path: Path,
    out: Path,
    *,
    builds: int = 1,
    search_seconds: float | None = None,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> BuildFolder:
    """Unpacks a bundle into its build folder under `out`, and builds both plans there.

    Args:
        builds: of each plan, of which the fastest that is right is kept.
        search_seconds: search so long for the fastest mix of INT8 and float that keeps the build's
            limit, where INT8 alone does not, and build its plans. Where nothing that was measured
            keeps it, those of INT8 alone are built, and that is said. None: nothing is searched.
        wait: for another run in that folder to end; otherwise it is an error.
        events: told of the progress.
        command: the command line that called this, for other runs that want the folder.

    Raises:
        ArtifactError: no bundle, damaged, or of another schema; or one without what a search needs.
        TargetError: this is not the board or the TensorRT that it is for; or of several builds
            nothing here can tell the fastest, or no plan can be measured for a search.
        MissingRuntimeError: no TensorRT, or a package that a search needs.
        StorageError: too little memory, or another run is in the folder.
        BackendError: the builder refused a file.
        DataError: the samples of a search cannot show that the limit is kept, or fill the memory.
        ParityError: a plan does not compute the reference outputs; or a layer is not INT8 and the
            target requires it.
    """
    events = events or Silent()
    part = None
    with contextlib.ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory())
        unpacked = unpack(path, Path(temporary))
        manifest = load_manifest(unpacked)
        target = from_dict(manifest.target)
        check_board(target)
        if builds > 1:
            timer_for(runtime_named(target.runtime), builds)
        if search_seconds is not None:
            part = open_part(unpacked, path, manifest)
        for name in (manifest.model.name, target.name):
            if not PLAIN_NAME.fullmatch(name):
                raise ArtifactError(
                    f"{path}: {name!r} is not a plain name for a folder",
                    hint="build the bundle again",
                )
        path_of_build = out / manifest.model.name / target.name
        command = command or "edge_scnet.pipeline.board.compile_bundle(...)"
        stack.enter_context(locked(path_of_build, command=command, wait=wait, events=events))
        for file in sorted(unpacked.iterdir()):
            if file.name in (SEARCH, CALIBRATION):
                continue  # they are read where they lie
            with write_atomic(path_of_build / file.name) as copy:
                shutil.copyfile(file, copy)
        folder = BuildFolder(path=path_of_build, manifest=manifest)
        if part is None or search_seconds is None:
            return _compile(folder, target, builds, events)
        mixed, told = searched(folder, part, builds=builds, budget_s=search_seconds, events=events)
        made = with_search(mixed or _compile(folder, target, builds, events), told)
        made.save()
        return made


def _compile(folder: BuildFolder, target: TargetSpec, builds: int, events: Events) -> BuildFolder:
    """Builds both plans in the folder of an unpacked bundle."""
    runtime = runtime_named(target.runtime)
    events.stage("compile", f"{runtime.title}, INT8 and its FP16 twin")
    source = PlanSource(
        folder=folder.path,
        wanted=wanted_layers(folder.facts(QDQ_ONNX, QdqFacts)),
        reference=load(folder.path / REFERENCE),
    )
    plans = build_pair(runtime, target, source, events, builds=builds)
    for name, facts in plans.items():
        warn_of_float(facts.in_float or {}, events, file=name)
        for message in facts.warnings[:3]:
            events.warn(f"{runtime.title}: {message}")
        file = folder.path / name
        folder = folder.with_artifact(
            Artifact(
                file=name,
                kind=runtime.artifact_kind,
                stage="compile",
                sha256=sha256_file(file),
                size_bytes=file.stat().st_size,
                key=folder.entry(QDQ_ONNX).key,
                facts=facts,
                parents=folder.hashes((INT8_FORM, FP16_FORM)),
                versions=runtime.versions(),
            )
        )
    folder.save()
    events.done(summary_of_plans(folder), reused=False)
    return folder


def profile_results(
    path: Path,
    *,
    max_drop_pp: float | None = None,
    wait: bool = False,
    events: Events | None = None,
    command: str | None = None,
) -> BuildResult:
    """Judges the INT8 plan by a board's figures.

    The report of the build folder that the archive lies in is renewed.

    Args:
        path: the results.tar.gz of a board.
        wait: for another run in the folder to end; otherwise it is an error.
        events: told what is waited for.
        command: the command line that called this, for the report.

    Raises:
        ArtifactError: no results of this build, damaged, or a figure is missing.
    """
    command = command or "edge_scnet.profile_results(...)"
    BuildFolder.open(path.parent)  # it is one, before anything is written there
    with locked(path.parent, command=command, wait=wait, events=events or Silent()):
        folder = BuildFolder.open(path.parent)
        target = with_max_drop(target_of(folder), max_drop_pp)
        measured = take_board_times(folder, read_results(path, folder.manifest), target)
        report = conclude(measured, folder.manifest, target, command=command)
        save_run(report, folder.path)
        return result_of(folder, report)
