"""The order in which a float graph is made a Q/DQ graph.

1. `equalize`: channels use the range of their tensor alike, by the factors of the calibration.
2. `place`: which tensors and weights are quantized, by the scheme.
3. `correct`: the weights' codes, with compensated rounding, and the correction of biases.
4. `place` again, where some layers are to stay in float after all: their codes are left out.
5. `write`: the Q/DQ graph.

`prepare` does 1 to 3, once; `assemble` does 4 and 5, for each choice of layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.errors import ArtifactError
from edge_scnet.graph.model import own_weights
from edge_scnet.graph.pairs import is_quantized
from edge_scnet.machine.memory import return_freed_memory
from edge_scnet.quantizer.bias_walk import better_biases, can_walk
from edge_scnet.quantizer.correct import QuantizedLayer, quantize_layers
from edge_scnet.quantizer.equalize import equalize
from edge_scnet.quantizer.placement import place
from edge_scnet.quantizer.sites import Placement
from edge_scnet.quantizer.statistics import Ranges
from edge_scnet.quantizer.strides import stride_outside
from edge_scnet.quantizer.write import write_qdq

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# Images for second moments, and as many again by which the correction of biases is judged.
PILOT_IMAGES = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A float graph with everything decided that does not depend on which layers stay in float."""

    # Equalised.
    model: ir.Model
    ranges: Ranges
    scheme: QuantScheme
    layers: tuple[QuantizedLayer, ...]
    # Calibration samples, of which one half may correct biases and the other judges that.
    judged: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantized:
    """A Q/DQ graph and what was done to make it."""

    model: ir.Model
    placement: Placement
    # How many tensors have factors, and of how many layers the rounding was compensated and the
    # bias corrected.
    equalized: int
    compensated: int
    corrected: int
    # How many output channels of a layer have no weight but 0; only layers that have such.
    dead_channels: dict[str, int]


def images_wanted(model: ir.Model) -> int:
    """Returns how many calibration images `prepare` makes use of."""
    both = 2 * PILOT_IMAGES
    return both if can_walk(model, both) else PILOT_IMAGES


def prepare(
    model: ir.Model,
    ranges: Ranges,
    scheme: QuantScheme,
    *,
    weight_bits: int,
    images: np.ndarray,
    progress: Callable[[float], None] = lambda share: None,
) -> Prepared:
    """Equalises the graph and chooses the codes of all its layers.

    Args:
        model: the float graph; a caller that keeps it keeps its weights in memory.
        ranges: statistics of this graph (`calibrate`), with the factors of its equalisation.
        weight_bits: 8, or 7 for instruction sets whose int8 products saturate.
        images: preprocessed calibration images, N x C x H x W: `images_wanted`.

    Raises:
        ArtifactError: the graph is quantized already.
        TargetError: a `keep_float` pattern that matches nothing.
    """
    if is_quantized(model):
        raise ArtifactError(
            "the graph holds Q/DQ already", hint="quantize the float model it was made from"
        )
    own_weights(model)
    model = equalize(model, ranges.factors) if ranges.factors else model
    if scheme.placement == "openvino":
        model = stride_outside(model)
    return_freed_memory()
    sites = place(model, ranges, scheme).weights
    layers = quantize_layers(
        model,
        sites,
        scheme,
        weight_bits=weight_bits,
        images=images[:PILOT_IMAGES],
        progress=progress,
    )
    return Prepared(model=model, ranges=ranges, scheme=scheme, layers=layers, judged=images)


def assemble(
    prepared: Prepared, keep_float: Sequence[str] = (), *, walked: bool = True
) -> Quantized:
    """Returns the Q/DQ graph.

    Args:
        keep_float: nodes left in float besides those of the scheme.
        walked: whether biases may be corrected by what the layers in front of each make of
            images, rather than by the error of its own weights alone.
    """
    placed = place(prepared.model, prepared.ranges, prepared.scheme, keep_float)
    kept = {site.node for site in placed.weights}
    layers = [layer for layer in prepared.layers if layer.site.node in kept]
    if walked and prepared.scheme.bias_correction:
        layers = better_biases(prepared.model, placed, layers, prepared.judged)
    return Quantized(
        model=write_qdq(prepared.model, placed, layers),
        placement=placed,
        equalized=len(prepared.ranges.factors),
        compensated=sum(layer.compensated for layer in layers),
        corrected=sum(layer.bias_shift is not None for layer in layers),
        dead_channels={layer.site.node: dead for layer in layers if (dead := layer.dead_channels)},
    )
