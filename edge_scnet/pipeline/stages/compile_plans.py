"""The compile stage of TensorRT: two forms, then both plans where they can be built, the bundle."""

from __future__ import annotations

from dataclasses import asdict

from edge_scnet.compile.board import check_board
from edge_scnet.compile.bundle import write_bundle
from edge_scnet.compile.executed import wanted_layers, warn_of_float
from edge_scnet.compile.forms import forms_of
from edge_scnet.compile.plans import PlanSource, build_pair, summary_of_plans
from edge_scnet.compile.reference import Reference, make
from edge_scnet.compile.search_part import to_files
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import FormFacts, PlanFacts, QdqFacts
from edge_scnet.core.manifest import (
    BUNDLE,
    FLOAT_ONNX,
    FP16_FORM,
    INT8_FORM,
    PAIRS,
    QDQ_ONNX,
    RANGES,
)
from edge_scnet.graph.bytes_in import with_bytes_in
from edge_scnet.graph.model import load, save
from edge_scnet.pipeline.stages.cache_key import Origin, origin_of
from edge_scnet.pipeline.stages.job import BuildJob, input_settings, record
from edge_scnet.quantizer.ranges_file import load_ranges


def compile_plans(job: BuildJob, events: Events) -> BuildFolder:
    """Writes both forms, both plans where this machine can build them, and a board's bundle.

    Raises:
        ArtifactError: the INT8 graph breaks a rule of TensorRT.
        TargetError, MissingRuntimeError, StorageError: as `check_board`.
        ParityError: a plan does not compute the reference outputs; or a layer is not INT8 and the
            target requires it.
    """
    runtime, folder = job.runtime, job.folder
    boards, here = runtime.packs_bundle, runtime.builds_here()
    if here and boards:
        check_board(job.target)
    events.stage(
        "compile",
        (
            f"{runtime.title}, INT8 and its FP16 twin"
            if here
            else "INT8 and its FP16 twin, for the board"
        ),
    )
    origin = _origin(job)
    files = [*(pair[0] for pair in PAIRS), *(pair[1] for pair in PAIRS if here)]
    files += [BUNDLE] if boards else []
    if all(folder.is_current(file, origin.key) for file in files) and (
        not here or _built_as_often(folder, job.builds)
    ):
        events.done(_summary(job, folder), reused=True)
        return folder
    folder = _write_forms(job, origin, events)
    if here:
        folder = _build_plans(job, folder, origin, events)
    if boards:
        search = None
        if job.board_search is not None:
            assert job.calibration is not None
            search = to_files(job.board_search, job.calibration, job.source.spec)
        bundle = write_bundle(folder, job.target, _reference(job), job.evaluation, search)
        folder = folder.with_artifact(record(folder.path, bundle.name, origin, kind="bundle"))
    events.done(_summary(job, folder), reused=False)
    return folder


def compile_mix(job: BuildJob, events: Events) -> BuildFolder:
    """Writes both forms of a mix that was found on this board, and builds both plans.

    The bundle that its float graph came in stays as it is.

    Raises:
        ArtifactError, ParityError: as `compile_plans`. BackendError: the builder refused a form.
    """
    events.stage("compile", f"{job.runtime.title}, INT8 with what stays in float, and its twin")
    origin = _origin(job)
    folder = _build_plans(job, _write_forms(job, origin, events), origin, events)
    events.done(summary_of_plans(folder), reused=False)
    return folder


def _origin(job: BuildJob) -> Origin:
    search = {}
    if job.board_search is not None and job.calibration is not None:
        search = {"search": asdict(job.board_search), "samples": job.calibration.hash}
    return origin_of(
        "compile",
        job.folder.hashes([FLOAT_ONNX, QDQ_ONNX, RANGES]),
        target=job.folder.manifest.target,
        built=job.runtime.versions(),
        packed=job.evaluation.hash if job.evaluation else None,
        **search,
        **input_settings(job),
    )


def _summary(job: BuildJob, folder: BuildFolder) -> str:
    """What the stage made, in one line; of a bundle that can be searched with its size."""
    text = summary_of_plans(folder)
    if (
        job.board_search is None
        or job.calibration is None
        or BUNDLE not in folder.manifest.artifacts
    ):
        return text
    return (
        f"{text}, {folder.entry(BUNDLE).size_bytes / 1e6:.1f} MB with the float graph and"
        f" {len(job.calibration):,} calibration samples for compile --search there"
    )


def _write_forms(job: BuildJob, origin: Origin, events: Events) -> BuildFolder:
    """The folder with both graphs as the target's TensorRT reads them."""
    folder = job.folder
    made = forms_of(
        load(folder.verified(FLOAT_ONNX)),
        load(folder.verified(QDQ_ONNX)),
        load_ranges(folder.verified(RANGES)),
        job.target,
    )
    if made.kept_fp32:
        node, why = next(iter(made.kept_fp32.items()))
        events.warn(
            f"{len(made.kept_fp32)} nodes stay in FP32, FP16 cannot hold them: {node} ({why})"
        )
    form = folder.manifest.input
    for graph, file, precision in ((made.fp16, FP16_FORM, "fp16"), (made.int8, INT8_FORM, "int8")):
        model = graph
        if form.is_bytes:
            # in FP32, in front of what is FP16: codes and their arithmetic as everywhere
            model = with_bytes_in(graph, job.source.spec.preprocessing, form)
        save(model, folder.path / file)
        facts = FormFacts(precision=precision, kept_fp32=tuple(sorted(made.kept_fp32)))
        entry = record(folder.path, file, origin, kind="onnx-form", facts=facts)
        folder = folder.with_artifact(entry)
    events.progress("forms", 1.0)
    return folder


def _build_plans(job: BuildJob, folder: BuildFolder, origin: Origin, events: Events) -> BuildFolder:
    """The folder with both plans, built and proven."""
    runtime = job.runtime
    for form in (FP16_FORM, INT8_FORM):
        folder.verified(form)
    source = PlanSource(
        folder=folder.path,
        wanted=wanted_layers(folder.facts(QDQ_ONNX, QdqFacts)),
        reference=_reference(job) if runtime.unavailable_to_run() is None else None,
    )
    built = build_pair(runtime, job.target, source, events, builds=job.builds)
    for file, facts in built.items():
        entry = record(folder.path, file, origin, kind=runtime.artifact_kind, facts=facts)
        folder = folder.with_artifact(entry)
        warn_of_float(facts.in_float or {}, events, file=file)
        for message in facts.warnings[:3]:
            events.warn(f"{runtime.title}: {message}")
    return folder


def _built_as_often(folder: BuildFolder, builds: int) -> bool:
    """Whether both plans are the fastest of so many builds, or of more."""
    facts = (folder.facts(plan, PlanFacts) for _, plan, _ in PAIRS)
    return all((1 if plan.builds is None else plan.builds.count) >= builds for plan in facts)


def _reference(job: BuildJob) -> Reference:
    """Calibration images with what the float graph gives for them."""
    assert job.calibration is not None
    return make(
        job.folder.verified(FLOAT_ONNX),
        job.folder.verified(QDQ_ONNX),
        job.calibration,
        job.source.spec,
        batch=job.target.batch,
        form=job.folder.manifest.input,
    )
