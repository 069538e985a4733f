"""The quantize stage for a Q/DQ graph that another quantizer made: checked, then taken."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX
from edge_scnet.errors import ArtifactError
from edge_scnet.export.quantized import in_opset, with_fixed_inputs
from edge_scnet.graph.inventory import quantization_of
from edge_scnet.graph.lint import LintFinding, int8_layers, lint, refuse
from edge_scnet.graph.model import load, save
from edge_scnet.graph.quantized_file import read_quantized
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import Adopted, BuildJob, record
from edge_scnet.pipeline.stages.provenance import provenance_of
from edge_scnet.pipeline.stages.quantize import summary_of_qdq

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.runtimes.base import Runtime


def read_for_target(source: Path, target: TargetSpec, runtime: Runtime, floor: str) -> Adopted:
    """Reads another quantizer's file and checks it against a target.

    Args:
        floor: the lowest instruction set that the engine is to be right on.

    Raises:
        ArtifactError: it is no such file, or the target's runtime computes something else than it
            says and does not write it in another form.
    """
    file = read_quantized(source, what=f"--qdq {source}")
    findings = lint(file.model, target.quant.placement, weight_bits=weight_bits(floor))
    rewritten = set(_rewrites(runtime, file.model))
    errors = [f for f in findings if f.severity == "error" and f not in rewritten]
    refuse(source, target.name, errors)
    return Adopted(
        model=file.model,
        notes=file.notes,
        rewritten=tuple(f for f in findings if f in rewritten),
        warnings=tuple(f for f in findings if f.severity == "warning"),
    )


def adopt(job: BuildJob, source: Path, adopted: Adopted, events: Events) -> BuildFolder:
    """Takes the Q/DQ graph that another quantizer made of this model.

    Args:
        source: the file that it was read from.

    Raises:
        ArtifactError: its inputs or outputs are not the float model's, or no layer is quantized.
    """
    folder, bits = job.folder, weight_bits(job.floor)
    events.stage("quantize", f"{source}, made elsewhere")
    options = replace(
        job.source.options, channels=None, input_size=None, input_shape=job.source.spec.input_shape
    )
    model = with_fixed_inputs(adopted.model, source, options, batch=job.target.batch)
    if job.target.board is not None:  # its forms have FP16 scales
        model = in_opset(model, source, job.target.opset)
    _check_same_ends(load(folder.verified(FLOAT_ONNX)), model, source)
    _warn(adopted, source, job, events)
    # names are how the executed precision of a layer is looked up
    for node in model.graph:
        node.name = node.name or str(node.outputs[0].name)
    save(model, folder.path / QDQ_ONNX)
    convolutions = [str(node.name) for node in model.graph if node.op_type == "Conv"]
    layers = int8_layers(model, job.target.quant.placement)
    if not layers:
        raise ArtifactError(
            f"--qdq {source}: no layer has Q/DQ on both its input and its weights",
            hint=f"what it has: edge-scnet inspect {source}",
        )
    origin = origin_of(
        "quantize",
        {**folder.hashes([FLOAT_ONNX]), f"source:{source}": sha256_file(source)},
        weight_bits=bits,
    )
    facts = QdqFacts(
        precision="int8",
        weight_bits=bits,
        activations=sum(node.op_type == "QuantizeLinear" for node in model.graph),
        weights=len(layers),
        convolutions=len(convolutions),
        int8_convolutions=tuple(name for name in convolutions if name in set(layers)),
        int8_layers=layers,
        quantization=quantization_of(model),
        provenance=provenance_of(folder, weight_bits=bits, made_elsewhere=True),
    )
    folder = folder.with_artifact(record(folder.path, QDQ_ONNX, origin, kind="onnx", facts=facts))
    events.done("; ".join([summary_of_qdq(folder), *adopted.notes]), reused=False)
    return folder


def _rewrites(runtime: Runtime, model: ir.Model) -> Iterable[LintFinding]:
    """What the runtime writes in another form, of the graph as it was read."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, QDQ_ONNX)
        save(model, path)
        return runtime.rewrites(path)


def _check_same_ends(model: ir.Model, quantized: ir.Model, source: Path) -> None:
    """Refuses a graph whose input or outputs are not the float model's."""

    def ends(graph: ir.Graph) -> list[tuple[int | str | None, ...]]:
        return [
            tuple(d if isinstance(d, int) else str(d) for d in value.shape or ())
            for value in (*graph.inputs, *graph.outputs)
        ]

    if ends(model.graph) != ends(quantized.graph):
        raise ArtifactError(
            f"--qdq {source} has inputs and outputs of {ends(quantized.graph)}, the float model of"
            f" {ends(model.graph)}",
            hint="quantize the model.onnx of this build: edge-scnet export",
        )


def _warn(adopted: Adopted, source: Path, job: BuildJob, events: Events) -> None:
    """Says what is written in another form, and how much loses speed or accuracy."""
    for finding in adopted.rewritten:
        events.warn(
            f"written in another form for {job.target.runtime}: {finding.node}: {finding.problem}"
        )
    if adopted.warnings:
        events.warn(
            f"{len(adopted.warnings)} places lose speed or accuracy: edge-scnet inspect {source}"
            f" --target {job.target.name}"
        )
