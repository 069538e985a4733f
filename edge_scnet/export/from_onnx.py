"""PyTorch or a user's ONNX file to the ONNX file that every later stage reads: static, folded,
proven.

Owns the graph's form (opset, static sizes, BatchNorm folded into convolutions, nodes named after
PyTorch modules) and the parity check. Knows nothing of quantization or targets beyond the opset and
the batch it is told.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.static import check_static
from edge_scnet.graph.names import name_nodes

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.model_options import ModelOptions
    from edge_scnet.models.zoo import ModelSource

_QUANTIZED_OPS = frozenset(
    (
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
    )
)


def read_onnx(path: Path) -> Any:
    """A user's ONNX file as a protobuf, checked: valid, float, one N x C x H x W input, external
    data in its own folder.

    Raises:
        ArtifactError: it is none of that; names what was found.
    """
    onnx = require("onnx", extra="export")
    try:
        proto = onnx.load(str(path), load_external_data=False)
        _check_external_data(onnx, proto, path)
        onnx.load_external_data_for_model(proto, str(path.parent))
        onnx.checker.check_model(proto)
    except ArtifactError:
        raise
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except Exception as error:
        raise ArtifactError(
            f"{path} is not a valid ONNX file: {first_line(error)}",
            hint=(
                f"the file may be truncated ({path.stat().st_size:,} bytes): export or copy it"
                " again"
            ),
        ) from error
    if found := next(
        (node.op_type for node in proto.graph.node if node.op_type in _QUANTIZED_OPS), None
    ):
        raise ArtifactError(
            f"{path} is quantized already: it has {found}", hint="pass the float model"
        )

    inputs = real_inputs(proto)
    if len(inputs) != 1:
        raise ArtifactError(
            f"{path} has {len(inputs)} inputs ({', '.join(v.name for v in inputs)}), 1 is supported"
        )
    dims = inputs[0].type.tensor_type.shape.dim
    kind = onnx.TensorProto.DataType.Name(inputs[0].type.tensor_type.elem_type).lower()
    if len(dims) != 4 or kind != "float":
        raise ArtifactError(
            f"{path}: input {inputs[0].name!r} must be float N x C x H x W, it is {kind} with"
            f" {len(dims)} dimensions"
        )
    if not dims[1].dim_value:
        raise ArtifactError(
            f"{path}: the input's channels are dynamic",
            hint="export it with a fixed number of channels",
        )
    return proto


def probe_onnx(source: ModelSource, options: ModelOptions) -> ModelSource:
    """The source with its spec completed from the file: input channels and size, number of classes.

    Raises:
        ArtifactError: as `read_onnx`; a size, channels or classes that contradict the options; an
            input that is not square, or whose size is not given anywhere.
    """
    from edge_scnet.models import zoo

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
    named = len(options.class_names) if options.class_names else None
    for what, found, option, asked in (
        ("input size", size, "--input-size", options.input_size),
        ("channels", channels, "--channels", options.channels),
        ("classes", classes, "--num-classes", options.num_classes),
        ("classes", classes, "--class-names", named),
    ):
        if asked is not None and found is not None and asked != found:
            raise ArtifactError(f"{path}: the model has {what} {found}, {option} says {asked}")
    if size is None and options.input_size is None:
        raise ArtifactError(f"{path}: the input's size is dynamic", hint="pass --input-size PIXELS")
    options = replace(
        options,
        channels=channels,
        input_size=size or options.input_size,
        num_classes=options.num_classes or classes,
    )
    return zoo.resolve(source.location, options)


def real_inputs(proto: Any) -> list[Any]:
    """The inputs that are fed: old files list their weights among them."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in initializers]


def import_onnx(path: Path, *, batch: int, input_size: int, opset: int) -> ir.Model:
    """A user's ONNX file: constants and BatchNorm folded, batch (and size, where dynamic) made
    static, in `opset`.

    Raises:
        ArtifactError: as `read_onnx`; sizes that cannot be made static; an opset that cannot be
            reached.
    """
    onnx = require("onnx", extra="export")
    ir_module = require("onnx_ir", extra="export")
    require("onnxscript", extra="export")
    from onnx import version_converter
    from onnxscript import optimizer, rewriter
    from onnxscript.rewriter.rules.common import (
        fuse_batchnorm_into_conv_rule,
        fuse_batchnorm_into_conv_transpose_rule,
        fuse_batchnorm_into_gemm_rule,
    )

    proto = read_onnx(path)
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
    _rebatch_constants(onnx, proto, batch)
    try:
        if next(o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")) != opset:
            proto = version_converter.convert_version(proto, opset)
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be converted to opset {opset} at batch {batch}: {first_line(error)}"
        ) from error
    model: ir.Model = ir_module.serde.deserialize_model(proto)
    optimizer.optimize(model)
    rewriter.rewrite(
        model,
        [
            fuse_batchnorm_into_conv_rule,
            fuse_batchnorm_into_conv_transpose_rule,
            fuse_batchnorm_into_gemm_rule,
        ],
    )
    model.graph.sort()
    if (found := model.graph.opset_imports.get("", 0)) != opset:
        raise ArtifactError(f"{path}: converting gave opset {found}, the target wants {opset}")
    name_nodes(model)
    check_static(model, dynamic_batch=False)
    return model


def check_weights(model: ir.Model, what: str) -> None:
    """Raises ArtifactError naming the first initializer that holds NaN or infinity; a lone infinity
    may bound a Clip.
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


def external_files(path: Path) -> list[Path]:
    """The files that an ONNX file keeps its weights in, none where it holds them itself.

    Raises:
        ArtifactError: one of them is missing, or outside the model's folder.
    """
    onnx = require("onnx", extra="export")
    return _check_external_data(onnx, onnx.load(str(path), load_external_data=False), path)


def _check_external_data(onnx: Any, proto: Any, path: Path) -> list[Path]:
    folder = path.parent.resolve()
    files: dict[Path, None] = {}
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        location = next((e.value for e in tensor.external_data if e.key == "location"), "")
        target = folder / location
        if not target.resolve().is_relative_to(folder) or target.is_symlink():
            where = "a link" if target.is_symlink() else "outside the model's folder"
            raise ArtifactError(
                f"{path}: {tensor.name!r} has its data in {location!r}, {where}",
                hint=(
                    "save the model with its data beside it: onnx.save(model, path,"
                    " save_as_external_data=True)"
                ),
            )
        if not target.is_file():
            raise ArtifactError(
                f"{path}: the external data file {location!r} of {tensor.name!r} is missing",
                hint="copy it beside the model: it belongs to it",
            )
        files[target] = None
    return list(files)


def _rebatch_constants(onnx: Any, proto: Any, batch: int) -> None:
    """Classifier heads flatten with Reshape to [1, -1]: at another batch that constant must become
    [batch, -1].
    """
    if batch == 1:
        return
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in proto.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in proto.graph.node:
        index = {"Reshape": 1, "Resize": 3}.get(node.op_type)
        if index is None or len(node.input) <= index or node.input[index] not in constants:
            continue
        tensor = constants[node.input[index]]
        sizes = onnx.numpy_helper.to_array(tensor).copy()
        if sizes.size >= 2 and sizes[0] == 1:
            sizes[0] = batch
            tensor.CopyFrom(onnx.numpy_helper.from_array(sizes, tensor.name))
