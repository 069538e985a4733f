"""Gst-nvinferserver's schema, as far as `package --for deepstream` writes it."""

from __future__ import annotations

from typing import Any

from tests.helpers.protobuf import Fields, message_of

# Of NVIDIA/DeepStream, includes/nvdsinferserver_{plugin,config,common}.proto (9.2).
FIELDS: Fields = {
    "PluginControl": (
        ("infer_config", 1, "InferenceConfig"),
        ("input_control", 2, "PluginControl.InputControl"),
        ("output_control", 3, "PluginControl.OutputControl"),
    ),
    "PluginControl.InputControl": (
        ("process_mode", 1, "PluginControl.ProcessMode"),
        ("interval", 4, "uint32"),
    ),
    "PluginControl.OutputControl": (("output_tensor_meta", 1, "bool"),),
    "InferenceConfig": (
        ("unique_id", 1, "uint32"),
        ("gpu_ids", 2, "int32[]"),
        ("max_batch_size", 3, "uint32"),
        ("backend", 4, "BackendParams"),
        ("preprocess", 5, "PreProcessParams"),
        ("postprocess", 6, "PostProcessParams"),
    ),
    "BackendParams": (
        ("inputs", 1, "InputLayer[]"),
        ("outputs", 2, "OutputLayer[]"),
        ("triton", 4, "TritonParams"),
    ),
    "InputLayer": (("name", 1, "string"),),
    "OutputLayer": (("name", 1, "string"),),
    "TritonParams": (
        ("model_name", 1, "string"),
        ("version", 2, "int64"),
        ("model_repo", 4, "TritonModelRepo"),
    ),
    "TritonModelRepo": (("root", 1, "string[]"), ("strict_model_config", 3, "bool")),
    "PreProcessParams": (
        ("network_format", 1, "MediaFormat"),
        ("tensor_order", 2, "TensorOrder"),
        ("tensor_name", 3, "string"),
        ("maintain_aspect_ratio", 4, "int32"),
        ("frame_scaling_hw", 5, "FrameScalingHW"),
        ("frame_scaling_filter", 6, "uint32"),
        ("normalize", 7, "PreProcessParams.ScaleNormalize"),
        ("symmetric_padding", 8, "int32"),
    ),
    "PreProcessParams.ScaleNormalize": (("scale_factor", 1, "float"),),
    "PostProcessParams": (
        ("labelfile_path", 1, "string"),
        ("classification", 3, "ClassificationParams"),
        ("other", 5, "OtherNetworkParams"),
    ),
    "ClassificationParams": (("threshold", 1, "float"),),
    "OtherNetworkParams": (("type_name", 1, "string"),),
}
ENUMS = {
    "PluginControl.ProcessMode": (
        "PROCESS_MODE_DEFAULT",
        "PROCESS_MODE_FULL_FRAME",
        "PROCESS_MODE_CLIP_OBJECTS",
    ),
    "MediaFormat": (
        "MEDIA_FORMAT_NONE",
        "IMAGE_FORMAT_RGB",
        "IMAGE_FORMAT_BGR",
        "IMAGE_FORMAT_GRAY",
    ),
    "TensorOrder": ("TENSOR_ORDER_NONE", "TENSOR_ORDER_LINEAR", "TENSOR_ORDER_NHWC"),
    "FrameScalingHW": (
        "FRAME_SCALING_HW_DEFAULT",
        "FRAME_SCALING_HW_GPU",
        "FRAME_SCALING_HW_VIC",
    ),
}


def plugin_control() -> Any:
    """The message that a settings file of Gst-nvinferserver is."""
    return message_of("PluginControl", FIELDS, ENUMS)
