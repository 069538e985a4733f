"""The compile stage of boards without INT8: the graph for FP16, its simulation, and the bundle."""

from __future__ import annotations

from edge_scnet.compile.bundle import write_bundle
from edge_scnet.compile.half import to_half
from edge_scnet.compile.reference import make
from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import FormFacts
from edge_scnet.core.manifest import BUNDLE, FLOAT_ONNX, FP16_FORM, FP16_GRAPH, RANGES
from edge_scnet.graph.lint import lint, refuse
from edge_scnet.graph.model import load, save
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record
from edge_scnet.quantizer.equalize import equalize
from edge_scnet.quantizer.ranges_file import load_ranges


def compile_half(job: BuildJob, events: Events) -> BuildFolder:
    """Writes the graph that the board's TensorRT turns into FP16, and the bundle.

    TensorRT 8.2 takes a float file and decides the types itself (--fp16). What FP16 costs is
    simulated on a second graph, whose every value is rounded to FP16 but those beyond its range.

    Raises:
        ArtifactError: the graph holds what this TensorRT does not read; names the node.
        StorageError: the folder cannot be written.
    """
    assert job.target.board is not None and job.calibration is not None
    folder = job.folder
    events.stage("compile", "FP16 for the board; the FP32 plan that it is held against too")
    origin = origin_of(
        "compile",
        folder.hashes([FLOAT_ONNX, RANGES]),
        target=folder.manifest.target,
        packed=job.evaluation.hash if job.evaluation else None,
    )
    if all(folder.is_current(file, origin.key) for file in (FP16_FORM, FP16_GRAPH, BUNDLE)):
        events.done(_summary(folder), reused=True)
        return folder
    ranges = load_ranges(folder.verified(RANGES))
    model = load(folder.verified(FLOAT_ONNX))
    if ranges.factors:
        model = equalize(model, ranges.factors)
    findings = lint(model, "tensorrt", max_opset=job.target.board.max_opset, rtx=False)
    refuse(FP16_FORM, job.target.name, [found for found in findings if found.severity == "error"])
    halved = to_half(model, ranges.tensors)
    if halved.kept:
        node, why = next(iter(halved.kept.items()))
        events.warn(
            f"{len(halved.kept)} nodes pass FP16's range and are simulated in FP32, which TensorRT"
            f" is not told: {node} ({why})"
        )
    facts = FormFacts(precision="fp16", kept_fp32=tuple(sorted(halved.kept)))
    for graph, file in ((model, FP16_FORM), (halved.model, FP16_GRAPH)):
        save(graph, folder.path / file)
        entry = record(folder.path, file, origin, kind="onnx-form", facts=facts)
        folder = folder.with_artifact(entry)
    reference = make(
        folder.verified(FLOAT_ONNX),
        folder.verified(FP16_GRAPH),
        job.calibration,
        job.source.spec,
        batch=job.target.batch,
    )
    bundle = write_bundle(folder, job.target, reference, job.evaluation)
    folder = folder.with_artifact(record(folder.path, bundle.name, origin, kind="bundle"))
    events.done(_summary(folder), reused=False)
    return folder


def _summary(folder: BuildFolder) -> str:
    size_mb = folder.entry(FP16_FORM).size_bytes / 1e6
    return f"{FP16_FORM} {size_mb:.1f} MB; compiled: no, it needs the board; {BUNDLE} is for it"
