"""Users' ONNX files, good and bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data

from edge_scnet.errors import ArtifactError

Dim = int | str


def user_model(
    *,
    batch: Dim = "N",
    channels: Dim = 3,
    height: Dim = 8,
    width: Dim = 8,
    folder: Path | None = None,
    location: str | None = None,
    elem_type: int = TensorProto.FLOAT,
    second_input: bool = False,
    weights_as_inputs: bool = False,
    flatten_to: list[int] | None = None,
) -> onnx.ModelProto:
    """Conv, BatchNormalization, Relu, global pooling, a traced flatten (Shape, Gather, Concat,
    Reshape), Gemm.
    """
    rng = np.random.default_rng(5)
    arrays: dict[str, np.ndarray] = {
        "conv.weight": rng.standard_normal((4, 3, 3, 3)),
        "bn.scale": rng.uniform(0.5, 1.5, 4),
        "bn.bias": rng.standard_normal(4),
        "bn.mean": rng.standard_normal(4),
        "bn.var": rng.uniform(0.5, 1.5, 4),
        "fc.weight": rng.standard_normal((4, 4)),
        "fc.bias": rng.standard_normal(4),
    }
    initializers = [
        numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()
    ]
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight"], ["c"], name="image", pads=[1, 1, 1, 1]),
        helper.make_node(
            "BatchNormalization",
            ["c", "bn.scale", "bn.bias", "bn.mean", "bn.var"],
            ["b"],
            name="probabilities",
        ),
        helper.make_node("Relu", ["b"], ["r"], name="act"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
    ]
    if flatten_to is None:
        initializers += [
            numpy_helper.from_array(np.array(0, np.int64), "zero"),
            numpy_helper.from_array(np.array([-1]), "minus"),
        ]
        axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
        initializers.append(axes)
        nodes += [
            helper.make_node("Shape", ["p"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"]),
            helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
            helper.make_node("Concat", ["n1", "minus"], ["shape"], axis=0),
        ]
    else:
        initializers.append(numpy_helper.from_array(np.array(flatten_to, np.int64), "shape"))
    nodes += [
        helper.make_node("Reshape", ["p", "shape"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc.weight", "fc.bias"], ["probabilities"], name="fc"),
    ]
    inputs = [helper.make_tensor_value_info("image", elem_type, [batch, channels, height, width])]
    if second_input:
        inputs.append(helper.make_tensor_value_info("scale", TensorProto.FLOAT, [1]))
    if weights_as_inputs:
        inputs = [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in initializers
        ] + inputs
    if location is not None:
        tensor = initializers[0]
        if folder is not None:
            (folder / location).write_bytes(tensor.raw_data)
        set_external_data(tensor, location)
        tensor.ClearField("raw_data")
    outputs = [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [batch, 4])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initializers)
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=3 if weights_as_inputs else 8
    )


def written(folder: Path, model: onnx.ModelProto, name: str = "net.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def refused(call: Any, *arguments: Any, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        call(*arguments, **options)
    return caught.value
