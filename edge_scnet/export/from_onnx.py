"""A user's ONNX file made the graph that every later stage reads: static, folded, nodes named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.onnx_file import read_onnx, real_inputs
from edge_scnet.export.static import check_static
from edge_scnet.graph.names import name_nodes
from edge_scnet.models.zoo import ModelSource, resolve

if TYPE_CHECKING:
    import onnx_ir as ir

# Inputs with sizes, by operator: their first entry is the batch.
_SIZES_INPUT = {"Reshape": 1, "Resize": 3}


def probe_onnx(source: ModelSource, options: ModelOptions) -> ModelSource:
    """Returns the source with its spec completed from the file.

    The file gives the input's channels and size, and the number of classes.

    Raises:
        ArtifactError: as `read_onnx`; a size, channels or classes that contradict the options; an
            input that is not square, or whose size is not given anywhere.
    """
    path = Path(source.location)
    proto = read_onnx(path)
    _, channels, height, width = (
        d.dim_value or None for d in real_inputs(proto)[0].type.tensor_type.shape.dim
    )
    if height and width and height != width:
        raise ArtifactError(f"{path}: the input is {height} x {width}, square inputs are supported")
    size = height or width
    output = proto.graph.output[0].type.tensor_type.shape.dim
    classes = output[1].dim_value if len(output) == 2 and output[1].dim_value else None
    names = len(options.class_names) if options.class_names else None
    for what, in_file, option, asked in (
        ("input size", size, "--input-size", options.input_size),
        ("channels", channels, "--channels", options.channels),
        ("classes", classes, "--num-classes", options.num_classes),
        ("classes", classes, "--class-names", names),
    ):
        if asked is not None and in_file is not None and asked != in_file:
            raise ArtifactError(f"{path}: the model has {what} {in_file}, {option} says {asked}")
    if size is None and options.input_size is None:
        raise ArtifactError(f"{path}: the input's size is dynamic", hint="pass --input-size PIXELS")
    completed = replace(
        options,
        channels=channels,
        input_size=size or options.input_size,
        num_classes=options.num_classes or classes,
    )
    return resolve(source.location, completed)


def import_onnx(path: Path, *, batch: int, input_size: int, opset: int) -> ir.Model:
    """Returns a user's ONNX file as a static graph, constants and BatchNorm folded.

    Args:
        batch: takes the place of the file's own batch, fixed or not.
        input_size: height and width, where the file leaves them open.

    Raises:
        ArtifactError: as `read_onnx`; sizes that cannot be made static; an opset that cannot be
            reached.
    """
    onnx = require("onnx", extra="export")
    version_converter = require("onnx.version_converter", extra="export")
    require("onnxscript", extra="export")
    proto = read_onnx(path)
    _fix_sizes(proto, batch=batch, input_size=input_size)
    try:
        if next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")) != opset:
            proto = version_converter.convert_version(proto, opset)
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be converted to opset {opset} at batch {batch}: {first_line(error)}"
        ) from error
    model = _folded(proto)
    model.graph.sort()
    if (reached := model.graph.opset_imports.get("", 0)) != opset:
        raise ArtifactError(f"{path}: converting gave opset {reached}, the target wants {opset}")
    name_nodes(model)
    check_static(model, dynamic_batch=False)
    return model


def _fix_sizes(proto: Any, *, batch: int, input_size: int) -> None:
    """Writes batch and size into the input, and takes every other shape away: they are inferred."""
    real = real_inputs(proto)
    # up to IR version 3 every weight was an input as well, which the optimizer would leave alone
    del proto.graph.input[:]
    proto.graph.input.extend(real)
    proto.ir_version = max(proto.ir_version, 8)
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for axis, value in ((0, batch), (2, input_size), (3, input_size)):
        if axis == 0 or not dims[axis].dim_value:
            dims[axis].ClearField("dim_param")
            dims[axis].dim_value = value
    for output in [*proto.graph.output, *proto.graph.value_info]:
        # stale symbolic or foreign batch sizes would contradict the inferred ones
        output.type.tensor_type.ClearField("shape")
    if batch != 1:
        _rebatch_constants(proto, batch)


def _rebatch_constants(proto: Any, batch: int) -> None:
    """Writes the batch into constant sizes: heads flatten with Reshape to [1, -1]."""
    numpy_helper = require("onnx", extra="export").numpy_helper
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in proto.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in proto.graph.node:
        index = _SIZES_INPUT.get(node.op_type)
        if index is None or len(node.input) <= index or node.input[index] not in constants:
            continue
        tensor = constants[node.input[index]]
        sizes = numpy_helper.to_array(tensor).copy()
        if sizes.size >= 2 and sizes[0] == 1:
            sizes[0] = batch
            tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))


def _folded(proto: Any) -> ir.Model:
    """The graph with its constants, and BatchNorm into the layers in front of it, folded."""
    ir_module = require("onnx_ir", extra="export")
    optimizer = require("onnxscript.optimizer", extra="export")
    rewriter = require("onnxscript.rewriter", extra="export")
    rules = require("onnxscript.rewriter.rules.common", extra="export")
    model: ir.Model = ir_module.serde.deserialize_model(proto)
    optimizer.optimize(model)
    rewriter.rewrite(
        model,
        [
            rules.fuse_batchnorm_into_conv_rule,
            rules.fuse_batchnorm_into_conv_transpose_rule,
            rules.fuse_batchnorm_into_gemm_rule,
        ],
    )
    return model


def check_weights(model: ir.Model, what: str) -> None:
    """Raises ArtifactError naming the first initializer that holds NaN or infinity.

    A lone infinity may bound a Clip.
    """
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if (
            array.dtype.kind == "f"
            and not np.isfinite(array).all()
            and not (array.size == 1 and np.isinf(array).all())
        ):
            bad = int((~np.isfinite(array)).sum())
            raise ArtifactError(
                f"{what}: {name!r} holds {bad} NaN or infinite values of {array.size}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )
