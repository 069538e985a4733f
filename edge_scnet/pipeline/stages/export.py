"""Model.onnx."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, Artifact, Manifest
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import load
from edge_scnet.models import zoo
from edge_scnet.models.checkpoint import load_torch, state_hash
from edge_scnet.pipeline.stages.job import Plan, record, reusable, stage_settings


def export(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.export import from_onnx as export
    from edge_scnet.export import parity
    from edge_scnet.export.from_torch import export_torch
    from edge_scnet.graph.model import save

    source, spec, target = plan.source, plan.source.spec, plan.target
    batch = "dynamic" if plan.dynamic_batch else target.batch
    events.stage("export", f"{spec.name} to ONNX, opset {target.opset}, batch {batch}")
    module = load_torch(source) if source.kind == "factory" else None
    parents = _origin_hashes(source, module)
    # parity on random images alone is a weaker proof than on real ones
    real_images = plan.calibration is not None
    settings = stage_settings(
        "export", spec=asdict(spec), opset=target.opset, batch=batch, real_images=real_images
    )
    key = artifact.stage_key("export", parents, settings)
    # a factory's code decides the graph too, and no hash of weights tells that it changed
    known = None if source.kind == "factory" else reusable(plan, manifest, FLOAT_ONNX, key)
    if known is not None:
        events.done(_export_words(known), reused=True)
        return manifest.with_artifact(known)
    shape = (target.batch, spec.channels, spec.input_size, spec.input_size)
    images = _parity_images(plan, spec)
    if source.kind == "onnx":
        model = export.import_onnx(
            Path(source.location),
            batch=target.batch,
            input_size=spec.input_size,
            opset=target.opset,
        )
        export.check_weights(model, source.location)
        events.progress("parity", 0.5)
        proven = parity.check_onnx_parity(Path(source.location), model, images)
    else:
        module = module or load_torch(source)
        model = export_torch(module, shape, opset=target.opset, dynamic_batch=plan.dynamic_batch)
        events.progress("parity", 0.4)
        proven = parity.check_parity(
            module, model, images, opset=target.opset, dynamic_batch=plan.dynamic_batch
        )
    save(model, plan.folder / FLOAT_ONNX)
    entry = record(
        plan,
        FLOAT_ONNX,
        kind="onnx",
        stage="export",
        key=key,
        parents=parents,
        precision="fp32",
        parity=asdict(proven),
        nodes=sum(1 for _ in model.graph),
    )
    events.done(_export_words(entry), reused=False)
    return manifest.with_artifact(entry)


def _origin_hashes(source: zoo.ModelSource, module: Any) -> dict[str, str]:
    """Hashes of everything the model's weights come from: a factory's result, or the file and its
    external data.
    """
    if source.kind == "factory":
        return {f"source:{source.location}": state_hash(module)}
    files = [Path(source.location)]
    if source.kind == "onnx":
        from edge_scnet.export.from_onnx import external_files

        files += external_files(files[0])
    # "source:" keeps a user's own model.onnx apart from the build's file of that name
    return {f"source:{file}": sha256_file(file) for file in files}


def _export_words(entry: Artifact) -> str:
    parity = entry.facts["parity"]
    batches = ", ".join(map(str, parity["batches"]))
    return (
        f"{entry.facts['nodes']} nodes; parity {parity['worst']:.1e} of the output range at batch"
        f" {batches}"
    )


def _parity_images(plan: Plan, spec: ModelSpec) -> np.ndarray:
    if plan.calibration is None:
        rng = np.random.default_rng(1)
        return rng.standard_normal((8, spec.channels, spec.input_size, spec.input_size)).astype(
            np.float32
        )
    return load(plan.calibration, spec, range(min(8, len(plan.calibration))))
