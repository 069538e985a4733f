"""Small ONNX files of one input, written node by node in any opset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.export.convert import convert_opset


@dataclass(kw_only=True)
class File:
    """A file under construction; its input is "x"."""

    opset: int
    shape: Sequence[int | str] = (1, 4, 6, 6)
    kind: int = TensorProto.FLOAT
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, np.ndarray] = field(default_factory=dict)

    def put(self, array: Any, dtype: Any = np.float32) -> str:
        """Stores a constant and returns its name."""
        name = f"c{len(self.stored)}"
        self.stored[name] = np.asarray(array, dtype)
        return name

    def op(self, kind: str, *inputs: str, outputs: int = 1, **values: Any) -> Any:
        """Adds a node and returns the name, or names, of what it gives."""
        name = f"{kind}{len(self.nodes)}"
        names = [f"{name}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=name, **values))
        return names[0] if outputs == 1 else names

    def model(
        self, *outputs: str, kind: int | None = None, shape: Sequence[int | str] = ()
    ) -> onnx.ModelProto:
        """Returns the file; types and shapes of its outputs are left open, or declared alike."""
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", self.kind, self.shape)],
            [
                helper.make_tensor_value_info(name, kind, shape)
                if kind
                else helper.make_empty_tensor_value_info(name)
                for name in outputs
            ],
            [numpy_helper.from_array(array, name) for name, array in self.stored.items()],
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=7)


def one_node(
    opset: int,
    kind: str,
    *inputs: str | np.ndarray,
    shape: Sequence[int | str] = (1, 4, 6, 6),
    outputs: int = 1,
    **values: Any,
) -> onnx.ModelProto:
    """Returns a file of one node.

    Args:
        inputs: behind the data, "x": names, or constants.
    """
    file = File(opset=opset, shape=shape)
    names = [item if isinstance(item, str) else file.put(item, item.dtype) for item in inputs]
    given = file.op(kind, "x", *names, outputs=outputs, **values)
    return file.model(*([given] if outputs == 1 else given))


def floats(*values: float) -> np.ndarray:
    """Returns float32 numbers."""
    return np.array(values, np.float32)


def ints(*values: int) -> np.ndarray:
    """Returns whole numbers, as axes, sizes and pads are."""
    return np.array(values, np.int64)


def run_proto(model: onnx.ModelProto, x: np.ndarray) -> list[np.ndarray]:
    """Returns what ONNX Runtime computes, optimisations off."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {session.get_inputs()[0].name: x}))


def converted(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Returns a copy of a file in another opset, checked in full."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    result = convert_opset(copy, opset, Path("net.onnx"))
    assert result.opset_import[0].version == opset
    inferred = onnx.shape_inference.infer_shapes(result, strict_mode=True, data_prop=True)
    onnx.checker.check_model(inferred, full_check=True)
    return result


def assert_same(model: onnx.ModelProto, opset: int, x: np.ndarray | None = None) -> list[str]:
    """Asserts that a file computes the same in another opset; returns the operators there."""
    if x is None:
        shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    result = converted(model, opset)
    for want, have in zip(run_proto(model, x), run_proto(result, x), strict=True):
        assert have.shape == want.shape and have.dtype == want.dtype
        np.testing.assert_allclose(have, want, rtol=2e-6, atol=2e-6)
    return [node.op_type for node in result.graph.node]
