"""Bias correction on the inputs that a layer will really see.

Rounding and clipping move the mean of what a layer computes, most where large areas of an image
hold one value, and what moves in one layer goes on into the next. So the layers are corrected in
their order, each with all in front of it quantized and corrected: the bias takes up the difference
of its mean output, float less quantized, for every output channel. Nagel et al., "Data-Free
Quantization" (ICCV 2019), section 4.2, correct each by what they expect of its float inputs alone.

A difference that a few images give is not known exactly: each is shrunk by its own variance, as
James and Stein do, so that a channel whose images disagree is left as it is. It helps where means
move (MiniFASNetV2 1.1 dB, PFLD 0.8) and not everywhere (scnet20 loses 0.4): `better_biases` takes
it where it lowers the error of the network's outputs on images that it was not made from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.feeds import feed_of
from edge_scnet.graph.counting import compared_tensors
from edge_scnet.graph.model import batch_of, extract
from edge_scnet.graph.run import joined
from edge_scnet.graph.walk import Part, Walk
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.correct import QuantizedLayer
from edge_scnet.quantizer.sites import Placement
from edge_scnet.quantizer.write import write_qdq
from edge_scnet.stats.accuracy import relative_noise

if TYPE_CHECKING:
    import onnx_ir as ir


# Multiply-adds that the walk and its judging may take; beyond, layers stay as they are.
_MOST_GMAC = 150.0
# The fall of the noise of the outputs from which the walk is taken.
_LEAST_FALL = 0.03


def can_walk(model: ir.Model, images: int) -> bool:
    """Whether so many images are enough to correct and to judge, and not too much work."""
    half = images // 2 // batch_of(model) * batch_of(model)
    # in float and quantized, once each for every image; the second half quantized twice
    work = 5 * half * sum(multiply_adds(model).values()) / 1e9
    return bool(half) and work <= _MOST_GMAC


def better_biases(
    model: ir.Model,
    placement: Placement,
    layers: Sequence[QuantizedLayer],
    images: np.ndarray,
) -> list[QuantizedLayer]:
    """Returns the layers with biases corrected in their order, or as they are: which is better.

    Judged is the noise of the quantized network's outputs, on the second half of the images; the
    first corrects.

    Args:
        model: the float graph.
        layers: with shifts by the error of each layer's own weights alone.
        images: calibration samples, a batch as `core.feeds` has it.
    """
    batch = batch_of(model)
    half = len(images) // 2 // batch * batch
    if not layers or not can_walk(model, len(images)):
        return list(layers)
    held = images[half : 2 * half]
    names, first = compared_tensors(model.graph), str(model.graph.inputs[0].name)

    def outputs(of: ir.Model) -> list[np.ndarray]:
        feeds = [feed_of(held[i : i + batch], first) for i in range(0, half, batch)]
        part = Part(extract(of, list(feeds[0]), names))
        return joined([part.run(feed, names) for feed in feeds])

    reference = outputs(model)
    walked = correct_biases(model, placement, layers, images[:half])
    before, after = (
        relative_noise(reference, outputs(write_qdq(model, placement, some)))
        for some in (layers, walked)
    )
    return walked if after < (1.0 - _LEAST_FALL) * before else list(layers)


def correct_biases(
    model: ir.Model,
    placement: Placement,
    layers: Sequence[QuantizedLayer],
    images: np.ndarray,
) -> list[QuantizedLayer]:
    """Returns the layers with the shifts of their biases.

    Args:
        model: the float graph.
        images: calibration samples, a batch as `core.feeds` has it; what is more than a multiple
            of the graph's batch is left out.
    """
    batch, first = batch_of(model), str(model.graph.inputs[0].name)
    images = images[: len(images) // batch * batch]
    if not len(images) or not layers:
        return list(layers)
    output_of = {str(node.name): str(node.outputs[0].name) for node in model.graph}
    feeds = [feed_of(images[i : i + batch], first) for i in range(0, len(images), batch)]
    linear = {output_of[layer.site.node]: layer.site.linear for layer in layers}
    wanted = _float_means(model, linear, feeds)
    plain = [replace(layer, bias_shift=None) for layer in layers]
    walk = Walk(_typed(write_qdq(model, placement, plain)), feeds)
    shift_of = {}
    for name in sorted(linear, key=walk.index_of):
        walk.advance(walk.index_of(name))
        if name not in walk.live[0]:
            continue  # nothing reads it
        means = np.array([_means(live[name], linear=linear[name]) for live in walk.live])
        shift_of[name] = _shrunk(wanted[name] - means)
        axes = 0 if linear[name] else walk.live[0][name].ndim - 2
        for live in walk.live:
            live[name] = live[name] + shift_of[name].reshape(-1, *[1] * axes)
    alpha_of = {str(node.name): _alpha(node) for node in model.graph}
    return [
        replace(
            layer,
            bias_shift=None
            if (shift := shift_of.get(output_of[layer.site.node])) is None
            else shift / np.float32(alpha_of[layer.site.node]),
        )
        for layer in layers
    ]


def _alpha(node: ir.Node) -> float:
    """What a layer multiplies its products by; their shift is in front of that."""
    alpha = node.attributes.get("alpha") if node.op_type == "Gemm" else None
    return 1.0 if alpha is None else alpha.as_float()


def _float_means(
    model: ir.Model, linear: Mapping[str, bool], feeds: Sequence[dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """By tensor, the mean of each channel in each batch: batches x channels."""
    names = list(linear)
    part = Part(extract(model, list(feeds[0]), names))
    rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for feed in feeds:
        for name, values in zip(names, part.run(feed, names), strict=True):
            rows[name].append(_means(values, linear=linear[name]))
    return {name: np.array(found) for name, found in rows.items()}


def _means(values: np.ndarray, *, linear: bool) -> np.ndarray:
    """The mean of each channel over all else: the last axis of a product's, else the second."""
    axis = values.ndim - 1 if linear else 1
    mean: np.ndarray = values.mean(
        axis=tuple(i for i in range(values.ndim) if i != axis), dtype=np.float64
    )
    return mean


def _typed(qdq: ir.Model) -> ir.Model:
    """The graph, with the types of what its pairs give, as a part that begins there needs them."""
    for node in qdq.graph:
        source = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type == "DequantizeLinear" and source is not None:
            value = source.inputs[0]
            assert value is not None
            node.outputs[0].shape, node.outputs[0].type = value.shape, value.type
    return qdq


def _shrunk(differences: np.ndarray) -> np.ndarray:
    """The mean of each column, less what its scatter makes doubtful; float32."""
    count = len(differences)
    mean = differences.mean(axis=0)
    doubt = differences.var(axis=0) / max(count - 1, 1)
    square = np.square(mean)
    kept = np.divide(square - doubt, square, out=np.zeros_like(square), where=square > 0)
    shrunk: np.ndarray = (mean * np.clip(kept, 0.0, 1.0)).astype(np.float32)
    return shrunk
