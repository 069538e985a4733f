"""Random networks of the operators that users' files have."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

T = TypeVar("T")
Choose = Callable[[Sequence[Any]], Any]

OPSETS = (11, 13, 17, 18, 20)
_ELEMENTWISE = ("Relu", "LeakyRelu", "Sigmoid", "Tanh", "HardSwish", "Elu", "Softplus", "Clip")


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph; its first axis is the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def channels(self) -> int:
        return self.shape[1]

    @property
    def spatial(self) -> tuple[int, ...]:
        return self.shape[2:]


@dataclass
class RandomGraph:
    """A network that grows by choices; weights are drawn from `rng`."""

    choose: Choose
    rng: np.random.Generator
    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(
        self, op: str, inputs: Sequence[str], shape: Sequence[int], **attributes: Any
    ) -> Tensor:
        name = f"t{len(self.nodes)}"
        node_name = self.choose(["", f"layer.{len(self.nodes)}", f"/block {len(self.nodes)}/{op}"])
        self.nodes.append(
            helper.make_node(op, list(inputs), [name], name=node_name or None, **attributes)
        )
        return Tensor(name, tuple(shape))

    def weights(self, *shape: int) -> np.ndarray:
        fan_in = math.prod(shape[1:]) or 1
        return (self.rng.standard_normal(shape) * math.sqrt(2 / fan_in)).astype(np.float32)

    def step(self, x: Tensor) -> Tensor:
        """The next tensor: one of the steps that fit the last one."""
        steps: list[Callable[[Tensor], Tensor]] = [self.elementwise, self.affine, self.prelu]
        if len(x.shape) >= 3:
            steps += [self.convolution] * 4 + [self.normalised, self.gated, self.residual]
            if min(x.spatial) >= 4:
                steps += [self.pool, self.padded]
            steps.append(self.joined)
        if len(x.shape) == 4:
            steps += [self.transposed_convolution, self.resized, self.shuffled, self.rows]
        if len(x.shape) == 2:
            steps += [self.linear]
        return self.choose(steps)(x)

    def elementwise(self, x: Tensor) -> Tensor:
        op = self.choose(_ELEMENTWISE)
        if op == "HardSwish" and self.opset < 14:
            op = "Relu"
        if op == "Clip":
            limits = [self.constant(np.float32(0)), self.constant(np.float32(6))]
            return self.add(op, [x.name, *limits], x.shape)
        return self.add(op, [x.name], x.shape)

    def affine(self, x: Tensor) -> Tensor:
        shape = (1, x.channels, *[1] * (len(x.shape) - 2))
        scale = self.rng.uniform(0.5, 1.5, shape).astype(np.float32)
        scaled = self.add("Mul", [x.name, self.constant(scale)], x.shape)
        shift = self.rng.standard_normal(shape).astype(np.float32)
        return self.add("Add", [scaled.name, self.constant(shift)], x.shape)

    def prelu(self, x: Tensor) -> Tensor:
        slope = self.rng.uniform(0, 0.5, (x.channels, *[1] * (len(x.shape) - 2)))
        return self.add("PRelu", [x.name, self.constant(slope.astype(np.float32))], x.shape)

    def convolution(self, x: Tensor) -> Tensor:
        rank, size = len(x.spatial), self.choose([1, 3])
        groups = self.choose([1, 1, x.channels])
        outputs = x.channels if groups > 1 else self.choose([4, 8])
        stride = self.choose([1, 1, 2]) if min(x.spatial) >= 4 else 1
        inputs = [
            x.name,
            self.constant(self.weights(outputs, x.channels // groups, *[size] * rank)),
        ]
        if self.choose([True, False]):
            inputs.append(self.constant(self.rng.standard_normal(outputs).astype(np.float32)))
        pad = size // 2
        spatial = [(side + 2 * pad - size) // stride + 1 for side in x.spatial]
        return self.add(
            "Conv",
            inputs,
            (x.shape[0], outputs, *spatial),
            pads=[pad] * (2 * rank),
            strides=[stride] * rank,
            group=groups,
        )

    def normalised(self, x: Tensor) -> Tensor:
        ones = self.rng.uniform(0.5, 1.5, x.channels).astype(np.float32)
        zeros = self.rng.standard_normal(x.channels).astype(np.float32)
        parameters = [self.constant(array) for array in (ones, zeros, zeros, ones)]
        return self.add("BatchNormalization", [x.name, *parameters], x.shape)

    def gated(self, x: Tensor) -> Tensor:
        """Squeeze and excitation."""
        mean = self.add("GlobalAveragePool", [x.name], (*x.shape[:2], *[1] * len(x.spatial)))
        kernel = self.constant(self.weights(x.channels, x.channels, *[1] * len(x.spatial)))
        gate = self.add("Conv", [mean.name, kernel], mean.shape)
        gate = self.add("Sigmoid", [gate.name], gate.shape)
        return self.add("Mul", [x.name, gate.name], x.shape)

    def residual(self, x: Tensor) -> Tensor:
        kernel = self.constant(self.weights(x.channels, x.channels, *[1] * len(x.spatial)))
        y = self.add("Conv", [x.name, kernel], x.shape)
        y = self.add("Relu", [y.name], y.shape)
        return self.add("Add", [x.name, y.name], x.shape)

    def joined(self, x: Tensor) -> Tensor:
        y = self.elementwise(x)
        return self.add(
            "Concat", [x.name, y.name], (x.shape[0], 2 * x.channels, *x.spatial), axis=1
        )

    def pool(self, x: Tensor) -> Tensor:
        op, rank = self.choose(["MaxPool", "AveragePool"]), len(x.spatial)
        shape = (*x.shape[:2], *[side // 2 for side in x.spatial])
        return self.add(op, [x.name], shape, kernel_shape=[2] * rank, strides=[2] * rank)

    def padded(self, x: Tensor) -> Tensor:
        rank = len(x.spatial)
        pads = self.constant(np.array([0, 0, *[1] * rank, 0, 0, *[1] * rank], np.int64))
        shape = (*x.shape[:2], *[side + 2 for side in x.spatial])
        padded = self.add("Pad", [x.name, pads], shape, mode=self.choose(["constant", "reflect"]))
        shape = (*x.shape[:2], *[side + 1 for side in x.spatial])
        return self.add("AveragePool", [padded.name], shape, kernel_shape=[2] * rank)

    def transposed_convolution(self, x: Tensor) -> Tensor:
        outputs = self.choose([4, 8])
        kernel = self.constant(self.weights(x.channels, outputs, 2, 2))
        shape = (x.shape[0], outputs, *[2 * side for side in x.spatial])
        return self.add("ConvTranspose", [x.name, kernel], shape, strides=[2, 2])

    def resized(self, x: Tensor) -> Tensor:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        shape = (*x.shape[:2], *[2 * side for side in x.spatial])
        mode = self.choose(["nearest", "linear"])
        # up to opset 12 the region may not be left out
        region = self.constant(np.zeros(0, np.float32)) if self.opset < 13 else ""
        return self.add("Resize", [x.name, region, scales], shape, mode=mode)

    def shuffled(self, x: Tensor) -> Tensor:
        """Channels in two groups, exchanged."""
        if x.channels % 2:
            return self.elementwise(x)
        n, c, h, w = x.shape
        sizes = self.constant(np.array([0, 2, c // 2, h, w], np.int64))
        y = self.add("Reshape", [x.name, sizes], (n, 2, c // 2, h, w))
        y = self.add("Transpose", [y.name], (n, c // 2, 2, h, w), perm=[0, 2, 1, 3, 4])
        sizes = self.constant(np.array([0, c, h, w], np.int64))
        return self.add("Reshape", [y.name, sizes], x.shape)

    def rows(self, x: Tensor) -> Tensor:
        """A linear layer on every pixel, as transformers have it."""
        n, c, h, w = x.shape
        y = self.add("Transpose", [x.name], (n, h, w, c), perm=[0, 2, 3, 1])
        y = self.add("MatMul", [y.name, self.constant(self.weights(c, 2 * c))], (n, h, w, 2 * c))
        y = self.add("Relu", [y.name], y.shape)
        y = self.add("MatMul", [y.name, self.constant(self.weights(2 * c, c))], (n, h, w, c))
        return self.add("Transpose", [y.name], x.shape, perm=[0, 3, 1, 2])

    def linear(self, x: Tensor) -> Tensor:
        outputs = self.choose([8, 16])
        if self.choose([True, False]):
            weight = self.constant(self.weights(outputs, x.channels))
            bias = self.constant(self.rng.standard_normal(outputs).astype(np.float32))
            return self.add("Gemm", [x.name, weight, bias], (x.shape[0], outputs), transB=1)
        weight = self.constant(self.weights(x.channels, outputs))
        return self.add("MatMul", [x.name, weight], (x.shape[0], outputs))

    def head(self, x: Tensor) -> Tensor:
        """Classes, or the tensor as it is."""
        if len(x.shape) < 3 or self.choose([True, False]):
            return x
        pooled = self.add("GlobalAveragePool", [x.name], (*x.shape[:2], *[1] * len(x.spatial)))
        flat = self.add("Flatten", [pooled.name], x.shape[:2])
        return self.linear(flat)


def random_model(choose: Choose, seed: int) -> onnx.ModelProto:
    """A network of up to eight steps with one or two outputs.

    Args:
        choose: picks one of a sequence; it makes every choice.
        seed: of the weights.
    """
    graph = RandomGraph(choose, np.random.default_rng(seed), opset=choose(OPSETS))
    spatial = choose([(8, 8), (8, 12), (16,), (4, 4, 4), ()])
    shape = (1, choose([3, 4] if spatial else [8]), *spatial)
    x = Tensor("input", shape)
    tensors = [x := graph.convolution(x) if spatial else graph.linear(x)]
    for _ in range(choose(range(1, 8))):
        if math.prod(x.shape) > 20_000:
            break
        tensors.append(x := graph.step(x))
    outputs = [graph.head(x)]
    if choose([True, False, False]):
        outputs.append(graph.head(choose(tensors)))
    outputs = list({output.name: output for output in outputs}.values())
    batch = choose([1, "N"])
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "random",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, [batch, *shape[1:]])],
            [
                helper.make_tensor_value_info(o.name, TensorProto.FLOAT, [batch, *o.shape[1:]])
                for o in outputs
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model
