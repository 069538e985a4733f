"""A Q/DQ graph whose scales, zero points, codes and biases are learned.

Placement, types and the meaning of the codes stay as they are written: signed codes stay
symmetric, a zero point of 0 stays 0, weights keep the bits that they have.

Weights are learned in units of their codes and apart from their scales, so that one learning rate
fits all layers; scales by their logarithm; biases in units of what their layer gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch  # noqa: TID253
from torch import Tensor, nn  # noqa: TID253

from edge_scnet.core.optional import require
from edge_scnet.graph.operators import COMPUTE_OPS
from edge_scnet.graph.pairs import DEQUANTIZE, QUANTIZE, integer
from edge_scnet.quantizer.params import SMALLEST_SCALE
from edge_scnet.quantizer.weights import LARGEST_CODE
from edge_scnet.recovery.executor import TorchGraph, unsupported
from edge_scnet.recovery.fake_quantize import FakeQuantize, rounded

if TYPE_CHECKING:
    import onnx_ir as ir

# The kinds of parameters, each with a learning rate of its own.
KINDS = ("weight", "weight_scale", "scale", "zero_point", "bias")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A Q on an activation: the names of its constants."""

    tensor: str
    scale: str
    zero: str
    low: int
    high: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Weights:
    """A DQ on stored codes."""

    codes: str
    scale: str
    # of the scales, to broadcast over the codes
    shape: tuple[int, ...]


class LearnableGraph(TorchGraph):
    """The graph, its parameters by kind and by the constant that they change."""

    def __init__(self, model: ir.Model, *, weight_bits: int) -> None:
        """Reads the Q/DQ of a graph of this project's own quantizer.

        Args:
            weight_bits: of its weights' codes.

        Raises:
            UnsupportedError: names the first node that cannot be computed here.
        """
        self.model = model
        # False: no rounding at all, which gives what the stored weights would in float
        self.rounds = True
        self.parameters: dict[str, dict[str, nn.Parameter]] = {kind: {} for kind in KINDS}
        self._largest = LARGEST_CODE[weight_bits]
        self._pairs: dict[str, _Pair] = {}
        self._weights: dict[str, _Weights] = {}
        # the tensor that a bias is added in, and what its values are like
        self._biased: dict[str, str] = {}
        self._bias_units: dict[str, Tensor] = {}
        super().__init__(model)
        for node in model.graph:
            self._find_bias(node)

    def function_of(self, node: ir.Node) -> Callable[..., Any]:
        """Returns what computes a node; Q and DQ are learned, and a Q gives floats already."""
        if node.op_type == QUANTIZE:
            return self._quantize(node)
        if node.op_type != DEQUANTIZE:
            return super().function_of(node)
        source = node.inputs[0]
        assert source is not None
        producer = source.producer()
        if producer is not None and producer.op_type == QUANTIZE:
            return lambda values, *_: values
        if source.name not in self.constants:
            raise unsupported(node, "its codes are computed")
        return self._dequantize(node, str(source.name))

    def _quantize(self, node: ir.Node) -> Callable[..., Any]:
        tensor, scale, zero = (None if value is None else value.name for value in node.inputs)
        if scale not in self.constants or zero not in self.constants:
            raise unsupported(node, "its scale or zero point is no stored constant")
        kind, offset = self.constants[zero].dtype, self.constants[zero]
        if offset.numel() != 1 or kind not in (torch.uint8, torch.int8):
            raise unsupported(node, f"a zero point of type {kind}, {tuple(offset.shape)}")
        low, high = (0, 255) if kind == torch.uint8 else (-127, 127)
        pair = _Pair(tensor=str(tensor), scale=scale, zero=zero, low=low, high=high)
        self._pairs[str(node.outputs[0].name)] = pair
        self._learn("scale", scale, torch.zeros(()))
        if kind == torch.uint8 and int(offset) != 0:
            self._learn("zero_point", zero, offset.reshape(()).float())
        return lambda x, *_: self._rounded(pair, x)

    def _dequantize(self, node: ir.Node, codes: str) -> Callable[..., Any]:
        scale = None if node.inputs[1] is None else node.inputs[1].name
        if scale not in self.constants:
            raise unsupported(node, "its scales are no stored constant")
        stored, scales = self.constants[codes], self.constants[scale]
        if stored.dtype != torch.int8 or int(stored.abs().max()) > self._largest:
            raise unsupported(node, f"codes beyond {self._largest}, or of {stored.dtype}")
        shape = [1] * stored.dim()
        if scales.numel() > 1:
            shape[integer(node, "axis", 1)] = -1
        weights = _Weights(codes=codes, scale=scale, shape=tuple(shape))
        self._weights[codes] = weights
        self._learn("weight", codes, stored.float())
        self._learn("weight_scale", scale, torch.zeros_like(scales))
        return lambda *_: self._dequantized(weights)

    def _learn(self, kind: str, name: str, start: Tensor) -> None:
        self.parameters[kind].setdefault(name, nn.Parameter(start.clone()))

    def _find_bias(self, node: ir.Node) -> None:
        """Learns the stored bias of a layer with quantized weights, where nothing else reads it."""
        if node.op_type not in COMPUTE_OPS:
            return
        weight = node.inputs[1]
        producer = None if weight is None else weight.producer()
        if producer is None or producer.op_type != DEQUANTIZE:
            return
        result = node.outputs[0]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        if (
            bias is None
            and len(uses := tuple(result.uses())) == 1
            and uses[0].node.op_type == "Add"
        ):
            bias, result = uses[0].node.inputs[1 - uses[0].idx], uses[0].node.outputs[0]
        if bias is None or not bias.name or bias.name not in self.constants:
            return
        stored = self.constants[bias.name]
        if len(tuple(bias.uses())) == 1 and stored.numel() > 1 and stored.is_floating_point():
            self._learn("bias", bias.name, torch.zeros_like(stored))
            self._biased[bias.name] = str(result.name)

    @property
    def biased(self) -> list[str]:
        """The tensors that learned biases are part of."""
        return list(self._biased.values())

    @property
    def quantized(self) -> list[str]:
        """The activations that have a pair, in the graph's order."""
        return [pair.tensor for pair in self._pairs.values()]

    def measure_biases(self, values: Mapping[str, Tensor]) -> None:
        """Takes the units of biases from what their tensors hold.

        Args:
            values: the tensors of `biased`.
        """
        for bias, tensor in self._biased.items():
            stored, seen = self.constants[bias], values[tensor].detach()
            size = max(float(seen.square().mean().sqrt()), 1e-6)
            self._bias_units[bias] = torch.full_like(stored, size)

    def keep_exact(self, values: Mapping[str, Tensor]) -> None:
        """Stops learning the scales of tensors that their codes hold without a loss, as pixels.

        Args:
            values: the tensors of `quantized`.
        """
        for pair in self._pairs.values():
            seen = values[pair.tensor].detach()
            with torch.no_grad():
                lost = (self._rounded(pair, seen) - seen).abs().max()
            if float(lost) <= 1e-3 * float(self.constants[pair.scale]):
                self.parameters["scale"].pop(pair.scale, None)
                self.parameters["zero_point"].pop(pair.zero, None)

    def _scale(self, pair: _Pair) -> Tensor:
        stored = self.constants[pair.scale].reshape(())
        learned = self.parameters["scale"].get(pair.scale)
        return stored if learned is None else stored * torch.exp(learned)

    def _zero(self, pair: _Pair) -> Tensor:
        learned = self.parameters["zero_point"].get(pair.zero)
        if learned is None:
            return self.constants[pair.zero].reshape(()).float()
        # never 0: placement depends on whether it is
        return rounded(torch.clamp(learned, pair.low + 1, pair.high))

    def _rounded(self, pair: _Pair, x: Tensor) -> Tensor:
        if not self.rounds:
            return x
        result: Tensor = FakeQuantize.apply(  # type: ignore[no-untyped-call]
            x, self._scale(pair), self._zero(pair), pair.low, pair.high
        )
        return result

    def _codes(self, codes: str) -> Tensor:
        return rounded(torch.clamp(self.parameters["weight"][codes], -self._largest, self._largest))

    def _weight_scale(self, scale: str) -> Tensor:
        return self.constants[scale] * torch.exp(self.parameters["weight_scale"][scale])

    def _dequantized(self, weights: _Weights) -> Tensor:
        scales = self._weight_scale(weights.scale).reshape(weights.shape)
        return self._codes(weights.codes) * scales

    def biases(self) -> dict[str, Tensor]:
        """The biases as they are now, for `run`."""
        return {
            name: self.constants[name] + self.parameters["bias"][name] * unit
            for name, unit in self._bias_units.items()
        }

    def compute(self, feeds: Mapping[str, Tensor], wanted: Sequence[str] = ()) -> dict[str, Tensor]:
        """Computes the graph with what was learned, as `run`."""
        return self.run(feeds, wanted=wanted, constants=self.biases())

    def named(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yields all parameters with names of their own."""
        for kind, members in self.parameters.items():
            for name, parameter in members.items():
                yield f"{kind}:{name}", parameter

    def state(self) -> dict[str, Tensor]:
        """Returns a copy of what was learned."""
        return {name: parameter.detach().clone() for name, parameter in self.named()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to what `state` gave."""
        with torch.no_grad():
            for name, parameter in self.named():
                parameter.copy_(state[name])

    def written(self) -> ir.Model:
        """Returns the graph in the form that it had, with what was learned."""
        result = self.model.clone()
        with torch.no_grad():
            changed = {pair.scale: self._scale(pair) for pair in self._pairs.values()}
            changed |= {pair.zero: self._zero(pair) for pair in self._pairs.values()}
            changed |= {w.codes: self._codes(w.codes) for w in self._weights.values()}
            changed |= {w.scale: self._weight_scale(w.scale) for w in self._weights.values()}
            changed |= self.biases()
        tensor = require("onnx_ir", extra="quantize").tensor
        scales = {w.scale for w in self._weights.values()}
        scales |= {pair.scale for pair in self._pairs.values()}
        for name, value in changed.items():
            stored = self.constants[name]
            array = value.reshape(stored.shape).numpy().astype(stored.numpy().dtype)
            if name in scales:
                array = np.maximum(array, np.float32(SMALLEST_SCALE))
            result.graph.initializers[name].const_value = tensor(array, name=name)
        return result
