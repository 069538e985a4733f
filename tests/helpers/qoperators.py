"""A network in QOperator form, as ONNX Runtime's quantizer writes it, with every operator that has
a form as pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MICROSOFT = "com.microsoft"


class Codes:
    """Nodes on codes; a tensor's scale and zero point have its name with "_s" and "_z"."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(7)

    def constant(self, name: str, array: object) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def scaled(self, name: str, scale: float, zero: int) -> list[str]:
        """A tensor's name, scale and zero point."""
        self.constant(f"{name}_s", np.float32(scale))
        self.constant(f"{name}_z", np.uint8(zero))
        return [name, f"{name}_s", f"{name}_z"]

    def weights(self, name: str, shape: Sequence[int], channels: int) -> list[str]:
        """7-bit codes: with 8 the integer kernels saturate where VNNI is missing."""
        codes = self._rng.integers(-63, 64, shape).astype(np.int8)
        scales = self._rng.uniform(0.005, 0.02, channels).astype(np.float32)
        self.constant(name, codes)
        self.constant(f"{name}_s", scales if channels > 1 else scales[0])
        self.constant(f"{name}_z", np.zeros(channels, np.int8) if channels > 1 else np.int8(0))
        return [name, f"{name}_s", f"{name}_z"]

    def bias(self, name: str, channels: int) -> str:
        return self.constant(name, self._rng.integers(-900, 900, channels).astype(np.int32))

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> None:
        own = op in ("QLinearConv", "QLinearMatMul") or not op.startswith("Q")
        domain = "" if own or op == "QuantizeLinear" else MICROSOFT
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=output, domain=domain, **attributes)
        )


def qoperator_model(*, opset: int = 12) -> onnx.ModelProto:
    """Input "x" 1 x 4 x 8 x 8, output "y" 1 x 6."""
    g = Codes()
    x, c, d = g.scaled("xq", 0.02, 128), g.scaled("c", 0.05, 0), g.scaled("d", 0.06, 100)
    g.node("QuantizeLinear", ["x", *x[1:]], "xq")
    conv = [*x, *g.weights("w1", (4, 4, 3, 3), 4), *c[1:], g.bias("b1", 4)]
    g.node("QLinearConv", conv, "c", pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    g.node("MaxPool", ["c"], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    pooled = ["pooled", *c[1:]]
    depthwise = [*pooled, *g.weights("w2", (4, 1, 3, 3), 4), *d[1:]]
    g.node("QLinearConv", depthwise, "d", group=4, pads=[1, 1, 1, 1], kernel_shape=[3, 3])
    e, f = g.scaled("e", 0.08, 90), g.scaled("f", 0.1, 110)
    g.node("QLinearAdd", [*pooled, *d, *e[1:]], "e")
    g.node("QLinearMul", [*e, *d, *f[1:]], "f")
    s, leaky = g.scaled("s", 1 / 256, 0), g.scaled("leaky", 0.1, 60)
    g.node("QLinearSigmoid", [*f, *s[1:]], "s")
    g.node("QLinearLeakyRelu", [*f, *leaky[1:]], "leaky", alpha=0.1)
    joined, mean = g.scaled("joined", 0.1, 60), g.scaled("mean", 0.1, 60)
    g.node("QLinearConcat", [*joined[1:], *s, *leaky], "joined", axis=1)
    average = g.scaled("average", 0.1, 60)
    g.node(
        "QLinearAveragePool",
        [*joined, *average[1:]],
        "average",
        kernel_shape=[2, 2],
        strides=[2, 2],
    )
    g.node("QLinearGlobalAveragePool", [*average, *mean[1:]], "mean", channels_last=0)
    g.constant("rows", np.array([1, 8], np.int64))
    g.node("Reshape", ["mean", "rows"], "flat")
    flat, gemm = ["flat", *mean[1:]], g.scaled("gemm", 0.03, 120)
    g.node(
        "QGemm",
        [*flat, *g.weights("w3", (8, 8), 8), g.bias("b3", 8), *gemm[1:]],
        "gemm",
        transB=1,
        alpha=1.0,
    )
    product = g.scaled("product", 0.02, 130)
    g.node("QLinearMatMul", [*gemm, *g.weights("w4", (8, 6), 1), *product[1:]], "product")
    g.node("DequantizeLinear", product, "y")
    graph = helper.make_graph(
        g.nodes,
        "codes",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 6])],
        g.constants,
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=imports, ir_version=6)
