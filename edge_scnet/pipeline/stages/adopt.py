"""The quantize stage for a Q/DQ graph that another quantizer made: checked, and taken if the
target's runtime computes it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, Manifest
from edge_scnet.errors import ArtifactError, MissingRuntimeError, first_line
from edge_scnet.graph.lint import lint, refuse
from edge_scnet.graph.model import load, save
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.job import Plan, record, stage_settings
from edge_scnet.pipeline.stages.quantize import quantize_words, quantized_facts


def adopt(plan: Plan, source: Path, manifest: Manifest, events: Events) -> Manifest:
    """Takes the Q/DQ graph that another quantizer made of this model, if the target's runtime
    computes what it says.

    Raises:
        ArtifactError: it is no such graph; the lint's errors, but for those that the backend writes
            in another form.
    """
    events.stage("quantize", f"{source}, made elsewhere")
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
    _check_same_ends(load(plan.folder / FLOAT_ONNX), model, source)
    bits = weight_bits(plan.floor)
    found = lint(model, plan.target.quant.placement, weight_bits=bits)
    rewritten = set(plan.backend.rewrites(source))
    errors = [
        finding for finding in found if finding.severity == "error" and finding not in rewritten
    ]
    refuse(source, plan.target.name, errors)
    for finding in rewritten:
        events.warn(
            f"written in another form for {plan.target.runtime}: {finding.node}: {finding.problem}"
        )
    if others := [finding for finding in found if finding.severity == "warning"]:
        events.warn(
            f"{len(others)} places lose speed or accuracy: edge-scnet inspect {source} --target"
            f" {plan.target.name}"
        )
    # names are how the executed precision of a convolution is looked up
    convolutions = [node for node in model.graph if node.op_type == "Conv"]
    for node in convolutions:
        node.name = node.name or str(node.outputs[0].name)
    save(model, plan.folder / QDQ_ONNX)
    in_float = {finding.node for finding in found if finding.rule in ("float", "half-quantized")}
    int8 = [str(node.name) for node in convolutions if node.name not in in_float]
    if not int8:
        raise ArtifactError(
            f"--qdq {source}: no convolution has Q/DQ on both its input and its weights"
        )
    parents = {
        FLOAT_ONNX: manifest.artifacts[FLOAT_ONNX].sha256,
        f"source:{source}": sha256_file(source),
    }
    key = artifact.stage_key("quantize", parents, stage_settings("quantize", weight_bits=bits))
    pairs = sum(node.op_type == "QuantizeLinear" for node in model.graph)
    entry = record(
        plan,
        QDQ_ONNX,
        kind="onnx",
        stage="quantize",
        key=key,
        parents=parents,
        precision="int8",
        weight_bits=bits,
        activations=pairs,
        weights=len(int8),
        convolutions=len(convolutions),
        int8_convolutions=int8,
        **quantized_facts(
            plan, manifest, model, load(plan.folder / FLOAT_ONNX), bits, made_elsewhere=True
        ),
    )
    events.done(quantize_words(entry), reused=False)
    return manifest.with_artifact(entry)


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
