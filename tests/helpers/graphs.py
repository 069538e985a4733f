"""Small ONNX graphs: Q/DQ graphs built node by node, a tiny network, a planted fault."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper, numpy_helper

from edge_scnet.graph import pairs


def tiny_onnx(path: Path, *, batch: int = 1, classes: int = 4, size: int = 6) -> Path:
    """A 1x1 convolution named "conv", ReLU and the mean: outputs "logits" [batch, classes] and
    "twice", twice that.
    """
    weight = np.linspace(-1, 1.5, classes, dtype=np.float32).reshape(classes, 1, 1, 1)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["logits"]),
            helper.make_node("Add", ["logits", "logits"], ["twice"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, 1, size, size])],
        [
            helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [batch, classes])
            for name in ("logits", "twice")
        ],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def tiny_logits(images: np.ndarray, *, classes: int = 4) -> np.ndarray:
    """What `tiny_onnx` computes."""
    weight = np.linspace(-1, 1.5, classes, dtype=np.float32).reshape(1, classes, 1, 1)
    return np.maximum(images * weight, 0).mean(axis=(2, 3))


CODES = {
    "uint8": (np.uint8, 0),
    "uint8+85": (np.uint8, 85),
    "int8": (np.int8, 0),
    "int8-43": (np.int8, -43),
    "int8-128": (np.int8, -128),
}


class Graph:
    """A node, its output and its parameters have one name; a pair is named after its tensor:
    "left/Q", "left/DQ".
    """

    def __init__(self, codes: str = "int8") -> None:
        self.codes = codes
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.channels = {"input": 8}

    def node(self, kind: str, inputs: list[str], name: str = "", **attributes: object) -> str:
        """The name is the kind's, with a number where that is taken."""
        base = name or kind.lower()
        name = base if base not in self.channels else f"{base}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self.channels[name] = self.channels.get(inputs[0], 0) if inputs else 0
        return name

    def const(self, array: object, name: str = "") -> str:
        name = name or f"constant{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def q(self, tensor: str, codes: str = "", *, high: float = 4.0) -> str:
        """Q and DQ of an activation up to `high`."""
        kind, zero = CODES[codes or self.codes]
        name = tensor if f"{tensor}/Q" not in self.channels else f"{tensor}{len(self.nodes)}"
        scale = high / (np.iinfo(kind).max - zero)
        parameters = [
            self.const(np.float32(scale), f"{name}/scale"),
            self.const(kind(zero), f"{name}/zero"),
        ]
        quantized = self.node("QuantizeLinear", [tensor, *parameters], f"{name}/Q")
        return self.node("DequantizeLinear", [quantized, *parameters], f"{name}/DQ")

    def second(self, tensor: str) -> str:
        """Another DequantizeLinear behind the tensor's Q: some tools write one for every reader."""
        return self.node("DequantizeLinear", [f"{tensor}/Q", f"{tensor}/scale", f"{tensor}/zero"])

    def weight(self, shape: tuple[int, ...], axis: int, name: str) -> str:
        """int8 codes per channel, of 7 bits: a pattern must be the only fault, also on CPUs without
        VNNI.
        """
        size = [1] * len(shape)
        size[axis] = -1
        values = self.rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))
        scales = (
            np.abs(np.moveaxis(values, axis, 0)).reshape(shape[axis], -1).max(axis=1) / 64
        ).astype(np.float32)
        inputs = [
            self.const(np.rint(values / scales.reshape(size)).astype(np.int8), f"{name}/codes"),
            self.const(scales, f"{name}/scales"),
            self.const(np.zeros(shape[axis], np.int8), f"{name}/zeros"),
        ]
        return self.node("DequantizeLinear", inputs, f"{name}/weight", axis=axis)

    def conv(
        self,
        tensor: str,
        name: str = "conv",
        *,
        group: int = 1,
        outputs: int = 8,
        kind: str = "Conv",
    ) -> str:
        channels = self.channels[tensor]
        name = name if name not in self.channels else f"{name}{len(self.nodes)}"
        shape = (
            (outputs, channels // group, 3, 3)
            if kind == "Conv"
            else (channels, outputs // group, 3, 3)
        )
        weight = self.weight(shape, 0 if kind == "Conv" else 1, name)
        self.node(kind, [tensor, weight], name, pads=[1] * 4, group=group)
        self.channels[name] = outputs
        return name

    def float_conv(self, tensor: str) -> str:
        return self.node(
            "Conv", [tensor, self.const(np.ones((8, self.channels[tensor], 1, 1), np.float32))]
        )

    def concat(self, *tensors: str, axis: int = 1) -> str:
        name = self.node("Concat", list(tensors), axis=axis)
        self.channels[name] = (
            sum(self.channels[t] for t in tensors) if axis == 1 else self.channels[tensors[0]]
        )
        return name

    def relu(self, tensor: str, name: str = "") -> str:
        return self.node("Relu", [tensor], name)

    def sigmoid(self, tensor: str) -> str:
        return self.node("Sigmoid", [tensor])

    def scaled(self, tensor: str) -> str:
        return self.node("Mul", [tensor, self.const(np.float32(0.83))])

    def clip(self, tensor: str) -> str:
        return self.node("Clip", [tensor, self.const(np.float32(0)), self.const(np.float32(3))])

    def maxpool(self, tensor: str) -> str:
        return self.node("MaxPool", [tensor], kernel_shape=[2, 2], strides=[2, 2])

    def avgpool(self, tensor: str, **attributes: object) -> str:
        """Padded, and the padding counts."""
        how = {
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "pads": [1] * 4,
            "count_include_pad": 1,
        } | attributes
        return self.node(
            "AveragePool", [tensor], "pool", **{k: v for k, v in how.items() if v is not None}
        )

    def pad(self, tensor: str) -> str:
        return self.node("Pad", [tensor, self.const(np.array([0, 0, 1, 1, 0, 0, 1, 1]))])

    def resize(self, tensor: str) -> str:
        how = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
        return self.node(
            "Resize", [tensor, "", self.const(np.array([1, 1, 2, 2], np.float32))], **how
        )

    def shuffle(self, tensor: str) -> str:
        split = self.node("Reshape", [tensor, self.const(np.array([1, 2, 4, 16, 16]))])
        turned = self.node("Transpose", [split], perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", [turned, self.const(np.array([1, 8, 16, 16]))])

    def model(self, *outputs: str, opset: int = 20) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("input", 1, [1, 8, 16, 16])],
            [helper.make_tensor_value_info(name, 1, None) for name in outputs],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return onnx.shape_inference.infer_shapes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        )


def find(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


TENSOR = "layer2.0.relu/Relu"


def scaled(source: Path, out: Path, tensor: str, factor: float) -> Path:
    """The Q/DQ graph with one activation's scale multiplied."""
    model = ir.load(source)
    for node in pairs.pairs(model):
        if str(node.name).startswith(f"{tensor}/") and node.op_type == pairs.QUANTIZE:
            value = node.inputs[1]
            assert value is not None and value.const_value is not None
            value.const_value = ir.tensor(
                (value.const_value.numpy() * factor).astype(np.float32), name=value.name
            )
    ir.save(model, out)
    return out
