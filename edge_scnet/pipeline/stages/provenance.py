"""What a build was made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from edge_scnet.core.provenance import Provenance
from edge_scnet.graph.inventory import graph_hash

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import TargetSpec
    from edge_scnet.core.manifest import Manifest


def provenance_of(
    manifest: Manifest,
    float_model: ir.Model,
    *,
    float_onnx: str,
    ranges: str,
    calibrated_onnx: str | None,
    weight_bits: int,
    made_elsewhere: bool,
) -> Provenance:
    """What the build that a manifest describes was made from.

    Args:
        float_onnx, ranges: the files' names in the manifest.
        calibrated_onnx: hash that the statistics themselves say they were collected on; the
            manifest could be wrong of that.
    """
    source, statistics = manifest.artifacts[float_onnx], manifest.artifacts.get(ranges)
    return Provenance(
        weights=tuple(sorted(source.parents.values())),
        graph=graph_hash(float_model),
        float_onnx=source.sha256,
        calibration_images=statistics.parents.get("samples") if statistics else None,
        calibrated_onnx=calibrated_onnx,
        preprocessing=preprocessing_of(manifest),
        settings=settings_of(manifest.target),
        weight_bits=weight_bits,
        made_elsewhere=made_elsewhere,
    )


def preprocessing_of(manifest: Manifest) -> dict[str, Any]:
    """What happens to a picture before the model sees it."""
    spec = manifest.model
    return {
        "channels": spec.channels,
        "input_size": spec.input_size,
        "resize": spec.resize,
        "mean": list(spec.mean),
        "std": list(spec.std),
        "classes": list(spec.classes),
    }


def settings_of(target: dict[str, Any] | TargetSpec) -> dict[str, Any]:
    """What of a target decides the engine."""
    table = target if isinstance(target, dict) else asdict(target)
    kept = {
        key: value for key, value in table.items() if key not in ("gates", "title", "why", "name")
    }
    # through JSON: a tuple and the list that a file gives back are one setting
    settings: dict[str, Any] = json.loads(json.dumps(kept))
    return settings
