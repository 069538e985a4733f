"""Which modules cost accuracy: the simulated noise with one module alone quantized.

The noises of modules add up roughly (the sum over all activations was 0.95 of the noise of all
together on scnet20, 0.88 on MiniFASNetV2, 0.91 on PFLD, 1.5 on FastestDet, 2.3 on a segmentation
network whose outputs saturate), and each alone is known to a few percent of itself from a few dozen
images; the small difference that one module makes to the all-INT8 network is not, for every change
draws all rounding errors behind it anew.

Forward passes are shared: up to the quantized module the network is the float one, so the images
are taken to the last place before it where a single tensor goes on (the end of a residual block),
once, and only the rest is computed anew. One such tensor per image is held, whatever the depth of
the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.graph.counting import compared_tensors
from edge_scnet.graph.model import batch_of, extract
from edge_scnet.graph.run import joined, ort_session
from edge_scnet.graph.work import multiply_adds
from edge_scnet.quantizer.recipe import Prepared, assemble
from edge_scnet.quantizer.sites import Placement
from edge_scnet.stats.accuracy import relative_noise

if TYPE_CHECKING:
    import onnx_ir as ir

_LEAST_IMAGES, _MOST_IMAGES = 12, 64
# Of all variants together: 10 to 30 s on two cores.
_MULTIPLY_ADDS = 2.5e10


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleNoise:
    """One module's part in the noise of the all-INT8 network's outputs."""

    # the PyTorch module's name, with #2 and so on where it is used more than once
    node: str
    # noise power of this module alone, relative to the all-INT8 network's
    share: float
    # of one image
    multiply_adds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivities:
    """The noise of the all-INT8 network, and the modules that cause it."""

    # power of the noise relative to that of the outputs
    noise: float
    # the greatest share first
    modules: tuple[ModuleNoise, ...]
    images: int


def images_for_noise(model: ir.Model, available: int) -> int:
    """How many images the noise of modules is measured on, by the work that they are.

    Counted and not clocked, so that the same network gives the same answer on every machine.
    """
    work = multiply_adds(model)
    layers = sum(node.name in work for node in model.graph)
    # a layer's variant is run from the layer on: half the network on average
    of_image = max(sum(work.values()) * layers / 2, 1.0)
    return min(available, max(_LEAST_IMAGES, min(_MOST_IMAGES, int(_MULTIPLY_ADDS / of_image))))


def measure(
    prepared: Prepared,
    images: np.ndarray,
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> Sensitivities:
    """Measures each module's part in the noise of the all-INT8 network.

    The network is run once in float, once in INT8, and its tail once for every layer that can be
    quantized.

    Args:
        images: a batch as `core.feeds` has it, of the graph's own or a multiple.
    """
    reference, noise, nodes = noise_of_all(prepared, images)
    work, alone = multiply_adds(prepared.model), dict[str, float]()
    for name, part in noise_of_each(prepared, images, reference, nodes, wanted=nodes):
        alone[name] = part
        progress(len(alone) / len(nodes))
    return sensitivities(noise, alone, work, images=len(whole_batches(prepared.model, images)))


def noise_of_all(
    prepared: Prepared, images: np.ndarray
) -> tuple[list[np.ndarray], float, tuple[str, ...]]:
    """The float outputs, the noise of the all-INT8 network, and the modules that cause it."""
    model, base = prepared.model, assemble(prepared, walked=False)
    batches, names = _batches(model, images), compared_tensors(model.graph)
    reference = _outputs(model, names, batches)
    noise = relative_noise(reference, _outputs(base.model, names, batches))
    return reference, noise, base.placement.int8_nodes


def noise_of_each(
    prepared: Prepared,
    images: np.ndarray,
    reference: Sequence[np.ndarray],
    nodes: Sequence[str],
    *,
    wanted: Sequence[str],
) -> Iterator[tuple[str, float]]:
    """Yields modules and the noise of each alone, in the order in which the graph comes to them.

    Args:
        reference: the float outputs for the images.
        nodes: the modules of the all-INT8 network.
        wanted: those of them to measure.
    """
    model, batches = prepared.model, _batches(prepared.model, images)
    names = compared_tensors(model.graph)
    variants = []
    for name in wanted:
        variant = assemble(prepared, [n for n in nodes if n != name], walked=False)
        variants.append((_first_change(model, variant.placement), name, variant.model))
    variants.sort(key=lambda entry: entry[0])
    # the last tensor that the images were taken to, and its values
    tensor, values = str(model.graph.inputs[0].name), batches
    cuts = _single_tensors(model)
    for change, name, quantized in variants:
        reachable = [cut for index, cut in cuts if index < change]
        if reachable and reachable[-1] != tensor:
            runs = _run_between(model, tensor, [reachable[-1]], values)
            tensor, values = reachable[-1], [given[0] for given in runs]
        yield (
            name,
            relative_noise(reference, joined(_run_between(quantized, tensor, names, values))),
        )


def sensitivities(
    noise: float, alone: Mapping[str, float], work: Mapping[str, int], *, images: int
) -> Sensitivities:
    """The modules' parts in the noise, the greatest first.

    Args:
        noise: of the all-INT8 network.
        alone: that of each module alone, in the order in which the graph comes to them.
        work: multiply-adds of each module.
        images: that it was measured on.
    """
    modules = [
        ModuleNoise(node=name, share=part / noise if noise else 0.0, multiply_adds=work[name])
        for name, part in alone.items()
    ]
    return Sensitivities(
        noise=noise,
        modules=tuple(sorted(modules, key=lambda module: -module.share)),
        images=images,
    )


def _batches(model: ir.Model, images: np.ndarray) -> list[np.ndarray]:
    batch, padded = batch_of(model), whole_batches(model, images)
    return [padded[i : i + batch] for i in range(0, len(padded), batch)]


def whole_batches(model: ir.Model, images: np.ndarray) -> np.ndarray:
    """Whole batches of the images, at least one."""
    batch = batch_of(model)
    count = max(len(images) // batch, 1) * batch
    padded: np.ndarray = images[np.arange(count) % len(images)]
    return padded


def _outputs(
    model: ir.Model, names: Sequence[str], batches: Sequence[np.ndarray]
) -> list[np.ndarray]:
    return joined(_run_between(model, str(model.graph.inputs[0].name), names, batches))


def _run_between(
    model: ir.Model, source: str, names: Sequence[str], feeds: Sequence[np.ndarray]
) -> list[list[np.ndarray]]:
    """Runs the part of the graph from one tensor to others.

    Args:
        source: the first input stands for all of them.
        feeds: the values of `source`, by batch.

    Returns:
        The values of `names`, by batch.
    """
    ort = require("onnxruntime", extra="quantize")
    if source in names:
        return [[feed] for feed in feeds]
    inputs = [str(value.name) for value in model.graph.inputs]
    sources, part = inputs if source == inputs[0] else [source], model
    if sources != inputs or list(names) != [str(value.name) for value in model.graph.outputs]:
        part = extract(model, sources, names)
    session = ort_session(ort, part, optimize=True)
    return [session.run(list(names), feed_of(feed, source)) for feed in feeds]


def _first_change(model: ir.Model, placement: Placement) -> int:
    """The first node of the float graph that reads a quantized tensor or has quantized weights."""
    index: dict[str, int] = {
        str(value.name): i for i, node in enumerate(model.graph) for value in node.outputs
    }
    index |= {str(value.name): -1 for value in model.graph.inputs}
    position = {str(node.name): i for i, node in enumerate(model.graph)}
    # a tensor's Q/DQ lie behind it: the tensor itself is before the change
    behind = [index[site.tensor] + 1 for site in placement.activations]
    return min([*behind, *(position[name] for name in placement.int8_nodes)])


def _single_tensors(model: ir.Model) -> list[tuple[int, str]]:
    """Places where one tensor alone goes on: (index of the node that gives it, its name)."""
    nodes = list(model.graph)
    last_use: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for value in node.inputs:
            if value is not None and not value.is_initializer() and value.name:
                last_use[value.name] = i
    for value in model.graph.outputs:
        last_use[str(value.name)] = len(nodes)
    live = {str(value.name) for value in model.graph.inputs}
    places = []
    for i, node in enumerate(nodes):
        live |= {str(value.name) for value in node.outputs if str(value.name) in last_use}
        live = {name for name in live if last_use.get(name, -1) > i}
        if len(live) == 1 and (only := next(iter(live))) in {
            str(value.name) for value in node.outputs
        }:
            places.append((i, only))
    return places
