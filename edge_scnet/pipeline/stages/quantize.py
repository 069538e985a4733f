"""The quantize stage: model.qdq.onnx by the project's own quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import QdqFacts
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, RANGES
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.inventory import quantization_of
from edge_scnet.graph.model import load, save
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.cache_key import origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record
from edge_scnet.pipeline.stages.pilot import pilot_images
from edge_scnet.pipeline.stages.provenance import provenance_of
from edge_scnet.quantize import recipe
from edge_scnet.quantize.ranges_file import load_ranges


def quantize(job: BuildJob, events: Events) -> BuildFolder:
    """Writes the Q/DQ graph.

    Raises:
        ArtifactError: the graph holds nothing to quantize, or `keep_float` leaves nothing.
    """
    scheme, bits, folder = job.target.quant, weight_bits(job.floor), job.folder
    events.stage(
        "quantize",
        f"{scheme.placement} scheme, {scheme.variant}, {bits}-bit weights ({job.floor})",
    )
    origin = origin_of(
        "quantize",
        folder.hashes([FLOAT_ONNX, RANGES]),
        scheme=asdict(scheme),
        weight_bits=bits,
    )
    if folder.is_current(QDQ_ONNX, origin.key):
        events.done(summary_of_qdq(folder), reused=True)
        return folder
    prepared = recipe.prepare(
        load(folder.path / FLOAT_ONNX),
        load_ranges(folder.path / RANGES),
        scheme,
        weight_bits=bits,
        images=pilot_images(job),
        progress=lambda share: events.progress("layers", share),
    )
    result = recipe.assemble(prepared)
    placed = result.placement
    save(result.model, folder.path / QDQ_ONNX)
    convolutions = [str(node.name) for node in prepared.model.graph if node.op_type == "Conv"]
    _check_coverage(job, convolutions, placed.int8_nodes, events)
    facts = QdqFacts(
        precision="int8",
        weight_bits=bits,
        activations=len(placed.activations),
        weights=len(placed.weights),
        convolutions=len(convolutions),
        equalized=result.equalized,
        compensated=result.compensated,
        corrected=result.corrected,
        int8_convolutions=tuple(name for name in placed.int8_nodes if name in set(convolutions)),
        quantization=quantization_of(result.model),
        provenance=provenance_of(folder, weight_bits=bits, made_elsewhere=False),
    )
    folder = folder.with_artifact(record(folder.path, QDQ_ONNX, origin, kind="onnx", facts=facts))
    events.done(summary_of_qdq(folder), reused=False)
    return folder


def _check_coverage(
    job: BuildJob, convolutions: Sequence[str], int8: Sequence[str], events: Events
) -> None:
    """Refuses a graph without INT8, and names float convolutions that nobody asked for.

    Raises:
        ArtifactError: the graph holds nothing to quantize, or `keep_float` leaves nothing.
    """
    if not int8:
        raise ArtifactError(
            f"{job.source.spec.name}: no convolution or linear layer can be quantized",
            hint=(
                f"their weights must be constants of {job.folder.path / FLOAT_ONNX}, and not all in"
                " the target's quant.keep_float"
            ),
        )
    in_float = [name for name in convolutions if name not in int8]
    if in_float and not job.target.quant.keep_float:
        events.warn(
            f"{len(in_float)} of {len(convolutions)} convolutions stay in float, their weights are"
            f" computed: {', '.join(in_float[:5])}"
        )


def summary_of_qdq(folder: BuildFolder) -> str:
    """What the Q/DQ graph of a folder holds, in one line."""
    facts = folder.facts(QDQ_ONNX, QdqFacts)
    return (
        f"{len(facts.int8_convolutions)} of {facts.convolutions} convolutions;"
        f" Q/DQ on {facts.activations} activations and {facts.weights} weights"
    )
