"""What a network's first BatchNorm saw in training, against what it sees of a data set.

The first layers' weights are fixed, so the mean and variance at its input tell which inputs the
network was trained on: pixels in another order or range give others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import load
from edge_scnet.data.sample_set import SampleSet, spread
from edge_scnet.export.onnx_file import read_onnx, real_inputs
from edge_scnet.export.torch_call import call_arguments, tensors_of
from edge_scnet.graph.model import extract
from edge_scnet.graph.run import run_onnx
from edge_scnet.models.load import load_torch
from edge_scnet.models.zoo import ModelSource

if TYPE_CHECKING:
    from torch import nn

GIVEN = "as given"
# images that are looked at
_IMAGES = 64
_AT_ONCE = 16
# channels that hardly vary tell nothing
_LEAST_VARIANCE = 1e-6
# other inputs are named where they fit so much better
_BETTER, _WORSE = 0.5, 0.05
# nats, from which the inputs are unlike those of training, and from which none of the usual
# inputs explains the statistics
FAR, _UNEXPLAINED = 1.0, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How far inputs are from those of training."""

    # how the pixels are taken
    inputs: str
    # median over the channels of the divergence of two normal distributions, in nats
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstNorm:
    """The first BatchNorm, and which inputs fit what it saw in training."""

    # of the layer
    name: str
    images: int
    # as given first, then others, the nearest first
    fits: tuple[Fit, ...]

    @property
    def better(self) -> Fit | None:
        """Other inputs, where they fit, and clearly better than those as given."""
        given, *others = self.fits
        if not others or others[0].distance > min(given.distance * _BETTER, _UNEXPLAINED):
            return None
        return others[0] if given.distance - others[0].distance > _WORSE else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Norm:
    name: str
    # by channel
    mean: np.ndarray
    variance: np.ndarray
    # its input for a batch: channels along the second axis
    input_of: Callable[[np.ndarray], np.ndarray]


def first_norm(source: ModelSource, samples: SampleSet) -> FirstNorm | str:
    """Compares the inputs of a model's first BatchNorm with what it saw in training.

    Returns:
        The comparison, or why there is none, in words.

    Raises:
        DataError: an image cannot be read.
        ArtifactError: the model cannot be loaded.
    """
    norm = _of_onnx(source) if source.kind == "onnx" else _of_module(source, samples)
    if isinstance(norm, str):
        return norm
    if not norm.mean.any() and (norm.variance == 1).all():
        return f"BatchNorm {norm.name} holds its initial values: it was never trained"
    picked = list(spread(len(samples), _IMAGES))
    variants = _variants(source.spec, samples)
    sums = {words: _Moments() for words, _ in variants}
    for start in range(0, len(picked), _AT_ONCE):
        indices = picked[start : start + _AT_ONCE]
        for words, load_batch in variants:
            sums[words].add(norm.input_of(load_batch(indices)))
    fits = [
        Fit(inputs=words, distance=_distance(norm, moments.mean, moments.variance))
        for words, moments in sums.items()
    ]
    others = sorted(fits[1:], key=lambda fit: fit.distance)
    return FirstNorm(name=norm.name, images=len(picked), fits=(fits[0], *others))


Loader = Callable[[Sequence[int]], np.ndarray]


def _variants(spec: ModelSpec, samples: SampleSet) -> list[tuple[str, Loader]]:
    """The samples as given, and their pixels in other orders and ranges."""

    def given(indices: Sequence[int]) -> np.ndarray:
        return load(samples, spec, indices)

    if samples.arrays is not None or not spec.takes_pictures:
        return [(GIVEN, given)]
    rule = replace(spec.preprocessing, pixel_max=1.0, mean=(), std=(), colour="RGB", origins={})
    plain = replace(spec, preprocessing=rule)
    ranges: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "0 to 255": lambda x: x * np.float32(255),
        "0 to 1": lambda x: x,
        "-1 to 1": lambda x: x * np.float32(2) - np.float32(1),
    }
    if spec.channels == 3:
        mean, std = (
            np.array(values, np.float32)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
        )
        ranges["ImageNet's mean and std"] = lambda x: (x - mean) / std
        ranges["0 to 255 - ImageNet's mean"] = lambda x: (x - mean) * np.float32(255)

    def loader(change: Callable[[np.ndarray], np.ndarray], *, swapped: bool) -> Loader:
        def read(indices: Sequence[int]) -> np.ndarray:
            batch = change(load(samples, plain, indices))
            return np.ascontiguousarray(batch[:, ::-1]) if swapped else batch

        return read

    variants: list[tuple[str, Loader]] = [(GIVEN, given)]
    orders = (("RGB, ", False), ("BGR, ", True)) if spec.channels == 3 else (("grey, ", False),)
    for order, swapped in orders:
        for words, change in ranges.items():
            variants.append((order + words, loader(change, swapped=swapped)))
    return variants


class _Moments:
    """Mean and variance by channel, of batches."""

    def __init__(self) -> None:
        self._count, self._sum, self._squares = 0, np.zeros(1), np.zeros(1)

    def add(self, values: np.ndarray) -> None:
        """Takes a batch, channels along its second axis."""
        rows = np.moveaxis(values, 1, -1).reshape(-1, values.shape[1]).astype(np.float64)
        self._count += len(rows)
        self._sum = self._sum + rows.sum(axis=0)
        self._squares = self._squares + (rows**2).sum(axis=0)

    @property
    def mean(self) -> np.ndarray:
        """By channel."""
        mean: np.ndarray = self._sum / self._count
        return mean

    @property
    def variance(self) -> np.ndarray:
        """By channel."""
        variance: np.ndarray = np.maximum(self._squares / self._count - self.mean**2, 0)
        return variance


def _distance(norm: _Norm, mean: np.ndarray, variance: np.ndarray) -> float:
    """The Kullback-Leibler divergence of normal distributions, the median over the channels."""
    kept = norm.variance > _LEAST_VARIANCE
    if not kept.any():
        return 0.0
    expected = norm.variance[kept]
    ratio = np.maximum(variance[kept], _LEAST_VARIANCE) / expected
    shift = (mean[kept] - norm.mean[kept]) ** 2 / expected
    return float(np.median((ratio + shift - 1 - np.log(ratio)) / 2))


class _Reached(Exception):
    """The first BatchNorm was called."""


def _of_module(source: ModelSource, samples: SampleSet) -> _Norm | str:
    torch = require("torch", extra="export")
    module = source.module if source.module is not None else load_torch(source)
    norms = {
        name: part
        for name, part in module.named_modules()
        if getattr(part, "running_mean", None) is not None
        and getattr(part, "running_var", None) is not None
    }
    found: dict[str, Any] = {}

    def hook_of(name: str) -> Callable[..., None]:
        def hook(part: nn.Module, inputs: tuple[Any, ...]) -> None:
            found["name"], found["input"] = name, inputs[0]
            raise _Reached

        return hook

    def run(batch: np.ndarray) -> np.ndarray:
        positional, keywords = call_arguments(module, tensors_of(batch))
        handles = [part.register_forward_pre_hook(hook_of(name)) for name, part in norms.items()]
        try:
            with torch.inference_mode():
                module(*positional, **keywords)
        except _Reached:
            values: np.ndarray = found["input"].float().numpy()
            return values
        finally:
            for handle in handles:
                handle.remove()
        raise LookupError

    try:
        run(load(samples, source.spec, [0]))
    except LookupError:
        return "the network has no BatchNorm that its input reaches"
    norm = norms[found["name"]]
    mean, variance = (
        tensor.detach().cpu().double().numpy() for tensor in (norm.running_mean, norm.running_var)
    )
    return _Norm(name=found["name"], mean=mean, variance=variance, input_of=run)


def _of_onnx(source: ModelSource) -> _Norm | str:
    numpy_helper = require("onnx.numpy_helper", extra="cpu")

    proto = read_onnx(Path(source.location))
    node = next((n for n in proto.graph.node if n.op_type == "BatchNormalization"), None)
    weights = {tensor.name: tensor for tensor in proto.graph.initializer}
    weights |= {
        constant.output[0]: attribute.t
        for constant in proto.graph.node
        if constant.op_type == "Constant"
        for attribute in constant.attribute
        if attribute.name == "value"
    }
    if node is None:
        return "the file has no BatchNorm any more: exporters fold it into the convolutions"
    if any(name not in weights for name in node.input[3:5]):
        return f"the statistics of BatchNorm {node.name} are no constants"
    mean, variance = (
        numpy_helper.to_array(weights[name]).astype(np.float64) for name in node.input[3:5]
    )
    wanted = node.input[0]
    fed = real_inputs(proto)[0]
    dims = [d.dim_value for d in fed.type.tensor_type.shape.dim]
    graph = extract(require("onnx_ir", extra="cpu").from_proto(proto), [fed.name], [wanted])
    group = dims[0] or None
    is_last = len(dims) == 4 and dims[1] != source.spec.channels and dims[3] == source.spec.channels

    def run(batch: np.ndarray) -> np.ndarray:
        size = group or len(batch)
        whole = batch[np.arange(-(-len(batch) // size) * size) % len(batch)]
        turned = np.ascontiguousarray(np.moveaxis(whole, 1, -1)) if is_last else whole
        parts = [turned[i : i + size] for i in range(0, len(turned), size)]
        return np.concatenate([found[0] for found in run_onnx(graph, parts, [wanted])])

    return _Norm(name=node.name or wanted, mean=mean, variance=variance, input_of=run)
