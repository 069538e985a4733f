"""What a build was made from, as the gate compares it with a baseline's."""

from __future__ import annotations

import json
from typing import Any

from edge_scnet.core.build_folder import BuildFolder
from edge_scnet.core.manifest import FLOAT_ONNX, RANGES
from edge_scnet.core.preprocessing_words import preprocessing_facts
from edge_scnet.core.provenance import Provenance
from edge_scnet.core.spec import ModelSpec
from edge_scnet.graph.inventory import graph_hash
from edge_scnet.graph.model import load
from edge_scnet.quantizer.ranges_file import load_ranges

# Of a target: what does not decide the engine. A blob is kept only where it computes the same bits.
_NOT_DECIDING = ("gates", "title", "why", "name", "require_int8", "compiled_blob")


def provenance_of(folder: BuildFolder, *, weight_bits: int, made_elsewhere: bool) -> Provenance:
    """What a build was made from: its float graph and statistics.

    Args:
        weight_bits: of the codes of the Q/DQ graph.
        made_elsewhere: the Q/DQ graph is another quantizer's.
    """
    manifest = folder.manifest
    source, statistics = folder.entry(FLOAT_ONNX), manifest.artifacts.get(RANGES)
    return Provenance(
        weights=tuple(sorted(source.parents.values())),
        graph=graph_hash(load(folder.verified(FLOAT_ONNX))),
        float_onnx=source.sha256,
        calibration_images=statistics.parents.get("samples") if statistics else None,
        # the statistics say themselves what they were collected on: the manifest could be wrong
        calibrated_onnx=load_ranges(folder.verified(RANGES)).model_sha256,
        preprocessing=_preprocessing_of(manifest.model),
        settings=settings_of(manifest.target),
        weight_bits=weight_bits,
        made_elsewhere=made_elsewhere,
    )


def _preprocessing_of(spec: ModelSpec) -> dict[str, Any]:
    """What happens to a picture before the model sees it."""
    square = spec.takes_pictures and spec.height == spec.width
    # squares are written as in baselines of older versions
    shape = (
        {"channels": spec.channels, "input_size": spec.height}
        if square
        else {"input_shape": list(spec.input_shape)}
    )
    return {**shape, **preprocessing_facts(spec), "classes": list(spec.classes)}


def settings_of(target: dict[str, Any]) -> dict[str, Any]:
    """What of a target decides the engine."""
    deciding = {key: value for key, value in target.items() if key not in _NOT_DECIDING}
    # through JSON: a tuple and the list that a file gives back are one setting
    settings: dict[str, Any] = json.loads(json.dumps(deciding))
    return settings
