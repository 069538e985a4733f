"""Build folders that hold a float graph and nothing else, which `predict` can run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_scnet.config.target import load_target
from edge_scnet.core.facts import ExportFacts, Parity
from edge_scnet.core.files import sha256_file
from edge_scnet.core.manifest import FLOAT_ONNX, Artifact, Manifest, save_manifest
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec

# Pixels as they are, 0 to 1, at 8 x 8.
SPEC = ModelSpec(
    name="net",
    arch="onnx",
    input_shape=(3, 8, 8),
    preprocessing=Preprocessing(mean=(), std=(), resize="stretch"),
)
_PARITY = Parity(batches=(1,), worst=0.0, images=1)


def identity() -> onnx.ModelProto:
    """Gives its input, [1, 3, 8, 8], as `map`: a 1x1 convolution."""
    weight = np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["map"], name="conv")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 3, 8, 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    return _model(graph)


def constant(outputs: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """Gives the same for every input [1, 3, 8, 8]: these outputs, with their batch axis."""
    nodes, values, infos = [], [], []
    for name, array in outputs.items():
        held = array.astype(np.float32) if array.dtype.kind == "f" else array
        values.append(numpy_helper.from_array(held, f"{name}.value"))
        nodes.append(helper.make_node("Identity", [f"{name}.value"], [name]))
        kind = helper.np_dtype_to_tensor_dtype(held.dtype)
        infos.append(helper.make_tensor_value_info(name, kind, list(held.shape)))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])]
    return _model(helper.make_graph(nodes, "net", inputs, infos, values))


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def float_build(folder: Path, model: onnx.ModelProto, **changes: Any) -> Path:
    """A build folder of that graph; `changes` are the spec's."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FLOAT_ONNX
    onnx.save(model, path)
    entry = Artifact(
        file=FLOAT_ONNX,
        kind="onnx",
        stage="export",
        sha256=sha256_file(path),
        size_bytes=path.stat().st_size,
        key="k",
        facts=ExportFacts(precision="fp32", parity=_PARITY, nodes=1),
    )
    manifest = Manifest(
        model=replace(SPEC, **changes),
        target=asdict(load_target("cpu")),
        floor="avx2",
        precision_hint="f32",
        rebuild="edge-scnet build net.onnx",
        artifacts={FLOAT_ONNX: entry},
    )
    save_manifest(folder, manifest)
    return folder
