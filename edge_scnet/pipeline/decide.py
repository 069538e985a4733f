"""What is decided before the first stage."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from edge_scnet.compile.build_times import timer_for
from edge_scnet.config.target import TargetSpec, load_target
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.files import write_atomic
from edge_scnet.core.folder_lock import check_free, locked
from edge_scnet.core.manifest import Manifest, load_manifest
from edge_scnet.core.optional import install_hint, installed
from edge_scnet.core.source import Source, parse_source
from edge_scnet.data.arrays import SUFFIXES as ARRAY_SUFFIXES
from edge_scnet.data.held import made_by
from edge_scnet.data.labels import Role
from edge_scnet.errors import ArtifactError, MissingRuntimeError, TargetError
from edge_scnet.export.from_onnx import probe_onnx
from edge_scnet.export.probe_torch import probe_torch
from edge_scnet.machine.isa import check_floor, is_elsewhere, resolve_floor
from edge_scnet.models import zoo
from edge_scnet.pipeline.by_workers import TASKS
from edge_scnet.pipeline.dequantized import DEQUANTIZED, is_quantized_file, write_dequantized
from edge_scnet.pipeline.held_samples import HeldSets
from edge_scnet.pipeline.input_form import ENGINE_STAGES, decided_form, still_right, with_input_type
from edge_scnet.pipeline.input_line import fed_with, say_input, settled
from edge_scnet.pipeline.judging import check_early
from edge_scnet.pipeline.request import Request, rebuild_command
from edge_scnet.pipeline.samples import SampleRequest, open_sample_sets
from edge_scnet.pipeline.stages.adopt import read_for_target
from edge_scnet.pipeline.stages.job import BuildJob
from edge_scnet.pipeline.stages.recover import load_torch
from edge_scnet.runtimes import runtime_named, usable_runtime
from edge_scnet.scale.pool import open_pool


@contextlib.contextmanager
def make_job(request: Request, events: Events) -> Iterator[BuildJob]:
    """Decides all that can be decided, and refused, before the first stage; creates the folder.

    No other run writes into the folder until the end of the block. A quantized MODEL is its own
    Q/DQ file, and its dequantized graph stands in for the float model.

    Raises:
        BackendError: workers cannot be reached, or differ.
        TargetError: the target cannot be built, here or at all.
        MissingRuntimeError: the target's runtime is not installed.
        ArtifactError: no such model, or one that cannot be used.
            Or a Q/DQ file that the target cannot take.
        DataError: sample sets are missing or cannot be used.
        StorageError: the folder cannot be written, or another run writes into it.
    """
    with contextlib.ExitStack() as held:
        job = _job_of(request, events, held)
        if request.workers is not None:
            pool = held.enter_context(open_pool(request.workers, job.folder.path / TASKS, events))
            job = replace(job, pool=pool)
        yield job


def _job_of(request: Request, events: Events, held: contextlib.ExitStack) -> BuildJob:
    with tempfile.TemporaryDirectory() as scratch:
        stand_in = _stand_in(request, Path(scratch), events)
        if stand_in is None:
            return _make_job(request, events, held)
        try:
            job = _make_job(stand_in, events, held)
        except ArtifactError as error:
            # the user knows the own file alone
            message = error.message.replace(stand_in.model, request.model)
            raise ArtifactError(message, hint=error.hint) from error
        file = job.folder.path / DEQUANTIZED
        with write_atomic(file) as temporary:
            shutil.copyfile(job.source.location, temporary)
        manifest = replace(job.folder.manifest, dequantized=True)
        return replace(
            job,
            source=replace(job.source, location=str(file)),
            folder=replace(job.folder, manifest=manifest),
        )


def find_model(request: Request, events: Events) -> zoo.ModelSource:
    """The model that a request is for, and what its file or its module says of it.

    Of a quantized file it is the dequantized graph's.

    Raises:
        ArtifactError: no such model, or one that cannot be used.
    """
    with tempfile.TemporaryDirectory() as scratch:
        meant = _stand_in(request, Path(scratch), events) or request
        source = _source(meant, held_sets_of(request))
    for message in source.warnings:
        events.warn(message)
    return replace(source, location=request.model) if meant is not request else source


def _stand_in(request: Request, scratch: Path, events: Events) -> Request | None:
    """The request of a quantized MODEL with its dequantized graph as MODEL; None for other models.

    Raises:
        ArtifactError: it cannot be dequantized; or a Q/DQ file is given besides.
    """
    path = Path(request.model)
    if request.module is not None or path.suffix.lower() != ".onnx" or not path.is_file():
        return None
    if not is_quantized_file(path):
        return None
    if request.qdq is not None:
        raise ArtifactError(
            f"{path} is quantized already: --qdq is for a float model",
            hint=f"pass the float model, or build it alone: edge-scnet build {path}",
        )
    write_dequantized(path, scratch / DEQUANTIZED, events)
    options = replace(request.options, name=zoo.resolve(request.model, request.options).spec.name)
    return replace(
        request, model=str(scratch / DEQUANTIZED), options=options, qdq=path, given=request
    )


def _make_job(request: Request, events: Events, lock: contextlib.ExitStack) -> BuildJob:
    """As `make_job`; the folder's lock is entered into `lock`."""
    target = with_input_type(_target(request), request.options.input_type)
    runtime = runtime_named(target.runtime)
    if not runtime.packs_bundle:  # without TensorRT a build ends in a bundle for the board
        runtime = usable_runtime(target.runtime)
    runtime.check_target(target)
    if request.builds > 1:
        timer_for(runtime, request.builds)
    floor = resolve_floor(target.isa)
    if not is_elsewhere(floor):
        # compiled and verified here, so this machine must be able to run it
        check_floor(floor, what=f"target {target.name}")
    held = held_sets_of(request)
    source = _source(request, held)
    for message in (*source.warnings, *held.warnings):
        events.warn(message)
    path = request.out / source.spec.name / target.name
    if not request.wait:
        check_free(path)
    adopted = None
    if request.qdq is not None:
        adopted = read_for_target(request.qdq, target, runtime, floor)
    held.look_at_spec(source.spec)
    calibration, evaluation = open_sample_sets(
        SampleRequest(
            calib=request.calib,
            evaluation=request.evaluation,
            calibrates=request.until != "export",
            evaluates=request.until == "profile",
            skip_bad=request.skip_bad,
            ignore_labels=request.ignore_labels,
            command=rebuild_command(request),
            in_python=request.module is not None or bool(request.held),
            held=held.read(source.spec, limit=target.quant.samples),
        ),
        source.spec,
        target,
        events,
    )
    source = replace(source, spec=settled(source.spec, calibration, evaluation))
    check_early(source, evaluation)
    say_input(source.spec, events, calibration, evaluation)
    manifest = Manifest(
        model=source.spec,
        target=asdict(target),
        floor=floor,
        precision_hint="f32",
        rebuild=rebuild_command(request),
        evaluation=parse_source(request.evaluation).resolved().text if request.evaluation else None,
        fed_with=fed_with(calibration, evaluation),
    )
    if request.until in ENGINE_STAGES:
        form = decided_form(source.spec, target, events, calibration, evaluation)
        if form.is_bytes and request.search_on_board and target.board is not None:
            raise TargetError(
                f"{target.name}: a search on the board feeds plans with floats, and bytes are asked"
                " for",
                hint="leave --search-on-board out, or say --input float",
            )
        manifest = replace(manifest, input=form)
    lock.enter_context(locked(path, command=request.command, wait=request.wait, events=events))
    return BuildJob(
        source=source,
        target=target,
        floor=floor,
        runtime=runtime,
        folder=_initial_folder(path, request, manifest),
        calibration=calibration,
        evaluation=evaluation,
        dynamic_batch=request.batch == "dynamic",
        builds=request.builds,
        qdq=request.qdq,
        recover_minutes=request.recover_minutes,
        adopted=adopted,
    )


def held_sets_of(request: Request) -> HeldSets:
    """The sets whose samples are held: the caller's, and those that a function of the user's makes.

    Raises:
        DataError: such a function cannot be called.
    """
    named: dict[Role, str | None] = {
        "calibration": request.calib,
        "evaluation": request.evaluation if request.until == "profile" else None,
    }
    sources = {role: parse_source(text) for role, text in named.items() if text is not None}
    code = {role: source for role, source in sources.items() if source.is_code}
    arrays = [role for role, source in sources.items() if role not in code and _is_arrays(source)]
    return HeldSets(
        {**request.held, **{role: made_by(source) for role, source in code.items()}},
        folders=len(code) + len(arrays) < len(sources),
        files=bool(arrays),
        names={role: source.where for role, source in code.items()},
    )


def _is_arrays(source: Source) -> bool:
    """Whether a source's files hold, or are read into, what a network takes."""
    if "read" in source.settings:
        return True
    try:
        return any(file.suffix in ARRAY_SUFFIXES for file in source.path.iterdir())
    except (OSError, ValueError):  # no folder; what else is wrong, its opener says
        return source.path.suffix in ARRAY_SUFFIXES


def check_int8(target: TargetSpec) -> None:
    """Refuses a target without INT8 where something is to be quantized.

    Raises:
        TargetError: it is FP16 alone.
    """
    if target.precision == "fp16":
        raise TargetError(
            f"{target.name} is FP16 alone: its boards compute no INT8, and nothing is quantized",
            hint=(
                f"edge-scnet build --target {target.name}, without --qdq, --search,"
                " --search-on-board and --recover"
            ),
        )


def check_recoverable(request: Request) -> None:
    """Refuses a recovery of a graph that is to be judged as it is, or without PyTorch.

    Raises:
        ArtifactError: another quantizer made the graph.
        MissingRuntimeError: PyTorch is not installed.
    """
    if request.qdq is not None:
        given = "--qdq" if request.given is None else "a quantized MODEL"
        raise ArtifactError(
            f"{given} is judged as it is, and --recover would change it: {request.qdq}",
            hint="leave --recover out, or give the float model alone to quantize and recover it",
        )
    if not installed("torch"):
        raise MissingRuntimeError(
            "--recover learns with PyTorch: the package 'torch' is not installed",
            hint=install_hint("export"),
        )
    load_torch()  # before an export loads it otherwise


def _target(request: Request) -> TargetSpec:
    """The target with the request's batch."""
    target = load_target(request.target)
    quantizes = request.search_seconds is not None or request.search_on_board
    quantizes = quantizes or request.recover_minutes is not None
    if request.qdq is not None or quantizes or request.until == "quantize":
        check_int8(target)
    if request.recover_minutes is not None:
        check_recoverable(request)
    if request.batch == "dynamic" and request.until != "export":
        raise TargetError(
            f"{target.name}: engines are built for a fixed batch; with a dynamic one they are 1.5"
            " to 2 times slower",
            hint=f"edge-scnet build {request.model} --target {target.name} --batch 8",
        )
    if isinstance(request.batch, int):
        try:
            target = replace(target, batch=request.batch)
        except TargetError as error:
            hint = f"edge-scnet build {request.model} --target {target.name} --batch 8"
            raise TargetError(error.message, hint=hint) from None
    return target


def _source(request: Request, held: HeldSets) -> zoo.ModelSource:
    """The model, what its own ONNX file or its module says of it included.

    Raises:
        ArtifactError: no such model, options that are not for it, or one that cannot be used.
    """
    if request.module is not None:
        source = zoo.resolve_module(request.module, request.options)
        return probe_torch(source, held.options_for_module)
    source = zoo.resolve(request.model, held.options_for_arrays(request.options))
    if request.options.input is not None and source.kind in ("checkpoint", "onnx"):
        raise ArtifactError(
            f"--input is for PyTorch modules; {request.model} says itself what its inputs are",
            hint="leave it out",
        )
    if request.options.fix is not None and source.kind != "onnx":
        raise ArtifactError(
            f"--fix is for inputs of ONNX files; {request.model} is none",
            hint="give the module a default for that input, or export it to ONNX",
        )
    if source.kind == "checkpoint":
        return source
    if source.kind != "onnx":
        return probe_torch(source, held.options_for_module)
    options = held.options_for_file(Path(source.location), source.options)
    source = probe_onnx(replace(source, options=options), options)
    if request.batch == "dynamic":
        raise ArtifactError(
            f"{request.model}: a dynamic batch is exported from PyTorch only",
            hint=f"edge-scnet export {request.model} --batch 8",
        )
    return source


def _initial_folder(path: Path, request: Request, manifest: Manifest) -> BuildFolder:
    """The build's folder: this request's manifest, the files of earlier runs."""
    try:
        earlier = load_manifest(path)
    except ArtifactError:
        return BuildFolder(path=path, manifest=manifest)
    if request.until != "profile":
        # a single stage is told of no evaluation images
        fed = manifest.fed_with or earlier.fed_with
        manifest = replace(manifest, evaluation=earlier.evaluation, fed_with=fed)
    if request.until not in ENGINE_STAGES:
        manifest = replace(manifest, input=earlier.input)
    return BuildFolder(
        path=path, manifest=replace(manifest, artifacts=still_right(earlier, manifest))
    )
