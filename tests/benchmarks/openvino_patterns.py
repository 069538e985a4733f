"""Two patterns of Q/DQ that OpenVINO computes wrongly, by the codes of the activations.

    python tests/benchmarks/openvino_patterns.py --out results/openvino_patterns.json

Each graph is a few nodes: a convolution, a Q/DQ pair of the codes, the pattern. The figure is the
SQNR of OpenVINO's engine against the same file in ONNX Runtime with its optimisations off. The
docs' picture of the border is of `border`: engine minus graph, the mean over channels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from envelope import begin
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.graph.run import run_onnx
from edge_scnet.stats.accuracy import sqnr_db

SCALE, SHAPE = 4.0 / 255.0, (1, 8, 16, 16)
CODES = {
    "u8_0": (np.uint8, 0),
    "u8_85": (np.uint8, 85),
    "u8_128": (np.uint8, 128),
    "s8_0": (np.int8, 0),
    "s8_minus128": (np.int8, -128),
    "s8_minus43": (np.int8, -43),
}
# exact results have no SQNR: what float32 leaves stands for them
_EXACT_DB = 150.0


class Graph:
    """An ONNX graph under construction, with one kind of codes for all activations."""

    def __init__(self, dtype: type, zero_point: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.stored = {"s": np.array(SCALE, np.float32), "z": np.array(zero_point, dtype)}

    def node(self, operator: str, inputs: list[str], **attributes: object) -> str:
        """Adds a node and returns its output's name."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def pair(self, tensor: str, codes: tuple[str, str] = ("s", "z")) -> str:
        """Adds a Q/DQ pair."""
        quantized = self.node("QuantizeLinear", [tensor, *codes])
        return self.node("DequantizeLinear", [quantized, *codes])

    def conv(self, tensor: str, weights: np.ndarray) -> str:
        """Adds a convolution whose weights are int8 codes."""
        count = len(self.stored)
        keys = [f"{kind}{count}" for kind in ("w", "ws", "wz")]
        scale = np.array(np.abs(weights).max() / 63.0, np.float32)
        for key, array in zip(keys, (weights, scale, np.array(0, np.int8)), strict=True):
            self.stored[key] = array
        return self.node("Conv", [tensor, self.pair(keys[0], (keys[1], keys[2]))])

    def model(self, output: str) -> onnx.ModelProto:
        """The graph from `x` to an output, checked."""
        graph = helper.make_graph(
            self.nodes,
            "pattern",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, SHAPE)],
            [numpy_helper.from_array(array, name) for name, array in self.stored.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        return model


def pool(dtype: type, zero_point: int, *, quantized: bool = True) -> onnx.ModelProto:
    """A 3 x 3 average over padded cells that count, with or without a pair behind it."""
    graph = Graph(dtype, zero_point)
    same = np.eye(8, dtype=np.float32)[..., None, None]
    tensor = graph.pair(graph.conv(graph.pair("x"), same))
    tensor = graph.node(
        "AveragePool", [tensor], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1
    )
    return graph.model(graph.pair(tensor) if quantized else tensor)


def concat(dtype: type, zero_point: int) -> onnx.ModelProto:
    """A convolution that reads the Concat of two."""
    graph = Graph(dtype, zero_point)
    draw = np.random.default_rng(1)
    weights = [draw.normal(0, 0.2, (8, count, 1, 1)).astype(np.float32) for count in (8, 8, 16)]
    read = graph.pair("x")
    branches = [graph.pair(graph.conv(read, each)) for each in weights[:2]]
    return graph.model(graph.conv(graph.node("Concat", branches, axis=1), weights[2]))


def both(model: onnx.ModelProto, dtype: type, zero_point: int) -> tuple[np.ndarray, np.ndarray]:
    """What the graph says of random values in the codes' range, and what OpenVINO computes."""
    import openvino

    codes = np.iinfo(dtype)
    low, high = (SCALE * (code - zero_point) for code in (int(codes.min), int(codes.max)))
    values = np.random.default_rng(0).uniform(low, high, SHAPE).astype(np.float32)
    ((right,),) = run_onnx(ir.from_proto(model), [values])
    core = openvino.Core()
    pinned = {"INFERENCE_PRECISION_HINT": "f32"}
    engine = core.compile_model(core.read_model(model.SerializeToString()), "CPU", pinned)
    return right, engine(values)[0]


def main() -> None:
    """Compiles and runs every pattern with every kind of codes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON; default: printed")
    given = parser.parse_args()
    begun = begin()
    patterns = {
        "pool": pool,
        "pool_float": lambda *codes: pool(*codes, quantized=False),
        "concat": concat,
    }
    found: dict[str, dict[str, dict[str, float]]] = {}
    for pattern, make in patterns.items():
        found[pattern] = {}
        for name, codes in CODES.items():
            right, engine = both(make(*codes), *codes)
            ratio = sqnr_db(right, engine)
            found[pattern][name] = {"sqnr_db": _EXACT_DB if ratio is None else ratio}
    right, engine = both(pool(*CODES["u8_85"]), *CODES["u8_85"])
    error = np.round((engine - right).mean(axis=(0, 1)), 4)
    border = {
        "scale": SCALE,
        "zero_point": CODES["u8_85"][1],
        "error": error.tolist(),
    }
    begun.write({"patterns": found, "border": border}, given.out)


if __name__ == "__main__":
    main()
