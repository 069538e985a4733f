"""The main job: export, calibrate, quantize, compile, profile, judge.

Owns what is decided before the first stage, and the order of the stages; the stages are in `stages.py`.
"""

from __future__ import annotations

import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from edge_scnet.config.target import TargetSpec, load_target
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events, Silent
from edge_scnet.core.manifest import PARTIAL_REPORT, REPORT, REPORT_PAGE, Manifest
from edge_scnet.data import samples as dataset
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.machine import environment
from edge_scnet.models import zoo
from edge_scnet.pipeline import sensitivity as mixed
from edge_scnet.pipeline.assemble import BuildResult, measure_and_judge, save_run, with_max_drop
from edge_scnet.pipeline.build_folder import engine_files
from edge_scnet.pipeline.stages.run import STAGE_FUNCTIONS, STAGES, Plan, Stage
from edge_scnet.profiler.simulated import simulate_and_judge
from edge_scnet.report import verdict as gate
from edge_scnet.runtimes import get_backend, usable_backend
from edge_scnet.sensitivity.search import Limit, SearchResult


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
    qdq: Path | None = None


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
    search_seconds: float | None = None,
    qdq: Path | str | None = None,
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
        search_seconds: where INT8 misses the limit, search so long for the fastest mix with float that keeps it on the
            calibration images, and build and judge that.
        qdq: a Q/DQ ONNX file that another quantizer made of this model (of its model.onnx): proven, measured and judged
            instead of ours.
        until: the last stage to run.

    Raises:
        EdgeError: see errors.py; nothing half-written is left, and finished stages are reused by the next run.
    """
    events = events or Silent()
    request = _Request(
        model=model, target=target, calib=Path(calib) if calib else None, evaluation=Path(evaluation) if evaluation else None,
        out=Path(out or "build"), options=model_options or zoo.ModelOptions(), batch=batch,
        skip_bad=skip_bad, ignore_labels=ignore_labels, until=until, qdq=Path(qdq) if qdq else None,
    )  # fmt: skip
    plan = _plan(request, events)
    judged_by = with_max_drop(plan.target, max_drop_pp)
    limit = Limit(max_drop_pp=judged_by.gates.max_drop_pp)
    if search_seconds is not None and plan.calibration is not None:
        mixed.check_provable(len(plan.calibration), limit)
    manifest, spent = _run_stages(plan, _manifest(plan, request), until, events)
    if until != "profile":
        return BuildResult(folder=plan.folder, manifest=manifest, report=None, exit_code=0)

    def judge() -> BuildResult:
        if judged_by.board is not None:
            assert plan.evaluation is not None
            report, code = simulate_and_judge(
                plan.folder, manifest, plan.evaluation, target=judged_by, stage_seconds=spent, events=events
            )
            save_run(report, plan.folder)
            return BuildResult(folder=plan.folder, manifest=manifest, report=report, exit_code=code)
        report, code = measure_and_judge(
            plan.folder, manifest, engine_files(plan.folder, manifest), plan.evaluation, target=judged_by, seconds=seconds,
            stage_seconds=spent, events=events,
        )  # fmt: skip
        return BuildResult(folder=plan.folder, manifest=manifest, report=report, exit_code=code)

    result = judge()
    if (
        search_seconds is None
        or qdq is not None
        or result.exit_code not in (gate.ACCURACY_EXIT_CODE, gate.INCONCLUSIVE_EXIT_CODE)
    ):
        return result
    found = mixed.run(plan, manifest, limit=limit, budget_s=search_seconds, events=events)
    if found.chosen is None or not found.chosen.keep_float:
        events.warn(
            f"the search measured {len(found.candidates)} engines on the calibration images in {found.seconds:.0f} s: "
            + ("INT8 alone keeps the limit there" if found.chosen else "none keeps the limit")
        )
        return result
    events.warn(f"{len(found.chosen.keep_float)} modules stay in float to keep the limit: {', '.join(found.chosen.keep_float)}")
    plan = replace(plan, target=mixed.with_float(plan.target, found.chosen.keep_float))
    manifest, spent = _run_stages(plan, replace(manifest, target=asdict(plan.target)), until, events)
    return judge()


def sensitivity(
    model: str = zoo.DEFAULT_MODEL,
    *,
    target: str = "cpu",
    calib: Path | str | None = None,
    out: Path | str | None = None,
    model_options: zoo.ModelOptions | None = None,
    limit: Limit | None = None,
    budget_seconds: float = 300.0,
    skip_bad: bool = False,
    events: Events | None = None,
) -> SearchResult:
    """Measures which modules cost accuracy, and with a limit searches the fastest mix of INT8 and float that keeps it.

    Args:
        calib: images to calibrate and to measure with; their labels are used where they have any.
        limit: what to keep; None: no search.
        budget_seconds: time for the search; what was measured is kept, and a later call goes on from there.

    Raises:
        EdgeError: see errors.py.
    """
    events = events or Silent()
    request = _Request(
        model=model, target=target, calib=Path(calib) if calib else None, evaluation=None, out=Path(out or "build"),
        options=model_options or zoo.ModelOptions(), batch=None, skip_bad=skip_bad, ignore_labels=False, until="quantize",
    )  # fmt: skip
    plan = _plan(request, events)
    if limit is not None and plan.calibration is not None:
        mixed.check_provable(len(plan.calibration), limit)
    manifest, _ = _run_stages(plan, _manifest(plan, request), "quantize", events)
    return mixed.run(plan, manifest, limit=limit, budget_s=budget_seconds, events=events)


def _run_stages(plan: Plan, manifest: Manifest, until: Stage, events: Events) -> tuple[Manifest, dict[str, float]]:
    """The stages that make files, up to `until`: the manifest with what they made, and the seconds each took."""
    seconds: dict[str, float] = {}
    for name in STAGES[: STAGES.index(until) + 1]:
        if name == "profile":
            break
        started = time.perf_counter()
        # what an earlier run made of files that have changed since is not part of this build
        made = artifact.without_stale(STAGE_FUNCTIONS[name](plan, manifest, events))
        if _engines(made) != _engines(manifest):
            # the report is of engines that are no more
            for file in (REPORT, REPORT_PAGE, PARTIAL_REPORT):
                (plan.folder / file).unlink(missing_ok=True)
        manifest = made
        artifact.save_manifest(plan.folder, manifest)
        seconds[name] = round(time.perf_counter() - started, 2)
    return manifest, seconds


# Planning: everything that can be refused is refused before the first stage.


def _plan(request: _Request, events: Events) -> Plan:
    target = _target(request)
    # without TensorRT the build ends in a bundle for the board
    backend = get_backend(target.runtime) if target.runtime == "tensorrt" else usable_backend(target.runtime)
    backend.check_target(target)
    floor = environment.resolve_floor(target.isa)
    # compiled and verified here, so this machine must be able to run it
    environment.check_floor(floor, what=f"target {target.name}")
    source = zoo.resolve(request.model, request.options)
    if source.kind == "onnx":
        from edge_scnet.export.from_onnx import probe_onnx

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
        qdq=request.qdq,
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
        warnings += dataset.check_size(calibration, spec, role="calibration")
    if where is not None and request.until == "profile":
        evaluation = dataset.open_samples(
            where, model=spec, role="evaluation", skip_bad=request.skip_bad, ignore_labels=request.ignore_labels
        )
        warnings += dataset.check_counts(evaluation, role="evaluation")
        warnings += dataset.check_size(evaluation, spec, role="evaluation")
    if calibration is not None and evaluation is not None:
        dataset.check_overlap(calibration, evaluation)
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
    given |= {"--calib": request.calib, "--eval": request.evaluation, "--batch": request.batch, "--qdq": request.qdq}
    for option, value in given.items():
        if value is not None:
            words += [option, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
