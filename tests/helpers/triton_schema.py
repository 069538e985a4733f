"""Triton's schema of a model's settings: of its own client where that is installed, else a table.

tritonclient ships what protoc made of model_config.proto. It is no dependency of the tests, for it
pins an older ml-dtypes than onnx is tested with: `pip install --no-deps tritonclient`. The table
has the fields that `package --for triton` writes, and a test holds it to the real schema.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

from tests.helpers.protobuf import Fields, message_of

# Messages of triton-inference-server/common, protobuf/model_config.proto (July 2026).
FIELDS: Fields = {
    "ModelInstanceGroup": (("count", 2, "int32"), ("kind", 4, "ModelInstanceGroup.Kind")),
    "ModelTensorReshape": (("shape", 1, "int64[]"),),
    "ModelInput": (
        ("name", 1, "string"),
        ("data_type", 2, "DataType"),
        ("format", 3, "ModelInput.Format"),
        ("dims", 4, "int64[]"),
        ("reshape", 5, "ModelTensorReshape"),
    ),
    "ModelOutput": (
        ("name", 1, "string"),
        ("data_type", 2, "DataType"),
        ("dims", 3, "int64[]"),
        ("label_filename", 4, "string"),
        ("reshape", 5, "ModelTensorReshape"),
    ),
    "ModelVersionPolicy": (("latest", 1, "ModelVersionPolicy.Latest"),),
    "ModelVersionPolicy.Latest": (("num_versions", 1, "uint32"),),
    "ModelParameter": (("string_value", 1, "string"),),
    "ModelWarmup": (
        ("name", 1, "string"),
        ("batch_size", 2, "uint32"),
        ("inputs", 3, "ModelWarmup.Input{}"),
        ("count", 4, "uint32"),
    ),
    "ModelWarmup.Input": (
        ("data_type", 1, "DataType"),
        ("dims", 2, "int64[]"),
        ("zero_data", 3, "bool"),
    ),
    "ModelConfig": (
        ("name", 1, "string"),
        ("platform", 2, "string"),
        ("version_policy", 3, "ModelVersionPolicy"),
        ("max_batch_size", 4, "int32"),
        ("input", 5, "ModelInput[]"),
        ("output", 6, "ModelOutput[]"),
        ("instance_group", 7, "ModelInstanceGroup[]"),
        ("parameters", 14, "ModelParameter{}"),
        ("model_warmup", 16, "ModelWarmup[]"),
        ("backend", 17, "string"),
    ),
}
_TYPES = "INVALID BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 STRING BF16"
ENUMS: dict[str, tuple[str, ...]] = {
    "DataType": tuple(f"TYPE_{name}" for name in _TYPES.split()),
    "ModelInstanceGroup.Kind": ("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"),
    "ModelInput.Format": ("FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"),
}


@functools.cache
def published() -> Any:
    """The message ModelConfig as tritonclient ships it; None: it is not installed.

    The module is loaded by its path, for the package around it imports grpc.
    """
    found = importlib.util.find_spec("tritonclient")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    if not path.is_file() or spec is None or spec.loader is None:
        return None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.ModelConfig


def from_table() -> Any:
    """The message ModelConfig of `FIELDS` and `ENUMS`."""
    return message_of("ModelConfig", FIELDS, ENUMS)
