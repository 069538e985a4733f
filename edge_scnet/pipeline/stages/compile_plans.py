"""TensorRT: forms, then plans or the bundle."""

from __future__ import annotations

from edge_scnet.compile.plans import build_pair, forms_of, words
from edge_scnet.compile.reference import Reference, make
from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import (
    BUNDLE,
    FLOAT_ONNX,
    FP16_FORM,
    INT8_FORM,
    PAIRS,
    QDQ_ONNX,
    RANGES,
    Manifest,
)
from edge_scnet.graph.model import load
from edge_scnet.pipeline.stages.job import Plan, record, stage_settings


def compile_plans(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    """The stage: both forms, and both plans where this machine can build them."""
    backend = plan.backend
    boards, here = backend.packs_bundle, backend.builds_here()
    if here and boards:
        from edge_scnet.compile.board import check_board

        check_board(plan.target)
    events.stage(
        "compile",
        (
            f"{backend.title}, INT8 and its FP16 twin"
            if here
            else "INT8 and its FP16 twin, for the board"
        ),
    )
    parents = {name: manifest.artifacts[name].sha256 for name in (FLOAT_ONNX, QDQ_ONNX, RANGES)}
    settings = stage_settings(
        "compile",
        target=manifest.target,
        built=backend.versions(),
        packed=plan.evaluation.hash if plan.evaluation else None,
    )
    key = artifact.stage_key("compile", parents, settings)
    names = [*(pair[0] for pair in PAIRS), *(pair[1] for pair in PAIRS if here)]
    names += [BUNDLE] if boards else []
    if all(artifact.is_current(plan.folder, manifest.artifacts.get(name), key) for name in names):
        events.done(words(manifest), reused=True)
        return manifest
    manifest = _write_forms(plan, manifest, key, parents, events)
    if here:
        convolutions = manifest.artifacts[QDQ_ONNX].facts["int8_convolutions"]
        checked = _reference(plan) if backend.unavailable_to_run() is None else None
        built = build_pair(
            backend,
            plan.target,
            plan.folder,
            plan.folder,
            convolutions,
            events.progress,
            reference=checked,
        )
        for file, facts in built.items():
            entry = record(
                plan,
                file,
                kind=backend.artifact_kind,
                stage="compile",
                key=key,
                parents=parents,
                **facts,
            )
            manifest = manifest.with_artifact(entry)
            for message in facts["warnings"][:3]:
                events.warn(f"{backend.title}: {message}")
    if boards:
        manifest = _pack(plan, manifest, key, parents)
    events.done(words(manifest), reused=False)
    return manifest


def _pack(plan: Plan, manifest: Manifest, key: str, parents: dict[str, str]) -> Manifest:
    from edge_scnet.compile import bundle

    path = bundle.write_bundle(
        plan.folder, manifest, plan.target, _reference(plan), plan.evaluation
    )
    return manifest.with_artifact(
        record(plan, path.name, kind="bundle", stage="compile", key=key, parents=parents)
    )


def _reference(plan: Plan) -> Reference:
    """Calibration images with what the float graph gives for them."""
    assert plan.calibration is not None
    files = plan.folder / FLOAT_ONNX, plan.folder / QDQ_ONNX
    return make(*files, plan.calibration, plan.source.spec, batch=plan.target.batch)


def _write_forms(
    plan: Plan, manifest: Manifest, key: str, parents: dict[str, str], events: Events
) -> Manifest:
    from edge_scnet.graph.model import save
    from edge_scnet.quantize.ranges_file import load_ranges

    made = forms_of(
        load(plan.folder / FLOAT_ONNX),
        load(plan.folder / QDQ_ONNX),
        load_ranges(plan.folder / RANGES),
        plan.target,
    )
    if made.kept_fp32:
        node, why = next(iter(made.kept_fp32.items()))
        events.warn(
            f"{len(made.kept_fp32)} nodes stay in FP32, FP16 cannot hold them: {node} ({why})"
        )
    for model, file, precision in ((made.fp16, FP16_FORM, "fp16"), (made.int8, INT8_FORM, "int8")):
        save(model, plan.folder / file)
        entry = record(
            plan,
            file,
            kind="onnx-form",
            stage="compile",
            key=key,
            parents=parents,
            precision=precision,
            kept_fp32=sorted(made.kept_fp32),
        )
        manifest = manifest.with_artifact(entry)
    events.progress("forms", 1.0)
    return manifest
