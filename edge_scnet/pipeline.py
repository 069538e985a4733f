"""The main job: export, calibrate, quantize, compile, profile, judge.

Owns what is decided before the first stage, and the order of the stages; the stages are in `stages.py`.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from edge_scnet import artifact, dataset, environment, zoo
from edge_scnet.artifact import Manifest
from edge_scnet.backends import usable_backend
from edge_scnet.dataset import SampleSet
from edge_scnet.engines import REPORT, BuildResult, Events, Silent, engine_files, measure_and_judge, with_max_drop
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.stages import STAGE_FUNCTIONS, STAGES, Plan, Stage
from edge_scnet.target import TargetSpec, load_target


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What `build` was asked for."""

    model: str
    target: str
    calib: Path | None
    evaluation: Path | None
    out: Path
    options: zoo.ModelOptions
    batch: int | Literal["dynamic"] | None
    skip_bad: bool
    ignore_labels: bool
    until: Stage


def build(
    model: str = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | None = None,
    evaluation: Path | str | None = None,
    out: Path | str | None = None,
    model_options: zoo.ModelOptions | None = None,
    batch: int | Literal["dynamic"] | None = None,
    max_drop_pp: float | None = None,
    seconds: float = 3.0,
    skip_bad: bool = False,
    ignore_labels: bool = False,
    until: Stage = "profile",
    events: Events | None = None,
) -> BuildResult:
    """Builds and judges the INT8 engine of a model for a target, stage by stage, reusing what the hashes say is current.

    Args:
        model: a zoo name, a checkpoint (with `model_options.arch`), an ONNX file, or "package.module:factory".
        target: a bundled target's name or a .toml file.
        calib, evaluation: folders of images; default: the bundled sets, for bundled models only.
        out: parent of the build folders, default "build"; the files go to out/<model>/<target>/.
        batch: the engine's batch, default the target's; "dynamic" ends at export.
        max_drop_pp: highest loss of top-1 in percentage points, default the target's gate.
        seconds: timed seconds per engine.
        until: the last stage to run.

    Raises:
        EdgeError: see errors.py; nothing half-written is left, and finished stages are reused by the next run.
    """
    events = events or Silent()
    request = _Request(
        model=model, target=target, calib=Path(calib) if calib else None, evaluation=Path(evaluation) if evaluation else None,
        out=Path(out or "build"), options=model_options or zoo.ModelOptions(), batch=batch,
        skip_bad=skip_bad, ignore_labels=ignore_labels, until=until,
    )  # fmt: skip
    plan = _plan(request, events)
    manifest = _manifest(plan, request)
    seconds_by_stage: dict[str, float] = {}
    for name in STAGES[: STAGES.index(until) + 1]:
        if name == "profile":
            break
        started = time.perf_counter()
        # what an earlier run made of files that have changed since is not part of this build
        made = artifact.without_stale(STAGE_FUNCTIONS[name](plan, manifest, events))
        if _engines(made) != _engines(manifest):
            # the report is of engines that are no more
            (plan.folder / REPORT).unlink(missing_ok=True)
        manifest = made
        artifact.save_manifest(plan.folder, manifest)
        seconds_by_stage[name] = round(time.perf_counter() - started, 2)
    if until != "profile":
        return BuildResult(folder=plan.folder, manifest=manifest, report=None, exit_code=0)
    engines, judged_by = engine_files(plan.folder, manifest), with_max_drop(plan.target, max_drop_pp)
    report, code = measure_and_judge(
        plan.folder, manifest, engines, plan.evaluation, target=judged_by, seconds=seconds, stage_seconds=seconds_by_stage,
        events=events,
    )  # fmt: skip
    return BuildResult(folder=plan.folder, manifest=manifest, report=report, exit_code=code)


# Planning: everything that can be refused is refused before the first stage.


def _plan(request: _Request, events: Events) -> Plan:
    target = _target(request)
    backend = usable_backend(target.runtime)
    backend.check_target(target)
    floor = environment.resolve_floor(target.isa)
    # compiled and verified here, so this machine must be able to run it
    environment.check_floor(floor, what=f"target {target.name}")
    source = zoo.resolve(request.model, request.options)
    if source.kind == "onnx":
        from edge_scnet.export import probe_onnx

        source = probe_onnx(source, request.options)
        if request.batch == "dynamic":
            raise ArtifactError(
                f"{request.model}: a dynamic batch is exported from PyTorch only",
                hint=f"edge-scnet export {request.model} --batch 8",
            )
    calibration, evaluation = _sample_sets(request, source.spec, target, events)
    folder = request.out / source.spec.name / target.name
    artifact.make_folder(folder)
    return Plan(
        source=source, target=target, floor=floor, backend=backend, folder=folder, calibration=calibration,
        evaluation=evaluation, evaluation_path=request.evaluation, dynamic_batch=request.batch == "dynamic",
    )  # fmt: skip


def _target(request: _Request) -> TargetSpec:
    """The target with the request's batch."""
    target = load_target(request.target)
    if request.batch == "dynamic" and request.until != "export":
        raise TargetError(
            f"{target.name}: engines are built for a fixed batch; with a dynamic one they are 1.5 to 2 times slower",
            hint=f"edge-scnet build {request.model} --target {target.name} --batch 8",
        )
    if isinstance(request.batch, int):
        target = replace(target, batch=request.batch)
    return target


def _sample_sets(
    request: _Request, spec: zoo.ModelSpec, target: TargetSpec, events: Events
) -> tuple[SampleSet | None, SampleSet | None]:
    """The calibration and evaluation sets, opened and checked against each other; None where the stages need none."""
    bundled = dataset.bundled_sets(spec.dataset) if spec.dataset else (None, None)
    calib, where = request.calib or bundled[0], request.evaluation or bundled[1]
    missing = []
    if calib is None and request.until != "export":
        missing.append("--calib")
    if where is None and request.until == "profile":
        missing.append("--eval")
    if missing:
        raise DataError(
            f"{spec.name} has no bundled images: {' and '.join(missing)} needed",
            hint=f"{_command(request)} {' '.join(f'{option} DIR' for option in missing)}",
        )
    calibration = evaluation = None
    warnings: list[str] = []
    if calib is not None:
        calibration = dataset.open_samples(
            calib, model=spec, role="calibration", skip_bad=request.skip_bad, limit=target.quant.samples
        )
        warnings += dataset.check_counts(calibration, role="calibration")
    if where is not None and request.until == "profile":
        evaluation = dataset.open_samples(
            where, model=spec, role="evaluation", skip_bad=request.skip_bad, ignore_labels=request.ignore_labels
        )
        warnings += dataset.check_counts(evaluation, role="evaluation")
    if calibration is not None and evaluation is not None:
        warnings += dataset.check_overlap(calibration, evaluation)
    for message in warnings:
        events.warn(message)
    return calibration, evaluation


def _manifest(plan: Plan, request: _Request) -> Manifest:
    """The folder's manifest with this request's model and target, and the artifacts of earlier runs."""
    evaluation = str(plan.evaluation_path.resolve()) if plan.evaluation_path else None
    manifest = Manifest(
        model=plan.source.spec, target=asdict(plan.target), floor=plan.floor, precision_hint="f32",
        rebuild=_command(request), evaluation=evaluation,
    )  # fmt: skip
    try:
        known = artifact.load_manifest(plan.folder)
    except ArtifactError:
        return manifest
    if request.until != "profile":
        manifest = replace(manifest, evaluation=known.evaluation)  # a single stage is told of no evaluation images
    return replace(manifest, artifacts=known.artifacts)


def _engines(manifest: Manifest) -> set[str]:
    return {entry.sha256 for entry in manifest.artifacts.values() if entry.stage == "compile"}


def _command(request: _Request) -> str:
    """The command that builds this again, for hints."""
    words = ["edge-scnet", "build", request.model, "--target", request.target]
    given = {f"--{name.replace('_', '-')}": value for name, value in asdict(request.options).items() if name != "class_names"}
    given |= {"--calib": request.calib, "--eval": request.evaluation, "--batch": request.batch}
    for option, value in given.items():
        if value is not None:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
