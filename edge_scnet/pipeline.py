"""The main job: export, calibrate, quantize, compile, profile, judge.

Owns the order of the stages, their reuse by hash, and the manifest. Each stage's work is in its own module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edge_scnet import artifact, dataset, environment, zoo
from edge_scnet.artifact import Artifact, Manifest
from edge_scnet.backends import usable_backend
from edge_scnet.backends.base import Backend, OpenOptions
from edge_scnet.dataset import SampleSet
from edge_scnet.engines import (
    ENGINE,
    FLOAT_ENGINE,
    FLOAT_ONNX,
    QDQ_ONNX,
    RANGES,
    BuildResult,
    Events,
    Silent,
    engine_files,
    measure_and_judge,
)  # fmt: skip
from edge_scnet.errors import ArtifactError, DataError, TargetError
from edge_scnet.target import TargetSpec, load_target

Stage = Literal["export", "calibrate", "quantize", "compile", "profile"]
STAGES: tuple[Stage, ...] = ("export", "calibrate", "quantize", "compile", "profile")


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
    max_drop_pp: float | None
    skip_bad: bool
    ignore_labels: bool
    until: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Everything decided before the first stage."""

    source: zoo.ModelSource
    target: TargetSpec
    floor: str
    backend: Backend
    folder: Path
    calibration: SampleSet | None
    evaluation: SampleSet | None
    evaluation_path: Path | None  # as given; None: the bundled set
    dynamic_batch: bool


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
        out=Path(out or "build"), options=model_options or zoo.ModelOptions(), batch=batch, max_drop_pp=max_drop_pp,
        skip_bad=skip_bad, ignore_labels=ignore_labels, until=until,
    )  # fmt: skip
    plan = _plan(request, events)
    try:
        known = artifact.load_manifest(plan.folder)
        manifest = replace(_new_manifest(plan), artifacts=known.artifacts)
        if until != "profile":
            manifest = replace(manifest, evaluation=known.evaluation)  # a single stage is told of no evaluation images
    except ArtifactError:
        manifest = _new_manifest(plan)
    seconds_by_stage: dict[str, float] = {}
    wanted = STAGES[: STAGES.index(until) + 1]
    for name in wanted[:4]:
        started = time.perf_counter()
        # what an earlier run made of files that have changed since is not part of this build
        manifest = artifact.without_stale(_STAGE_FUNCTIONS[name](plan, manifest, events))
        artifact.save_manifest(plan.folder, manifest)
        seconds_by_stage[name] = round(time.perf_counter() - started, 2)
    if until != "profile":
        return BuildResult(folder=plan.folder, manifest=manifest, report=None, exit_code=0)
    report, code = measure_and_judge(
        plan.folder,
        manifest,
        engine_files(plan.folder, manifest),
        plan.evaluation,
        seconds,
        seconds_by_stage,
        plan.target,
        events,
    )
    return BuildResult(folder=plan.folder, manifest=manifest, report=report, exit_code=code)


# Planning: everything that can be refused is refused before the first stage.


def _plan(request: _Request, events: Events) -> _Plan:
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
    calibration, evaluation = _sample_sets(request, source.spec, target, events)
    folder = request.out / source.spec.name / target.name
    artifact.make_folder(folder)
    return _Plan(
        source=source, target=target, floor=floor, backend=backend, folder=folder, calibration=calibration,
        evaluation=evaluation, evaluation_path=request.evaluation, dynamic_batch=request.batch == "dynamic",
    )  # fmt: skip


def _target(request: _Request) -> TargetSpec:
    """The target with the request's batch and gate."""
    target = load_target(request.target)
    if request.batch == "dynamic" and request.until != "export":
        raise TargetError(
            f"{target.name}: engines are built for a fixed batch; with a dynamic one they are 1.5 to 2 times slower",
            hint=f"edge-scnet build {request.model} --target {target.name} --batch 8",
        )
    if isinstance(request.batch, int):
        target = replace(target, batch=request.batch)
    if request.max_drop_pp is not None:
        target = replace(target, gates=replace(target.gates, max_drop_pp=request.max_drop_pp))
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
            hint=f"edge-scnet build {request.model} --target {target.name} --calib DIR --eval DIR",
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


def _new_manifest(plan: _Plan) -> Manifest:
    return Manifest(
        model=plan.source.spec, target=asdict(plan.target), floor=plan.floor, precision_hint="f32",
        evaluation=str(plan.evaluation_path.resolve()) if plan.evaluation_path else None,
    )  # fmt: skip


# Stages. Each takes the plan and the manifest and returns the manifest with its files.


@cache
def _code_hash() -> str:
    """Hash of the package's own source: an upgraded tool must not reuse what another version built."""
    root = Path(__file__).parent
    return artifact.stage_key(
        "code", {str(p.relative_to(root)): artifact.sha256_file(p) for p in sorted(root.rglob("*.py"))}, {}
    )


def _settings(**values: Any) -> dict[str, Any]:
    return {"code": _code_hash(), **values}


def _record(plan: _Plan, file: str, *, kind: str, stage: Stage, key: str, parents: dict[str, str], **facts: Any) -> Artifact:
    path = plan.folder / file
    return Artifact(
        file=file, kind=kind, stage=stage, sha256=artifact.sha256_file(path), size_bytes=path.stat().st_size, key=key,
        parents=parents, facts=facts, versions=dict(environment.package_versions(_STAGE_PACKAGES[stage])),
    )  # fmt: skip


_STAGE_PACKAGES: dict[Stage, tuple[str, ...]] = {
    "export": ("torch", "onnx", "onnxscript", "onnxruntime"),
    "calibrate": ("onnxruntime", "numpy"),
    "quantize": ("onnx-ir", "numpy"),
    "compile": ("openvino",),
    "profile": ("openvino",),
}


def _export(plan: _Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet import export, parity

    source, spec, target = plan.source, plan.source.spec, plan.target
    batch = "dynamic" if plan.dynamic_batch else target.batch
    events.stage("export", f"{spec.name} to ONNX, opset {target.opset}, batch {batch}")
    module = zoo.load_torch(source) if source.kind == "factory" else None
    parents = _origin_hashes(source, module)
    settings = _settings(
        spec=asdict(spec), opset=target.opset, batch=batch, versions=environment.package_versions(_STAGE_PACKAGES["export"])
    )
    key = artifact.stage_key("export", parents, settings)
    known = manifest.artifacts.get(FLOAT_ONNX)
    if artifact.is_current(plan.folder, known, key):
        assert known is not None
        events.done(_export_words(known), reused=True)
        return manifest
    shape = (target.batch, spec.channels, spec.input_size, spec.input_size)
    images = _parity_images(plan, spec)
    if source.kind == "onnx":
        model = export.import_onnx(Path(source.location), batch=target.batch, input_size=spec.input_size, opset=target.opset)
        export.check_weights(model, source.location)
        events.progress("parity", 0.5)
        proven = parity.check_onnx_parity(Path(source.location), model, images)
    else:
        module = module or zoo.load_torch(source)
        model = export.export_torch(module, shape, opset=target.opset, dynamic_batch=plan.dynamic_batch)
        events.progress("parity", 0.4)
        proven = parity.check_parity(module, model, images, opset=target.opset, dynamic_batch=plan.dynamic_batch)
    export.save(model, plan.folder / FLOAT_ONNX)
    entry = _record(
        plan, FLOAT_ONNX, kind="onnx", stage="export", key=key, parents=parents, precision="fp32",
        parity=asdict(proven), nodes=sum(1 for _ in model.graph),
    )  # fmt: skip
    events.done(_export_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _origin_hashes(source: zoo.ModelSource, module: Any) -> dict[str, str]:
    """Hashes of everything the model's weights come from: a factory's result, or the file and its external data."""
    if source.kind == "factory":
        return {source.location: zoo.state_hash(module)}
    files = [Path(source.location)]
    if source.kind == "onnx":
        from edge_scnet.export import external_files

        files += external_files(files[0])
    return {str(file): artifact.sha256_file(file) for file in files}


def _export_words(entry: Artifact) -> str:
    parity = entry.facts["parity"]
    batches = ", ".join(map(str, parity["batches"]))
    return f"{entry.facts['nodes']} nodes; parity {parity['worst']:.1e} of the output range at batch {batches}"


def _parity_images(plan: _Plan, spec: zoo.ModelSpec) -> np.ndarray:
    if plan.calibration is None:
        rng = np.random.default_rng(1)
        return rng.standard_normal((8, spec.channels, spec.input_size, spec.input_size)).astype(np.float32)
    return dataset.load(plan.calibration, spec, range(min(8, len(plan.calibration))))


def _calibrate(plan: _Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.quantize import calibrate

    spec, samples = plan.source.spec, plan.calibration
    assert samples is not None
    model = manifest.artifacts[FLOAT_ONNX]
    events.stage("calibrate", f"{len(samples):,} images of {samples.name}")
    parents = {FLOAT_ONNX: model.sha256, "samples": samples.hash}
    key = artifact.stage_key("calibrate", parents, _settings(spec=asdict(spec)))
    known = manifest.artifacts.get(RANGES)
    if artifact.is_current(plan.folder, known, key):
        assert known is not None
        events.done(f"{known.facts['tensors']} tensors", reused=True)
        return manifest
    ranges = calibrate.calibrate(
        plan.folder / FLOAT_ONNX, dataset.batches(samples, spec, batch=16), expected_images=len(samples),
        samples_hash=samples.hash, progress=lambda done: events.progress("images", done / len(samples)),
    )  # fmt: skip
    calibrate.save_ranges(ranges, plan.folder / RANGES)
    facts = {"images": ranges.images, "skipped": samples.skipped, "tensors": len(ranges.tensors), "set": samples.name}
    entry = _record(plan, RANGES, kind="ranges", stage="calibrate", key=key, parents=parents, **facts)
    events.done(f"{len(ranges.tensors)} tensors", reused=False)
    return manifest.with_artifact(entry)


def _quantize(plan: _Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet import export
    from edge_scnet.optional import require
    from edge_scnet.quantize import calibrate, placement, qdq

    scheme, bits = plan.target.quant, environment.weight_bits(plan.floor)
    events.stage("quantize", f"{scheme.placement} scheme, {scheme.variant}, {bits}-bit weights ({plan.floor})")
    parents = {name: manifest.artifacts[name].sha256 for name in (FLOAT_ONNX, RANGES)}
    key = artifact.stage_key("quantize", parents, _settings(scheme=asdict(scheme), weight_bits=bits))
    known = manifest.artifacts.get(QDQ_ONNX)
    if artifact.is_current(plan.folder, known, key):
        assert known is not None
        events.done(_quantize_words(known), reused=True)
        return manifest
    ir = require("onnx_ir", extra="quantize")
    model = ir.load(plan.folder / FLOAT_ONNX)
    ranges = calibrate.load_ranges(plan.folder / RANGES)
    placed = placement.place(model, ranges, scheme)
    export.save(qdq.write_qdq(model, placed, weight_bits=bits), plan.folder / QDQ_ONNX)
    convolutions = [node.name for node in model.graph if node.op_type == "Conv"]
    entry = _record(
        plan, QDQ_ONNX, kind="onnx", stage="quantize", key=key, parents=parents, precision="int8", weight_bits=bits,
        activations=len(placed.activations), weights=len(placed.weights), convolutions=len(convolutions),
        int8_convolutions=[name for name in placed.int8_nodes if name in set(convolutions)],
    )  # fmt: skip
    events.done(_quantize_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _quantize_words(entry: Artifact) -> str:
    facts = entry.facts
    return (
        f"{len(facts['int8_convolutions'])} of {facts['convolutions']} convolutions; "
        f"Q/DQ on {facts['activations']} activations and {facts['weights']} weights"
    )


def _compile(plan: _Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet import compile as compiling

    backend, target, spec = plan.backend, plan.target, plan.source.spec
    events.stage("compile", f"{target.runtime}, INT8 and its FP32 twin")
    options = OpenOptions(precision="f32", threads=target.threads)
    reused = True
    jobs = ((FLOAT_ENGINE, FLOAT_ONNX, "fp32"), (ENGINE, QDQ_ONNX, "int8"))
    for stem, source_name, precision in jobs:
        file = stem + backend.SUFFIX
        source = manifest.artifacts[source_name]
        parents = {source_name: source.sha256, FLOAT_ONNX: manifest.artifacts[FLOAT_ONNX].sha256}
        settings = _settings(
            versions=backend.versions(), threads=target.threads, floor=plan.floor, isa=environment.provided_isa()
        )
        key = artifact.stage_key("compile", parents, settings)
        known = manifest.artifacts.get(file)
        weights = manifest.artifacts.get(stem + ".bin")
        if artifact.is_current(plan.folder, known, key) and artifact.is_current(plan.folder, weights, key):
            continue
        reused = False
        # an engine that fails its proof must not be left under its final name
        trial = plan.folder / f".trial-{file}"
        try:
            written = backend.build(plan.folder / source_name, target, trial)
            facts: dict[str, Any] = {"precision": precision, "runtime": target.runtime}
            if precision == "int8":
                facts |= _prove(compiling, plan, manifest, trial, options, spec, events)
            for path in reversed(written):
                path.replace(plan.folder / path.name.removeprefix(".trial-"))
        finally:
            for leftover in plan.folder.glob(f".trial-{stem}.*"):
                leftover.unlink()
        manifest = manifest.with_artifact(
            _record(plan, file, kind=backend.ARTIFACT_KIND, stage="compile", key=key, parents=parents, **facts)
        )
        for path in written[1:]:
            name = path.name.removeprefix(".trial-")
            manifest = manifest.with_artifact(
                _record(plan, name, kind="openvino-weights", stage="compile", key=key, parents=parents)
            )
        events.progress("engines", 0.3 if precision == "fp32" else 1.0)
    entry = manifest.artifacts[ENGINE + backend.SUFFIX]
    fidelity = entry.facts["fidelity"]
    words = [f"{v:.1f} dB" if v is not None else "exact" for v in (fidelity["engine_db"], fidelity["simulation_db"])]
    events.done(
        f"{entry.facts['int8_convolutions']} convolutions execute in INT8; fidelity {words[0]} (simulated {words[1]})",
        reused=reused,
    )
    return manifest


def _prove(
    compiling: Any, plan: _Plan, manifest: Manifest, engine: Path, options: OpenOptions, spec: zoo.ModelSpec, events: Events
) -> dict[str, Any]:
    expected = manifest.artifacts[QDQ_ONNX].facts["int8_convolutions"]
    with plan.backend.open(engine, options) as session:
        count = compiling.check_executed(session.executed_precisions(), expected)
    events.progress("engines", 0.6)
    samples = plan.calibration
    assert samples is not None
    chosen = np.linspace(0, len(samples) - 1, min(compiling.FIDELITY_IMAGES, len(samples))).astype(int).tolist()
    fidelity = compiling.check_fidelity(
        plan.backend, engine, float_model=plan.folder / FLOAT_ONNX, qdq_model=plan.folder / QDQ_ONNX,
        images=dataset.load(samples, spec, chosen), options=options,
    )  # fmt: skip
    return {"int8_convolutions": count, "fidelity": asdict(fidelity)}


_STAGE_FUNCTIONS: dict[str, Callable[[_Plan, Manifest, Events], Manifest]] = {
    "export": _export,
    "calibrate": _calibrate,
    "quantize": _quantize,
    "compile": _compile,
}
