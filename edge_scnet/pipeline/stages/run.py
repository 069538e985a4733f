"""The four stages that make files: export, calibrate, quantize, compile.

Each takes the plan and the manifest, reuses what the hashes say is current, and returns the manifest with its files. The
order of the stages is `pipeline.py`'s.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edge_scnet.config.target import TargetSpec
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import ENGINE, FLOAT_ENGINE, FLOAT_ONNX, QDQ_ONNX, RANGES, Artifact, Manifest
from edge_scnet.data import samples as dataset
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import ArtifactError, StorageError
from edge_scnet.machine import environment
from edge_scnet.models import zoo
from edge_scnet.runtimes.base import Backend, OpenOptions

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.graph.lint import LintFinding

Stage = Literal["export", "calibrate", "quantize", "compile", "profile"]
STAGES: tuple[Stage, ...] = ("export", "calibrate", "quantize", "compile", "profile")

# Of the range, between two halves of the calibration images. 128 images of Fashion-MNIST move by 2 %, 1,024 by 1 %.
_UNSTEADY_PERCENT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
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
    qdq: Path | None = None  # a Q/DQ graph made by another quantizer, taken instead of ours


@cache
def _code_hash() -> str:
    """Hash of the package's own source: an upgraded tool must not reuse what another version built."""
    root = Path(__file__).parents[2]
    return artifact.stage_key(
        "code", {str(p.relative_to(root)): artifact.sha256_file(p) for p in sorted(root.rglob("*.py"))}, {}
    )


def stage_settings(stage: Stage, **values: Any) -> dict[str, Any]:
    """What decides a stage's output besides its inputs: its settings, the package's code, the libraries it uses."""
    return {"code": _code_hash(), "versions": environment.package_versions(_STAGE_PACKAGES[stage]), **values}


def record(plan: Plan, file: str, *, kind: str, stage: Stage, key: str, parents: dict[str, str], **facts: Any) -> Artifact:
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


def _export(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.export import from_onnx as export
    from edge_scnet.export import parity

    source, spec, target = plan.source, plan.source.spec, plan.target
    batch = "dynamic" if plan.dynamic_batch else target.batch
    events.stage("export", f"{spec.name} to ONNX, opset {target.opset}, batch {batch}")
    module = zoo.load_torch(source) if source.kind == "factory" else None
    parents = _origin_hashes(source, module)
    # parity on random images alone is a weaker proof than on real ones
    real_images = plan.calibration is not None
    settings = stage_settings("export", spec=asdict(spec), opset=target.opset, batch=batch, real_images=real_images)
    key = artifact.stage_key("export", parents, settings)
    # a factory's code decides the graph too, and no hash of weights tells that it changed
    known = None if source.kind == "factory" else _reusable(plan, manifest, FLOAT_ONNX, key)
    if known is not None:
        events.done(_export_words(known), reused=True)
        return manifest.with_artifact(known)
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
    entry = record(
        plan, FLOAT_ONNX, kind="onnx", stage="export", key=key, parents=parents, precision="fp32",
        parity=asdict(proven), nodes=sum(1 for _ in model.graph),
    )  # fmt: skip
    events.done(_export_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _reusable(plan: Plan, manifest: Manifest, file: str, key: str) -> Artifact | None:
    """The stage's output where it is current: in this folder, or copied from that of another target of the same model."""
    here = manifest.artifacts.get(file)
    if artifact.is_current(plan.folder, here, key):
        return here
    for folder in sorted(plan.folder.parent.iterdir()):
        if folder == plan.folder or not (folder / artifact.MANIFEST).is_file():
            continue
        try:
            entry = artifact.load_manifest(folder).artifacts.get(file)
        except ArtifactError:
            continue  # another version's, or damaged: not ours to judge
        if entry is not None and artifact.is_current(folder, entry, key):
            with artifact.write_atomic(plan.folder / file) as temporary:
                shutil.copyfile(folder / file, temporary)
            return entry
    return None


def _origin_hashes(source: zoo.ModelSource, module: Any) -> dict[str, str]:
    """Hashes of everything the model's weights come from: a factory's result, or the file and its external data."""
    if source.kind == "factory":
        return {f"source:{source.location}": zoo.state_hash(module)}
    files = [Path(source.location)]
    if source.kind == "onnx":
        from edge_scnet.export.from_onnx import external_files

        files += external_files(files[0])
    # "source:" keeps a user's own model.onnx apart from the build's file of that name
    return {f"source:{file}": artifact.sha256_file(file) for file in files}


def _export_words(entry: Artifact) -> str:
    parity = entry.facts["parity"]
    batches = ", ".join(map(str, parity["batches"]))
    return f"{entry.facts['nodes']} nodes; parity {parity['worst']:.1e} of the output range at batch {batches}"


def _parity_images(plan: Plan, spec: zoo.ModelSpec) -> np.ndarray:
    if plan.calibration is None:
        rng = np.random.default_rng(1)
        return rng.standard_normal((8, spec.channels, spec.input_size, spec.input_size)).astype(np.float32)
    return dataset.load(plan.calibration, spec, range(min(8, len(plan.calibration))))


def _calibrate(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.quantize import calibrate

    spec, samples, scheme = plan.source.spec, plan.calibration, plan.target.quant
    assert samples is not None
    model = manifest.artifacts[FLOAT_ONNX]
    events.stage("calibrate", f"{len(samples):,} images of {samples.name}")
    parents = {FLOAT_ONNX: model.sha256, "samples": samples.hash}
    key = artifact.stage_key(
        "calibrate",
        parents,
        stage_settings(
            "calibrate", spec=asdict(spec), histogram=scheme.thresholds != "minmax", equalization=scheme.equalization
        ),
    )
    if (known := _reusable(plan, manifest, RANGES, key)) is not None:
        events.done(_calibrate_words(known), reused=True)
        return manifest.with_artifact(known)
    ranges = calibrate.calibrate(
        plan.folder / FLOAT_ONNX, dataset.batches(samples, spec, batch=16), expected_images=len(samples),
        samples_hash=samples.hash, content_hashes=samples.content_hashes, histogram=scheme.thresholds != "minmax",
        pilot=pilot_images(plan) if scheme.equalization else None, equalization=scheme.equalization,
        progress=lambda done: events.progress("images", done / len(samples), done, "images"),
    )  # fmt: skip
    calibrate.save_ranges(ranges, plan.folder / RANGES)
    drift = ranges.drift
    facts = {
        "images": ranges.images, "skipped": samples.skipped, "tensors": len(ranges.tensors), "set": samples.name,
        "drift_median_percent": drift.median_percent if drift else None, "classes": len(set(samples.labels or ())),
    }  # fmt: skip
    if drift is not None and drift.median_percent > _UNSTEADY_PERCENT:
        events.warn(
            f"thresholds move by {drift.median_percent:.0f} % between two halves of the {len(samples)} calibration images "
            f"(most, {drift.worst_percent:.0f} %, in {drift.worst_tensor}): use more, or more varied ones"
        )
    entry = record(plan, RANGES, kind="ranges", stage="calibrate", key=key, parents=parents, **facts)
    events.done(_calibrate_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _calibrate_words(entry: Artifact) -> str:
    facts = entry.facts
    words = f"{facts['tensors']} tensors"
    if facts["classes"]:
        words += f"; {facts['classes']} classes"
    if (moved := facts["drift_median_percent"]) is not None:
        words += f"; thresholds move by {moved:.1f} % between halves of the set"
    return words


def pilot_images(plan: Plan) -> np.ndarray:
    """The calibration images that decide factors and corrections."""
    from edge_scnet.quantize import calibrate, recipe

    assert plan.calibration is not None
    chosen = calibrate.pilot_indices(plan.calibration.content_hashes, recipe.PILOT_IMAGES)
    return dataset.load(plan.calibration, plan.source.spec, chosen)


def _quantize(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    if plan.qdq is None:
        return _quantize_here(plan, manifest, events)
    from edge_scnet.pipeline.stages import adopt

    return adopt.adopt(plan, plan.qdq, manifest, events)


def refuse(file: Path | str, target: TargetSpec, errors: Sequence[LintFinding]) -> None:
    """Raises ArtifactError where the lint found errors: the first of them, and the first fix."""
    if errors:
        shown = "".join(f"\n  {finding.node}: {finding.problem}" for finding in errors[:5])
        more = f"\n  and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ArtifactError(f"{file} is wrong for target {target.name}:{shown}{more}", hint=errors[0].fix)


def _quantize_here(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.core.optional import require
    from edge_scnet.export import from_onnx as export
    from edge_scnet.quantize import calibrate, recipe

    scheme, bits = plan.target.quant, environment.weight_bits(plan.floor)
    events.stage("quantize", f"{scheme.placement} scheme, {scheme.variant}, {bits}-bit weights ({plan.floor})")
    parents = {name: manifest.artifacts[name].sha256 for name in (FLOAT_ONNX, RANGES)}
    key = artifact.stage_key("quantize", parents, stage_settings("quantize", scheme=asdict(scheme), weight_bits=bits))
    known = manifest.artifacts.get(QDQ_ONNX)
    if artifact.is_current(plan.folder, known, key):
        assert known is not None
        events.done(quantize_words(known), reused=True)
        return manifest
    ir = require("onnx_ir", extra="quantize")
    prepared = recipe.prepare(
        ir.load(plan.folder / FLOAT_ONNX), calibrate.load_ranges(plan.folder / RANGES), scheme, weight_bits=bits,
        images=pilot_images(plan), progress=lambda share: events.progress("layers", share),
    )  # fmt: skip
    result = recipe.assemble(prepared)
    placed = result.placement
    export.save(result.model, plan.folder / QDQ_ONNX)
    convolutions = [str(node.name) for node in prepared.model.graph if node.op_type == "Conv"]
    _check_coverage(plan, convolutions, placed.int8_nodes, events)
    entry = record(
        plan, QDQ_ONNX, kind="onnx", stage="quantize", key=key, parents=parents, precision="int8", weight_bits=bits,
        activations=len(placed.activations), weights=len(placed.weights), convolutions=len(convolutions),
        equalized=result.equalized, compensated=result.compensated, corrected=result.corrected,
        int8_convolutions=[name for name in placed.int8_nodes if name in set(convolutions)],
        **quantized_facts(plan, manifest, result.model, ir.load(plan.folder / FLOAT_ONNX), bits, made_elsewhere=False),
    )  # fmt: skip
    events.done(quantize_words(entry), reused=False)
    return manifest.with_artifact(entry)


def quantized_facts(
    plan: Plan, manifest: Manifest, quantized: ir.Model, float_model: ir.Model, bits: int, *, made_elsewhere: bool
) -> dict[str, Any]:
    """What a gate compares exactly."""
    from edge_scnet.graph import inventory as provenance
    from edge_scnet.quantize.calibrate import load_ranges

    made_from = provenance.provenance_of(
        manifest, float_model, float_onnx=FLOAT_ONNX, ranges=RANGES, weight_bits=bits, made_elsewhere=made_elsewhere,
        calibrated_onnx=load_ranges(plan.folder / RANGES).model_sha256,
    )  # fmt: skip
    return {"quantization": asdict(provenance.quantization_of(quantized)), "provenance": asdict(made_from)}


def _check_coverage(plan: Plan, convolutions: Sequence[str], int8: Sequence[str], events: Events) -> None:
    """INT8 in name only must not pass: nothing quantized is refused, float convolutions that nobody asked for are named.

    Raises:
        ArtifactError: the graph holds nothing to quantize, or `keep_float` leaves nothing.
    """
    if not int8:
        raise ArtifactError(
            f"{plan.source.spec.name}: no convolution or linear layer can be quantized",
            hint=f"their weights must be constants of {plan.folder / FLOAT_ONNX}, and not all in the target's quant.keep_float",
        )
    if not plan.target.quant.keep_float and (left := [name for name in convolutions if name not in int8]):
        events.warn(
            f"{len(left)} of {len(convolutions)} convolutions stay in float, their weights are computed: {', '.join(left[:5])}"
        )


def quantize_words(entry: Artifact) -> str:
    facts = entry.facts
    return (
        f"{len(facts['int8_convolutions'])} of {facts['convolutions']} convolutions; "
        f"Q/DQ on {facts['activations']} activations and {facts['weights']} weights"
    )


def _compile(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    if plan.target.board is not None:
        from edge_scnet.compile import plans

        return plans.compile_plans(plan, manifest, events)
    backend, target = plan.backend, plan.target
    events.stage("compile", f"{target.runtime}, INT8 and its FP32 twin")
    reused = True
    for stem, source, precision in ((FLOAT_ENGINE, FLOAT_ONNX, "fp32"), (ENGINE, QDQ_ONNX, "int8")):
        file = stem + backend.SUFFIX
        parents = {name: manifest.artifacts[name].sha256 for name in dict.fromkeys((source, FLOAT_ONNX))}
        settings = stage_settings(
            "compile", threads=target.threads, floor=plan.floor, samples=plan.calibration.hash if plan.calibration else None,
            machine=environment.collect().features, limit=environment.provided_isa(),
        )  # fmt: skip
        key = artifact.stage_key("compile", parents, settings)
        known = manifest.artifacts.get(file)
        files = (file, *known.facts["companions"]) if known else (file,)
        if all(artifact.is_current(plan.folder, manifest.artifacts.get(name), key) for name in files):
            continue
        reused = False
        written, facts = _compile_one(plan, manifest, source, file, precision, events)
        facts |= {"precision": precision, "runtime": target.runtime, "companions": written[1:]}
        manifest = manifest.with_artifact(
            record(plan, file, kind=backend.ARTIFACT_KIND, stage="compile", key=key, parents=parents, **facts)
        )
        for name in written[1:]:
            manifest = manifest.with_artifact(record(plan, name, kind="companion", stage="compile", key=key, parents=parents))
        events.progress("engines", 0.3 if precision == "fp32" else 1.0)
    facts = manifest.artifacts[ENGINE + backend.SUFFIX].facts
    proof = facts["fidelity"]
    words = ["exact" if db is None else f"{db:.1f} dB" for db in (proof["engine_db"], proof["simulation_db"])]
    events.done(
        f"{facts['int8_convolutions']} convolutions execute in INT8; fidelity {words[0]} (simulated {words[1]})", reused=reused
    )
    return manifest


def _compile_one(
    plan: Plan, manifest: Manifest, source: str, file: str, precision: str, events: Events
) -> tuple[list[str], dict[str, Any]]:
    """Builds one engine under a trial name, proves it, and only then gives it its own: the files' names, and the proof."""
    prefix = f".trial-{os.getpid()}-"
    try:
        written = plan.backend.build(plan.folder / source, plan.target, plan.folder / f"{prefix}{file}")
        proof = _prove(plan, manifest, written[0], events) if precision == "int8" else {}
        names = [path.name.removeprefix(prefix) for path in written]
        for path, name in reversed([*zip(written, names, strict=True)]):
            path.replace(plan.folder / name)
    except OSError as error:
        raise StorageError(
            f"cannot write {plan.folder / file}: {error.strerror or error}", hint=f"df -h {plan.folder}"
        ) from error
    finally:
        for leftover in plan.folder.glob(f"{prefix}*"):
            leftover.unlink()
    return names, proof


def _prove(plan: Plan, manifest: Manifest, engine: Path, events: Events) -> dict[str, Any]:
    from edge_scnet.compile import fidelity as compiling

    assert plan.calibration is not None
    options = OpenOptions(precision="f32", threads=plan.target.threads)
    expected = manifest.artifacts[QDQ_ONNX].facts["int8_convolutions"]
    with plan.backend.open(engine, options) as session:
        count = compiling.check_executed(plan.backend, session.executed_precisions(), expected)
    events.progress("engines", 0.6)
    total = len(plan.calibration)
    chosen = np.linspace(0, total - 1, min(compiling.FIDELITY_IMAGES, total)).astype(int).tolist()
    fidelity = compiling.check_fidelity(
        plan.backend, engine, float_model=plan.folder / FLOAT_ONNX, qdq_model=plan.folder / QDQ_ONNX,
        images=dataset.load(plan.calibration, plan.source.spec, chosen), options=options,
    )  # fmt: skip
    return {"int8_convolutions": count, "fidelity": asdict(fidelity)}


STAGE_FUNCTIONS: dict[str, Callable[[Plan, Manifest, Events], Manifest]] = {
    "export": _export,
    "calibrate": _calibrate,
    "quantize": _quantize,
    "compile": _compile,
}
