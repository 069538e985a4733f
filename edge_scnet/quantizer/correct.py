"""Codes the weights of all layers, with compensated rounding and bias correction.

Both need the inputs that a layer sees, from a few calibration images through the float graph. This
module decides which layers are worth it, within a limit of work and of memory; the arithmetic is in
`rounding.py`, the scales are those of `weights.py`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.graph.operators import weight_of
from edge_scnet.machine.blas import one_blas_thread
from edge_scnet.machine.linux import usable_cores
from edge_scnet.machine.memory import return_freed_memory
from edge_scnet.quantizer.reads import Read, RowReader
from edge_scnet.quantizer.rounding import Compensation, Moments
from edge_scnet.quantizer.sites import WeightSite
from edge_scnet.quantizer.weights import LARGEST_CODE, quantize_weights
from edge_scnet.quantizer.windows import Window, window_of

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

# Second moments of the layers that are worked on at a time; the images are run once more for every
# such share.
_MOMENTS_BYTES = 160_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedLayer:
    """Weights of one layer as they will be stored."""

    site: WeightSite
    # int8, the shape of the weights.
    codes: np.ndarray
    # float32, one per output channel.
    scales: np.ndarray
    # Added to the bias, float32, one per output channel.
    bias_shift: np.ndarray | None
    compensated: bool

    @property
    def dead_channels(self) -> int:
        """How many output channels have no code but 0."""
        others = tuple(axis for axis in range(self.codes.ndim) if axis != self.site.axis)
        return int((~self.codes.any(axis=others)).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    """A layer to be coded."""

    site: WeightSite
    # The tensor it reads.
    source: str
    # Outputs x inputs.
    weights: np.ndarray
    window: Window
    compensate: bool

    @property
    def inputs(self) -> int:
        return int(self.weights.shape[1])

    def positions(self, images: int) -> int:
        """Output positions read in each image: in all four times the inputs, and never few."""
        return math.ceil(max(4 * self.inputs, 2048) / images)

    def read(self, images: int) -> Read:
        """What it reads of each image."""
        return Read(
            source=self.source,
            window=self.window,
            inputs=self.inputs,
            limit=self.positions(images),
        )


def quantize_layers(
    model: ir.Model,
    sites: Sequence[WeightSite],
    scheme: QuantScheme,
    *,
    weight_bits: int,
    images: np.ndarray,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[QuantizedLayer, ...]:
    """Returns codes, scales and bias corrections of all layers.

    Args:
        model: the float graph that is being quantized (equalised, where that is asked for).
        images: calibration samples, a batch as `core.feeds` has it; none: nearest rounding and
            no correction.
    """
    layers = _layers(model, sites, scheme if len(images) else None, len(images))
    if not len(images) or (
        not scheme.bias_correction and not any(layer.compensate for layer in layers)
    ):
        return tuple(_finish(layer, None, weight_bits, correct_bias=False) for layer in layers)
    done: dict[str, QuantizedLayer] = {}
    # a core works on layers of its own: numpy's threads would wait for each other
    with one_blas_thread(), ThreadPoolExecutor(usable_cores()) as pool:
        for share in _shares(layers):
            moments = _moments(model, share, images, pool)
            return_freed_memory()
            finish = partial(
                _finish_alike, moments, bits=weight_bits, correct_bias=scheme.bias_correction
            )
            for some in pool.map(finish, _alike(share, len(images)).items()):
                done |= {layer.site.node: layer for layer in some}
                progress(len(done) / len(layers))
    return tuple(done[site.node] for site in sites)


def _alike(layers: Sequence[_Layer], images: int) -> dict[Read, list[_Layer]]:
    """The layers by what they read."""
    readers: dict[Read, list[_Layer]] = {}
    for layer in layers:
        readers.setdefault(layer.read(images), []).append(layer)
    return readers


def _finish_alike(
    moments: dict[Read, Moments], read_by: tuple[Read, list[_Layer]], bits: int, correct_bias: bool
) -> list[QuantizedLayer]:
    """Codes the layers that read the same; their moments are let go."""
    read, layers = read_by
    seen = moments.pop(read)
    compensations = (
        [Compensation(covariance) for covariance in seen.covariance()]
        if any(layer.compensate for layer in layers)
        else []
    )
    return [
        _finish(layer, seen, bits, compensations=compensations, correct_bias=correct_bias)
        for layer in layers
    ]


def _finish(
    layer: _Layer,
    moments: Moments | None,
    bits: int,
    *,
    compensations: Sequence[Compensation] = (),
    correct_bias: bool,
) -> QuantizedLayer:
    """Codes one layer; without moments it is rounded to the nearest codes."""
    weights = layer.weights.astype(np.float64)
    flat_codes, scales = quantize_weights(layer.weights, axis=0, bits=bits)
    wide = scales.astype(np.float64)
    if moments is not None and layer.compensate:
        per_group = len(layer.weights) // layer.window.groups
        for group, compensation in enumerate(compensations):
            rows = slice(group * per_group, (group + 1) * per_group)
            flat_codes[rows] = compensation.round(
                weights[rows], wide[rows], largest=LARGEST_CODE[bits]
            )
    shift = None
    if moments is not None and correct_bias:
        error = weights - flat_codes * wide[:, None]
        mean = np.repeat(moments.mean(), len(layer.weights) // layer.window.groups, axis=0)
        shift = np.einsum("oi,oi->o", error, mean).astype(np.float32)
    codes = np.ascontiguousarray(
        np.moveaxis(flat_codes.reshape(_moved_shape(layer)), 0, layer.site.axis)
    )
    compensated = moments is not None and layer.compensate
    return QuantizedLayer(
        site=layer.site, codes=codes, scales=scales, bias_shift=shift, compensated=compensated
    )


def _moved_shape(layer: _Layer) -> tuple[int, ...]:
    """The weights' own shape with the output channel first."""
    kernel = layer.window.kernel
    return (
        layer.weights.shape
        if layer.site.linear
        else (len(layer.weights), layer.inputs // math.prod(kernel), *kernel)
    )


def _layers(
    model: ir.Model, sites: Sequence[WeightSite], scheme: QuantScheme | None, images: int
) -> list[_Layer]:
    """The layers in the order of the sites, the cheapest chosen to be compensated."""
    nodes = {str(node.name): node for node in model.graph}
    # one set of codes serves all layers that share a weight: none of them may round it its own way
    users = Counter((site.tensor, site.axis) for site in sites)
    layers = []
    for site in sites:
        node = nodes[site.node]
        weights = weight_of(node)
        assert weights is not None and node.inputs[0] is not None
        flat = np.moveaxis(weights, site.axis, 0).reshape(weights.shape[site.axis], -1)
        layers.append(
            _Layer(
                site=site,
                source=str(node.inputs[0].name),
                weights=flat,
                window=window_of(node, weights),
                compensate=False,
            )
        )
    if scheme is None or scheme.rounding == "nearest":
        return layers
    chosen, left = set(), scheme.rounding_gflop
    for layer in sorted(layers, key=lambda layer: _gflop(layer, images)):
        left -= _gflop(layer, images)
        if left < 0:
            break
        if users[(layer.site.tensor, layer.site.axis)] == 1:
            chosen.add(layer.site.node)
    return [replace(layer, compensate=layer.site.node in chosen) for layer in layers]


def _gflop(layer: _Layer, images: int) -> float:
    """Work of compensated rounding: second moments, a Cholesky factor, the updates."""
    k, groups = layer.inputs, layer.window.groups
    return (
        2 * layer.positions(images) * images * k**2 * groups
        + k**3 / 3 * groups
        + len(layer.weights) * k**2
    ) / 1e9


def _shares(layers: Sequence[_Layer]) -> Iterator[list[_Layer]]:
    """The layers in shares whose second moments fit the memory for them."""
    share: list[_Layer] = []
    held = 0
    for layer in layers:
        needed = layer.inputs**2 * 4 * layer.window.groups if layer.compensate else 0
        if share and held + needed > _MOMENTS_BYTES:
            yield share
            share, held = [], 0
        share.append(layer)
        held += needed
    if share:
        yield share


def _moments(
    model: ir.Model, layers: Sequence[_Layer], images: np.ndarray, pool: Executor
) -> dict[Read, Moments]:
    """The moments of what the layers read."""
    readers = _alike(layers, len(images))
    moments = {
        read: Moments(
            read.inputs, read.window.groups, products=any(layer.compensate for layer in alike)
        )
        for read, alike in readers.items()
    }
    for rows_of in RowReader(model, moments).run([images]):
        # all of an image before the next: the order of the sums is that of the images
        deque(pool.map(lambda read: moments[read].add(rows_of(read)), moments), maxlen=0)  # noqa: B023
    return moments
