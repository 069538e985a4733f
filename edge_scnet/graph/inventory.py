"""What an engine was made of and what was quantized: facts that a gate compares exactly, where accuracy could not see a change.

A scale four times too large costs a tenth of a percentage point: no evaluation set tells that from chance, two numbers side by
side do. The facts are taken when the Q/DQ graph is written and travel with it, so that a report holds them on any machine. This
module reads graphs and manifests; it judges nothing (`regression.py` does).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edge_scnet.core.packing import pack_scales

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.core.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationScale:
    """Of one activation tensor: real value = (code - zero point) * scale."""

    scale: float
    zero_point: int
    codes: str  # "INT8", "UINT8"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCodes:
    """Of one layer's weights."""

    distinct: int  # different codes in use, over all channels: at most 2 ** bits
    channels: int  # scales: 1 where it is per tensor
    scales: str  # `pack_scales` of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Every quantized tensor of a Q/DQ graph."""

    activations: dict[str, ActivationScale]  # by tensor
    weights: dict[str, WeightCodes]  # by layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a build was made from. Hashes are hex sha256; what a foreign Q/DQ graph does not tell is None."""

    weights: tuple[str, ...]  # of the checkpoint's files, or of a factory's state
    graph: str  # of the float graph's operators, connections and attributes, without weights
    float_onnx: str
    calibration_images: str | None
    calibrated_onnx: str | None  # the float graph that the statistics were collected on
    preprocessing: dict[str, Any]
    settings: dict[str, Any]  # of the target: all but its gates and words
    weight_bits: int
    made_elsewhere: bool  # the Q/DQ graph is another quantizer's


def quantization_of(model: ir.Model) -> Quantization:
    """The scales and codes of a Q/DQ graph, ours or another quantizer's."""
    from edge_scnet.graph import pairs

    activations: dict[str, ActivationScale] = {}
    weights: dict[str, WeightCodes] = {}
    for node in pairs.pairs(model):
        if pairs.is_weight(node):
            if node.op_type == pairs.DEQUANTIZE and (found := _weight_codes(node)) is not None:
                weights[_layer_of(node)] = found
        elif node.op_type == pairs.QUANTIZE:
            scale, zero = pairs.constant(pairs.input_of(node, 1)), pairs.constant(pairs.input_of(node, 2))
            if scale is not None and scale.size:
                activations[str(node.inputs[0].name if node.inputs[0] is not None else node.name)] = ActivationScale(
                    scale=float(scale.max()),
                    zero_point=0 if zero is None or not zero.size else int(zero.reshape(-1)[0]),
                    codes=pairs.codes_type(node),
                )
    return Quantization(activations=activations, weights=weights)


def _weight_codes(dequantize: ir.Node) -> WeightCodes | None:
    from edge_scnet.graph import pairs

    codes, scale = pairs.codes_of(dequantize), pairs.constant(pairs.input_of(dequantize, 1))
    if codes is None or scale is None:
        return None
    return WeightCodes(
        distinct=len(set(codes.ravel().tolist())), channels=int(scale.size), scales=pack_scales(scale.ravel().tolist())
    )


def _layer_of(dequantize: ir.Node) -> str:
    """The node that reads the weights, past what only turns or reshapes them."""
    from edge_scnet.graph import pairs

    value = dequantize.outputs[0]
    while len(uses := tuple(value.uses())) == 1 and uses[0].node.op_type in ("Transpose", "Reshape", "Identity"):
        value = uses[0].node.outputs[0]
    return pairs.label(uses[0].node) if uses else pairs.label(dequantize)


def graph_hash(model: ir.Model) -> str:
    """Hex sha256 of operators, connections and attributes: another exporter's graph differs, other weights do not."""
    rows = []
    for node in model.graph:
        attributes = sorted(
            (name, str(attribute.value))
            for name, attribute in node.attributes.items()
            if str(getattr(attribute.type, "name", "")) not in ("TENSOR", "GRAPH")
        )
        inputs = [None if value is None else _wire(value) for value in node.inputs]
        rows.append([node.op_type, inputs, [str(value.name) for value in node.outputs], attributes])
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _wire(value: ir.Value) -> str:
    # a constant by its shape: its name may hold a counter of the exporter's
    return f"constant {list(value.shape or ())}" if value.is_initializer() else str(value.name)


def provenance_of(
    manifest: Manifest, float_model: ir.Model, *, float_onnx: str, ranges: str, calibrated_onnx: str | None, weight_bits: int,
    made_elsewhere: bool,
) -> Provenance:  # fmt: skip
    """What the build that a manifest describes was made from.

    Args:
        float_onnx, ranges: the files' names in the manifest.
        calibrated_onnx: hash that the statistics themselves say they were collected on; the manifest could be wrong of that.
    """
    source, statistics = manifest.artifacts[float_onnx], manifest.artifacts.get(ranges)
    return Provenance(
        weights=tuple(sorted(source.parents.values())), graph=graph_hash(float_model), float_onnx=source.sha256,
        calibration_images=statistics.parents.get("samples") if statistics else None, calibrated_onnx=calibrated_onnx,
        preprocessing=preprocessing_of(manifest), settings=settings_of(manifest.target), weight_bits=weight_bits,
        made_elsewhere=made_elsewhere,
    )  # fmt: skip


def preprocessing_of(manifest: Manifest) -> dict[str, Any]:
    """What happens to a picture before the model sees it."""
    spec = manifest.model
    return {
        "channels": spec.channels, "input_size": spec.input_size, "resize": spec.resize, "mean": list(spec.mean),
        "std": list(spec.std), "classes": list(spec.classes),
    }  # fmt: skip


def settings_of(target: dict[str, Any] | TargetSpec) -> dict[str, Any]:
    """What of a target decides the engine."""
    table = target if isinstance(target, dict) else asdict(target)
    kept = {key: value for key, value in table.items() if key not in ("gates", "title", "why", "name")}
    # through JSON: a tuple and the list that a file gives back are one setting
    settings: dict[str, Any] = json.loads(json.dumps(kept))
    return settings
