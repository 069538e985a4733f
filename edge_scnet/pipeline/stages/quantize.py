"""The quantize stage: model.qdq.onnx by the project's own quantizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.events import Events
from edge_scnet.core.facts import FloatLayer, QdqFacts
from edge_scnet.core.manifest import FLOAT_ONNX, QDQ_ONNX, RANGES
from edge_scnet.errors import ArtifactError
from edge_scnet.graph.inventory import quantization_of
from edge_scnet.graph.model import load, save
from edge_scnet.machine.isa import weight_bits
from edge_scnet.pipeline.stages.cache_key import Origin, origin_of
from edge_scnet.pipeline.stages.job import BuildJob, record
from edge_scnet.pipeline.stages.pilot import pilot_images
from edge_scnet.pipeline.stages.provenance import provenance_of
from edge_scnet.quantizer import recipe
from edge_scnet.quantizer.coverage import KEPT, Coverage, coverage_of
from edge_scnet.quantizer.ranges_file import load_ranges
from edge_scnet.quantizer.statistics import Ranges

# Of the multiply-adds that stay in float although nobody asked for it.
_WORTH_SAYING, _LEAST_SHOWN = 0.01, 0.0005
_NAMES = 5


def quantized_origin(job: BuildJob) -> Origin:
    """The origin of the Q/DQ graph that this stage writes."""
    return origin_of(
        "quantize",
        job.folder.hashes([FLOAT_ONNX, RANGES]),
        scheme=asdict(job.target.quant),
        weight_bits=weight_bits(job.floor),
    )


def quantize(job: BuildJob, events: Events) -> BuildFolder:
    """Writes the Q/DQ graph.

    Raises:
        ArtifactError: the graph holds nothing to quantize, or `keep_float` leaves nothing; or a
            file that it is made of is not what was built.
    """
    scheme, bits, folder = job.target.quant, weight_bits(job.floor), job.folder
    events.stage(
        "quantize",
        f"{scheme.placement} scheme, {scheme.variant}, {bits}-bit weights ({job.floor})",
    )
    origin = quantized_origin(job)
    if folder.is_current(QDQ_ONNX, origin.key):
        events.done(summary_of_qdq(folder), reused=True)
        return folder
    ranges = load_ranges(folder.verified(RANGES))
    prepared = recipe.prepare(
        load(folder.verified(FLOAT_ONNX)),
        ranges,
        scheme,
        weight_bits=bits,
        images=pilot_images(job),
        progress=lambda share: events.progress("layers", share),
    )
    result = recipe.assemble(prepared)
    placed = result.placement
    save(result.model, folder.path / QDQ_ONNX)
    convolutions = [str(node.name) for node in prepared.model.graph if node.op_type == "Conv"]
    if not placed.int8_nodes:
        raise _nothing_to_quantize(job)
    coverage = coverage_of(prepared.model, placed.int8_nodes, scheme)
    for warning in warnings_of(coverage, ranges, result.dead_channels):
        events.warn(warning)
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
        int8_layers=placed.int8_nodes,
        multiply_adds=coverage.multiply_adds,
        int8_multiply_adds=coverage.int8_multiply_adds,
        float_layers=coverage.float_layers,
        quantization=quantization_of(result.model),
        provenance=provenance_of(folder, weight_bits=bits, made_elsewhere=False),
    )
    folder = folder.with_artifact(record(folder.path, QDQ_ONNX, origin, kind="onnx", facts=facts))
    events.done(summary_of_qdq(folder), reused=False)
    return folder


def _nothing_to_quantize(job: BuildJob) -> ArtifactError:
    return ArtifactError(
        f"{job.source.spec.name}: no convolution or linear layer can be quantized",
        hint=(
            f"their weights must be constants of {job.folder.path / FLOAT_ONNX}, and not all in"
            " the target's quant.keep_float"
        ),
    )


def warnings_of(coverage: Coverage, ranges: Ranges, dead: Mapping[str, int]) -> list[str]:
    """Returns what a user should know of a graph's quantization, in words.

    Args:
        dead: how many output channels of a layer have no weight but 0.
    """
    said = []
    unasked = [layer for layer in coverage.float_layers if layer.reason != KEPT]
    share = sum(layer.multiply_adds for layer in unasked) / max(coverage.multiply_adds, 1)
    if share >= _WORTH_SAYING:
        said.append(
            f"{share:.1%} of the multiply-adds stay in float: {_by_reason(coverage, unasked)}"
        )
    if ranges.constant:
        said.append(
            f"a branch never fires: on all {ranges.images} calibration images one value alone in"
            f" {_some(ranges.constant)}"
        )
    if dead:
        channels = [f"{name} ({count})" for name, count in dead.items()]
        said.append(f"output channels whose weights are all 0, pruned: {_some(channels)}")
    return said


def _by_reason(coverage: Coverage, layers: Sequence[FloatLayer]) -> str:
    """The layers by the reason that they stay in float, each with its share of the work."""
    reasons: dict[str, list[FloatLayer]] = {}
    for layer in layers:
        reasons.setdefault(layer.reason, []).append(layer)
    parts = []
    for reason, members in reasons.items():
        share = sum(layer.multiply_adds for layer in members) / coverage.multiply_adds
        if share >= _LEAST_SHOWN:
            parts.append(f"{share:.1%} {reason}: {_some([layer.node for layer in members])}")
    return "; ".join(parts)


def _some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def summary_of_qdq(folder: BuildFolder) -> str:
    """What the Q/DQ graph of a folder holds, in one line."""
    facts = folder.facts(QDQ_ONNX, QdqFacts)
    others = len(facts.int8_layers) - len(facts.int8_convolutions)
    more = f" and {others} other layer{'s' * (others > 1)}" if others > 0 else ""
    text = (
        f"{len(facts.int8_convolutions)} of {facts.convolutions} convolutions{more};"
        f" Q/DQ on {facts.activations} activations and {facts.weights} weights"
    )
    if facts.multiply_adds and facts.int8_multiply_adds is not None:
        text += f"; {_share(facts.int8_multiply_adds, facts.multiply_adds)} in INT8"
    return text


def _share(part: int, whole: int) -> str:
    """The share of the multiply-adds; 100 % only where it is all of them."""
    percent = 100 * part / whole
    figure = "over 99.9 %" if part < whole and percent > 99.9 else f"{percent:.4g} %"
    return f"{figure} of the multiply-adds"
