"""The quantize stage for a Q/DQ graph that another quantizer made: checked, then taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX
from edge_scnet.errors import ArtifactError, MissingRuntimeError, first_line
from edge_scnet.graph.inventory import quantization_of
from edge_scnet.graph.lint import LintFinding, lint, refuse
from edge_scnet.graph.model import load, save
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record
from edge_scnet.pipeline.stages.provenance import provenance_of
from edge_scnet.pipeline.stages.quantize import summary_of_qdq


def adopt(job: BuildJob, source: Path, events: Events) -> BuildFolder:
    """Takes the Q/DQ graph that another quantizer made of this model.

    Raises:
        ArtifactError: it is no such graph, or the target's runtime computes something else than it
            says and does not write it in another form.
    """
    folder, bits = job.folder, weight_bits(job.floor)
    events.stage("quantize", f"{source}, made elsewhere")
    model = _load(source)
    _check_same_ends(load(folder.path / FLOAT_ONNX), model, source)
    findings = lint(model, job.target.quant.placement, weight_bits=bits)
    _refuse_or_warn(job, source, findings, events)
    # names are how the executed precision of a convolution is looked up
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    for node in convolutions:
        node.name = node.name or str(node.outputs[0].name)
    save(model, folder.path / QDQ_ONNX)
    in_float = {f.node for f in findings if f.rule in ("float", "half-quantized")}
    int8 = tuple(str(node.name) for node in convolutions if node.name not in in_float)
    if not int8:
        raise ArtifactError(
            f"--qdq {source}: no convolution has Q/DQ on both its input and its weights"
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
        weights=len(int8),
        convolutions=len(convolutions),
        int8_convolutions=int8,
        quantization=quantization_of(model),
        provenance=provenance_of(folder, weight_bits=bits, made_elsewhere=True),
    )
    folder = folder.with_artifact(record(folder.path, QDQ_ONNX, origin, kind="onnx", facts=facts))
    events.done(summary_of_qdq(folder), reused=False)
    return folder


def _load(source: Path) -> Any:
    """The Q/DQ graph.

    Raises:
        ArtifactError: no such file, no ONNX, or nothing in it is quantized.
    """
    if not source.is_file():
        raise ArtifactError(f"--qdq {source}: no such file")
    try:
        model = load(source)
    except MissingRuntimeError:
        raise
    except Exception as error:
        raise ArtifactError(f"--qdq {source} is no ONNX file: {first_line(error)}") from error
    if not is_quantized(model):
        raise ArtifactError(
            f"--qdq {source} holds no QuantizeLinear",
            hint="leave --qdq out: then it is quantized here",
        )
    return model


def _check_same_ends(model: Any, quantized: Any, source: Path) -> None:
    """Refuses a graph whose input or outputs are not the float model's."""

    def ends(graph: Any) -> list[tuple[int | str | None, ...]]:
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


def _refuse_or_warn(
    job: BuildJob, source: Path, findings: tuple[LintFinding, ...], events: Events
) -> None:
    """Refuses the lint's errors, but for what the runtime writes in another form.

    Raises:
        ArtifactError: names the nodes and the fixes.
    """
    rewritten = set(job.runtime.rewrites(source))
    errors = [f for f in findings if f.severity == "error" and f not in rewritten]
    refuse(source, job.target.name, errors)
    for finding in rewritten:
        events.warn(
            f"written in another form for {job.target.runtime}: {finding.node}: {finding.problem}"
        )
    if warnings := [f for f in findings if f.severity == "warning"]:
        events.warn(
            f"{len(warnings)} places lose speed or accuracy: edge-scnet inspect {source} --target"
            f" {job.target.name}"
        )
