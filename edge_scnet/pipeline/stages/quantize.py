"""Model.qdq.onnx by the own quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_scnet.core import manifest as artifact
from edge_scnet.core.events import Events
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, RANGES, Artifact, Manifest
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.model import load, save
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.job import Plan, pilot_images, record, stage_settings

if TYPE_CHECKING:
    import onnx_ir as ir


def quantize(plan: Plan, manifest: Manifest, events: Events) -> Manifest:
    from edge_scnet.quantize import recipe
    from edge_scnet.quantize.ranges_file import load_ranges

    scheme, bits = plan.target.quant, weight_bits(plan.floor)
    events.stage(
        "quantize",
        f"{scheme.placement} scheme, {scheme.variant}, {bits}-bit weights ({plan.floor})",
    )
    parents = {name: manifest.artifacts[name].sha256 for name in (FLOAT_ONNX, RANGES)}
    key = artifact.stage_key(
        "quantize", parents, stage_settings("quantize", scheme=asdict(scheme), weight_bits=bits)
    )
    known = manifest.artifacts.get(QDQ_ONNX)
    if artifact.is_current(plan.folder, known, key):
        assert known is not None
        events.done(quantize_words(known), reused=True)
        return manifest
    prepared = recipe.prepare(
        load(plan.folder / FLOAT_ONNX),
        load_ranges(plan.folder / RANGES),
        scheme,
        weight_bits=bits,
        images=pilot_images(plan),
        progress=lambda share: events.progress("layers", share),
    )
    result = recipe.assemble(prepared)
    placed = result.placement
    save(result.model, plan.folder / QDQ_ONNX)
    convolutions = [str(node.name) for node in prepared.model.graph if node.op_type == "Conv"]
    _check_coverage(plan, convolutions, placed.int8_nodes, events)
    entry = record(
        plan,
        QDQ_ONNX,
        kind="onnx",
        stage="quantize",
        key=key,
        parents=parents,
        precision="int8",
        weight_bits=bits,
        activations=len(placed.activations),
        weights=len(placed.weights),
        convolutions=len(convolutions),
        equalized=result.equalized,
        compensated=result.compensated,
        corrected=result.corrected,
        int8_convolutions=[name for name in placed.int8_nodes if name in set(convolutions)],
        **quantized_facts(
            plan,
            manifest,
            result.model,
            load(plan.folder / FLOAT_ONNX),
            bits,
            made_elsewhere=False,
        ),
    )
    events.done(quantize_words(entry), reused=False)
    return manifest.with_artifact(entry)


def quantized_facts(
    plan: Plan,
    manifest: Manifest,
    quantized: ir.Model,
    float_model: ir.Model,
    bits: int,
    *,
    made_elsewhere: bool,
) -> dict[str, Any]:
    """What a gate compares exactly."""
    from edge_scnet.graph import inventory as provenance
    from edge_scnet.pipeline.stages.provenance import provenance_of
    from edge_scnet.quantize.ranges_file import load_ranges

    made_from = provenance_of(
        manifest,
        float_model,
        float_onnx=FLOAT_ONNX,
        ranges=RANGES,
        weight_bits=bits,
        made_elsewhere=made_elsewhere,
        calibrated_onnx=load_ranges(plan.folder / RANGES).model_sha256,
    )
    return {
        "quantization": asdict(provenance.quantization_of(quantized)),
        "provenance": asdict(made_from),
    }


def _check_coverage(
    plan: Plan, convolutions: Sequence[str], int8: Sequence[str], events: Events
) -> None:
    """INT8 in name only must not pass: nothing quantized is refused, float convolutions that nobody
    asked for are named.

    Raises:
        ArtifactError: the graph holds nothing to quantize, or `keep_float` leaves nothing.
    """
    if not int8:
        raise ArtifactError(
            f"{plan.source.spec.name}: no convolution or linear layer can be quantized",
            hint=(
                f"their weights must be constants of {plan.folder / FLOAT_ONNX}, and not all in the"
                " target's quant.keep_float"
            ),
        )
    if not plan.target.quant.keep_float and (
        left := [name for name in convolutions if name not in int8]
    ):
        events.warn(
            f"{len(left)} of {len(convolutions)} convolutions stay in float, their weights are"
            f" computed: {', '.join(left[:5])}"
        )


def quantize_words(entry: Artifact) -> str:
    facts = entry.facts
    return (
        f"{len(facts['int8_convolutions'])} of {facts['convolutions']} convolutions; "
        f"Q/DQ on {facts['activations']} activations and {facts['weights']} weights"
    )
