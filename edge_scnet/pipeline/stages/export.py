"""The export stage: model.onnx, proven to compute what the model does."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.config.model_options import ways_to_split
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import ExportFacts
from edge_scnet.core.feeds import random_batch
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX
from edge_scnet.data.batches import load
from edge_scnet.export import file_parity, parity
from edge_scnet.export.from_onnx import check_weights, import_onnx
from edge_scnet.export.from_torch import example_of, export_torch
from edge_scnet.export.onnx_file import external_files
from edge_scnet.graph.model import save
from edge_scnet.models import zoo
from edge_scnet.models.load import load_torch, state_hash
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record, reusable


def export(job: BuildJob, events: Events) -> BuildFolder:
    """Exports or imports the model, proves the graph, and writes it.

    Raises:
        ArtifactError: a model that cannot be loaded or exported. ParityError: the graph computes
            something else.
    """
    source, spec, target, folder = job.source, job.source.spec, job.target, job.folder
    batch = "dynamic" if job.dynamic_batch else target.batch
    events.stage("export", f"{spec.name} to ONNX, opset {target.opset}, batch {batch}")
    module = source.module
    origin = origin_of(
        "export",
        _origin_hashes(source, module),
        spec=asdict(spec),
        opset=target.opset,
        batch=batch,
        fix=source.options.fix,
        # parity on random images alone is a weaker proof than on real ones
        real_images=job.calibration is not None,
    )
    # a module's code decides the graph too, and no hash of weights tells that it changed
    reused = None if module is not None else reusable(folder, FLOAT_ONNX, origin.key)
    if reused is not None:
        folder = folder.with_artifact(reused)
        events.done(_summary(folder), reused=True)
        return folder
    images = _parity_images(job)
    notes = source.notes
    if source.kind == "onnx":
        path = Path(source.location)
        imported = import_onnx(path, source.options, batch=target.batch, opset=target.opset)
        model, notes = imported.model, imported.notes
        check_weights(model, source.location)
        events.progress("parity", 0.5)
        proven = file_parity.check_onnx_parity(path, imported, images)
    else:
        module = module or load_torch(source)
        example = example_of(spec, target.batch)
        model = export_torch(module, example, opset=target.opset, dynamic_batch=job.dynamic_batch)
        events.progress("parity", 0.4)
        proven = parity.check_parity(
            module, model, images, opset=target.opset, dynamic_batch=job.dynamic_batch
        )
    if not proven.finite:
        notes += ("no output has a finite value on the images that parity is checked on",)
        if job.calibration is None:
            notes += ("they are random: pass --calib DIR",)
    save(model, folder.path / FLOAT_ONNX)
    facts = ExportFacts(
        precision="fp32", parity=proven, nodes=sum(1 for _ in model.graph), notes=notes
    )
    entry = record(folder.path, FLOAT_ONNX, origin, kind="onnx", facts=facts)
    folder = folder.with_artifact(entry)
    events.done(_summary(folder), reused=False)
    return folder


def _origin_hashes(source: zoo.ModelSource, module: Any) -> dict[str, str]:
    """Hashes of all that the weights come from: a module's state, or files with external data."""
    if module is not None:
        return {f"source:{source.location}": state_hash(module)}
    files = [Path(source.location)]
    if source.kind == "onnx":
        files += external_files(files[0])
        for fix in source.options.fix or ():
            paths = [Path(value) for _, value in ways_to_split(fix) if value.endswith(".npy")]
            files += [path for path in paths if path.is_file()][:1]
    # "source:" keeps a user's own model.onnx apart from the build's file of that name
    return {f"source:{file}": sha256_file(file) for file in files}


def _summary(folder: BuildFolder) -> str:
    facts = folder.facts(FLOAT_ONNX, ExportFacts)
    batches = ", ".join(map(str, facts.parity.batches))
    summary = (
        f"{facts.nodes} nodes; parity {facts.parity.worst:.1e} of the output range at batch"
        f" {batches}"
    )
    if facts.parity.noise:
        summary += f", where rounding alone changes {facts.parity.noise:.1e} in the file itself"
    return "; ".join([summary, *facts.notes])


def _parity_images(job: BuildJob) -> np.ndarray:
    """Up to eight calibration images, or random ones, as `feeds` has batches."""
    spec = job.source.spec
    if job.calibration is None:
        return random_batch(spec, 8, seed=1)
    return load(job.calibration, spec, range(min(8, len(job.calibration))))
