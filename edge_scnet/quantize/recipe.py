"""One graph from float to Q/DQ: equalise, choose codes, correct, place, write. Owns the order of
these, and nothing else.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.errors import ArtifactError
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.memory import return_freed_memory
from edge_scnet.quantize import correct
from edge_scnet.quantize import write as qdq
from edge_scnet.quantize.equalize import equalize
from edge_scnet.quantize.placement import Placement, place
from edge_scnet.quantize.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# Images for channel peaks, second moments and bias correction.
PILOT_IMAGES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A float graph with everything decided that does not depend on which layers stay in float."""

    model: ir.Model  # equalised
    ranges: Ranges
    scheme: QuantScheme
    layers: tuple[correct.QuantizedLayer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A Q/DQ graph and what was done to make it."""

    model: ir.Model
    placement: Placement
    equalized: int  # tensors with factors
    compensated: int  # layers whose rounding was compensated
    corrected: int  # layers whose bias was corrected


def prepare(
    model: ir.Model,
    ranges: Ranges,
    scheme: QuantScheme,
    *,
    weight_bits: int,
    images: np.ndarray,
    progress: Callable[[float], None] = lambda share: None,
) -> Prepared:
    """Equalises the graph and chooses the codes of all its layers. A caller that keeps `model`
    keeps its weights in memory.

    Args:
        ranges: statistics of this graph (`calibrate`), with the factors of its equalisation.
        weight_bits: 8, or 7 for instruction sets whose int8 products saturate.
        images: preprocessed calibration images, N x C x H x W; a few dozen do.

    Raises:
        ArtifactError: the graph is quantized already.
        TargetError: a `keep_float` pattern that matches nothing.
    """
    if is_quantized(model):
        raise ArtifactError(
            "the graph holds Q/DQ already", hint="quantize the float model it was made from"
        )
    model = equalize(model, ranges.factors) if ranges.factors else model
    return_freed_memory()
    sites = place(model, ranges, scheme).weights
    layers = correct.quantize_layers(
        model, sites, scheme, weight_bits=weight_bits, images=images, progress=progress
    )
    return Prepared(model=model, ranges=ranges, scheme=scheme, layers=layers)


def assemble(prepared: Prepared, keep_float: Sequence[str] = ()) -> Quantized:
    """The Q/DQ graph, with these nodes left in float besides those of the scheme."""
    patterns = tuple(glob.escape(name) for name in keep_float)
    scheme = replace(prepared.scheme, keep_float=(*prepared.scheme.keep_float, *patterns))
    placed = place(prepared.model, prepared.ranges, scheme)
    kept = {site.node for site in placed.weights}
    layers = [layer for layer in prepared.layers if layer.site.node in kept]
    return Quantized(
        model=qdq.write_qdq(prepared.model, placed, layers),
        placement=placed,
        equalized=len(prepared.ranges.factors),
        compensated=sum(layer.compensated for layer in layers),
        corrected=sum(layer.bias_shift is not None for layer in layers),
    )
