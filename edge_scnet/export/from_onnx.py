"""PyTorch or a user's ONNX file to the ONNX file that every later stage reads: static, folded, proven.

Owns the graph's form (opset, static sizes, BatchNorm folded into convolutions, nodes named after PyTorch modules) and
the parity check. Knows nothing of quantization or targets beyond the opset and the batch it is told.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.core.manifest import write_atomic
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError
from edge_scnet.export.opset import OLDEST_EXPORTED, lower

if TYPE_CHECKING:
    import onnx_ir as ir
    from torch import Tensor, nn

    from edge_scnet.models.zoo import ModelOptions, ModelSource

# Always shape arithmetic, and shape arithmetic where their indices are computed: a Slice of data by constants is neither.
_SHAPE_OPS = frozenset({"Shape", "NonZero", "Size", "Range", "ConstantOfShape"})
_INDEXED_OPS = frozenset({"Slice", "Gather", "Expand"})
# Resize's batch entry is the only thing a dynamic graph may compute: Shape -> Concat -> Resize (sizes)
_DYNAMIC_BATCH_OPS = frozenset({"Shape"})
_QUANTIZED_OPS = frozenset(
    (
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger",
        "MatMulInteger",
    )
)  # fmt: skip
MODULE_KEY = "edge_scnet.module"
SCOPE_KEY = "edge_scnet.scope"  # the leaf module whose output a node gives


def export_torch(model: nn.Module, input_shape: Sequence[int], *, opset: int, dynamic_batch: bool = False) -> ir.Model:
    """A PyTorch module in eval mode as an ONNX graph; `input_shape` is N x C x H x W.

    Raises:
        ArtifactError: the module cannot run on this shape or gives no tensors; the exporter failed, gave another opset than
            asked for, or left shape arithmetic in the graph.
    """
    torch = require("torch", extra="export")
    require("onnxscript", extra="export")
    example = torch.zeros(*input_shape) if not dynamic_batch else torch.zeros(2, *input_shape[1:])
    # the exporter's own words for an input that the module cannot take are a page long and name neither
    outputs_of(model, example)
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}} if dynamic_batch else None
    with _quiet_exporter():
        try:
            program = torch.onnx.export(
                model, (example,), dynamo=True, opset_version=max(opset, OLDEST_EXPORTED), verbose=False, optimize=True,
                input_names=["input"], dynamic_shapes=tuple(shapes.values()) if shapes else None,
            )  # fmt: skip
        except Exception as error:
            raise ArtifactError(
                f"torch.onnx.export failed on {type(model).__name__}: {first_line(error.__cause__ or error)}",
                hint="the module must be traceable by torch.export: try torch.export.export(model, (example,)) to see why",
            ) from error
    graph_model: ir.Model = program.model
    found = graph_model.opset_imports.get("", 0)
    # asked for 17 the dynamo exporter logs a traceback and returns 18 without an exception
    if found != max(opset, OLDEST_EXPORTED):
        raise ArtifactError(f"the exporter wrote opset {found}, the target wants {opset}")
    if len(graph_model.graph.outputs) == 1:
        graph_model.graph.outputs[0].name = "logits"
    _name_nodes(graph_model)
    check_static(graph_model, dynamic_batch=dynamic_batch)
    return graph_model if opset >= OLDEST_EXPORTED else lower(graph_model, opset)


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def outputs_of(model: nn.Module, data: Tensor) -> list[np.ndarray]:
    """A module's outputs as a list, whether it returns one tensor or several.

    Raises:
        ArtifactError: it cannot run on this input, or returns something else.
    """
    torch = require("torch", extra="export")
    try:
        with torch.inference_mode():
            outputs = model(data)
    except Exception as error:
        raise ArtifactError(
            f"{type(model).__name__} does not run on a {' x '.join(map(str, data.shape))} input: {first_line(error)}",
            hint="does --input-size fit the model? SCNet-50 and SCNet-101 need 97 pixels and more",
        ) from error
    outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
    if wrong := [type(output).__name__ for output in outputs if not isinstance(output, torch.Tensor)]:
        raise ArtifactError(f"{type(model).__name__} returns a {wrong[0]}; a tensor or a tuple of tensors is needed")
    return [output.numpy() for output in outputs]


def read_onnx(path: Path) -> Any:
    """A user's ONNX file as a protobuf, checked: valid, float, one N x C x H x W input, external data in its own folder.

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
            hint=f"the file may be truncated ({path.stat().st_size:,} bytes): export or copy it again",
        ) from error
    if found := next((node.op_type for node in proto.graph.node if node.op_type in _QUANTIZED_OPS), None):
        raise ArtifactError(f"{path} is quantized already: it has {found}", hint="pass the float model")

    inputs = real_inputs(proto)
    if len(inputs) != 1:
        raise ArtifactError(f"{path} has {len(inputs)} inputs ({', '.join(v.name for v in inputs)}), 1 is supported")
    dims = inputs[0].type.tensor_type.shape.dim
    kind = onnx.TensorProto.DataType.Name(inputs[0].type.tensor_type.elem_type).lower()
    if len(dims) != 4 or kind != "float":
        raise ArtifactError(
            f"{path}: input {inputs[0].name!r} must be float N x C x H x W, it is {kind} with {len(dims)} dimensions"
        )
    if not dims[1].dim_value:
        raise ArtifactError(f"{path}: the input's channels are dynamic", hint="export it with a fixed number of channels")
    return proto


def probe_onnx(source: ModelSource, options: ModelOptions) -> ModelSource:
    """The source with its spec completed from the file: input channels and size, number of classes.

    Raises:
        ArtifactError: as `read_onnx`; a size, channels or classes that contradict the options; an input that is not square,
            or whose size is not given anywhere.
    """
    from edge_scnet.models import zoo

    path = Path(source.location)
    proto = read_onnx(path)
    _, channels, height, width = (d.dim_value or None for d in real_inputs(proto)[0].type.tensor_type.shape.dim)
    if height and width and height != width:
        raise ArtifactError(f"{path}: the input is {height} x {width}, square inputs are supported")
    size = height or width
    output = proto.graph.output[0].type.tensor_type.shape.dim
    classes = output[1].dim_value if len(output) == 2 and output[1].dim_value else None
    named = len(options.class_names) if options.class_names else None
    for what, found, option, asked in (
        ("input size", size, "--input-size", options.input_size), ("channels", channels, "--channels", options.channels),
        ("classes", classes, "--num-classes", options.num_classes), ("classes", classes, "--class-names", named),
    ):  # fmt: skip
        if asked is not None and found is not None and asked != found:
            raise ArtifactError(f"{path}: the model has {what} {found}, {option} says {asked}")
    if size is None and options.input_size is None:
        raise ArtifactError(f"{path}: the input's size is dynamic", hint="pass --input-size PIXELS")
    options = replace(
        options, channels=channels, input_size=size or options.input_size, num_classes=options.num_classes or classes
    )
    return zoo.resolve(source.location, options)


def real_inputs(proto: Any) -> list[Any]:
    """The inputs that are fed: old files list their weights among them."""
    initializers = {tensor.name for tensor in proto.graph.initializer}
    return [value for value in proto.graph.input if value.name not in initializers]


def import_onnx(path: Path, *, batch: int, input_size: int, opset: int) -> ir.Model:
    """A user's ONNX file: constants and BatchNorm folded, batch (and size, where dynamic) made static, in `opset`.

    Raises:
        ArtifactError: as `read_onnx`; sizes that cannot be made static; an opset that cannot be reached.
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
        raise ArtifactError(f"{path} cannot be converted to opset {opset} at batch {batch}: {first_line(error)}") from error
    model: ir.Model = ir_module.serde.deserialize_model(proto)
    optimizer.optimize(model)
    rewriter.rewrite(
        model, [fuse_batchnorm_into_conv_rule, fuse_batchnorm_into_conv_transpose_rule, fuse_batchnorm_into_gemm_rule]
    )
    model.graph.sort()
    if (found := model.graph.opset_imports.get("", 0)) != opset:
        raise ArtifactError(f"{path}: converting gave opset {found}, the target wants {opset}")
    _name_nodes(model)
    check_static(model, dynamic_batch=False)
    return model


def check_static(model: ir.Model, *, dynamic_batch: bool) -> None:
    """Refuses shape arithmetic: OpenVINO engines with dynamic shapes are 1.5 to 2 times slower, TensorRT's fail later.

    Raises:
        ArtifactError: names the first offending node.
    """
    ir = require("onnx_ir", extra="export")
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        if node.op_type not in _SHAPE_OPS and not (node.op_type in _INDEXED_OPS and _indices_are_computed(node)):
            continue
        if dynamic_batch and node.op_type in _DYNAMIC_BATCH_OPS and _only_feeds_resize_sizes(node):
            continue
        raise ArtifactError(
            f"the exported graph computes shapes at run time: {node.op_type} at {module_of(node)}",
            hint="give the module static sizes (F.interpolate to x.shape[2:], not to a tensor), or simplify the ONNX file",
        )


def _indices_are_computed(node: ir.Node) -> bool:
    return any(value is not None and not (value.is_initializer() or _is_constant(value)) for value in node.inputs[1:])


def _is_constant(value: ir.Value) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type == "Constant"


def _only_feeds_resize_sizes(node: ir.Node) -> bool:
    pending = list(node.outputs[0].uses())
    while pending:
        use = pending.pop()
        if use.node.op_type == "Concat":
            pending += use.node.outputs[0].uses()
        elif not (use.node.op_type == "Resize" and use.idx == 3):
            return False
    return True


def check_weights(model: ir.Model, what: str) -> None:
    """Raises ArtifactError naming the first initializer that holds NaN or infinity; a lone infinity may bound a Clip."""
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if array.dtype.kind == "f" and not np.isfinite(array).all() and not (array.size == 1 and np.isinf(array).all()):
            bad = int((~np.isfinite(array)).sum())
            raise ArtifactError(
                f"{what}: {name!r} holds {bad} NaN or infinite values of {array.size}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )


def module_of(node: ir.Node) -> str:
    """The PyTorch module a node came from ("layer1.0.scconv.k2.1"), else the node's name."""
    return node.metadata_props.get(MODULE_KEY) or node.name or node.op_type


def save(model: ir.Model, path: Path) -> None:
    """Writes the graph in one file, whole or not at all."""
    ir = require("onnx_ir", extra="export")
    with write_atomic(path) as temporary:
        ir.save(model, temporary)


def _name_nodes(model: ir.Model) -> None:
    """Names every node after its module, and drops the exporter's metadata (stack traces hold the machine's paths)."""
    graph = model.graph
    kept = {id(value) for value in graph.outputs}
    taken = {str(value.name) for value in [*graph.inputs, *graph.outputs]} | set(graph.initializers)
    used: dict[str, int] = {}
    for node in graph:
        module = _module_name(node)
        base = module if node.op_type in ("Conv", "Gemm", "ConvTranspose") and module else f"{module or 'graph'}/{node.op_type}"
        if not module and node.name and not node.name.startswith("node_"):
            base = node.name
        elif not module and node.op_type == "Conv" and node.inputs[1] is not None and node.inputs[1].name:
            base = node.inputs[1].name  # folding a BatchNorm loses the convolution's name
        used[base] = used.get(base, 0) + 1
        node.name = base if used[base] == 1 else f"{base}#{used[base]}"
        scope = _scope(node)
        node.metadata_props.clear()
        node.doc_string = None
        if module:
            node.metadata_props[MODULE_KEY] = module
        if scope:
            # the leaf module whose output this is (a BatchNorm, where it was folded): parity compares there
            node.metadata_props[SCOPE_KEY] = scope
    for node in graph:
        for index, value in enumerate(node.outputs):
            value.metadata_props.clear()
            if id(value) not in kept:
                # runtimes name their layers after tensors: so these, too, carry the module's name; a module called "input"
                # or "logits" must not take the graph's
                plain = index == 0 and node.name not in taken
                value.name = node.name if plain else f"{node.name}:{index}"
    for value in (*graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
    graph.metadata_props.clear()
    model.metadata_props.clear()
    model.doc_string = None
    model.graph.doc_string = None
    model.producer_name, model.producer_version = "edge-scnet", None


def _scope(node: ir.Node) -> str:
    import ast

    scopes = node.metadata_props.get("pkg.torch.onnx.name_scopes", "")
    names = ast.literal_eval(scopes) if scopes else []
    return str(names[-2]) if len(names) >= 2 else ""


def _module_name(node: ir.Node) -> str:
    if node.op_type in ("Conv", "Gemm", "ConvTranspose") and len(node.inputs) > 1:
        weight = node.inputs[1]
        # after folding, the scope names the BatchNorm; the weight still has the convolution's own name
        if weight is not None and weight.name and weight.name.endswith(".weight"):
            return weight.name.removesuffix(".weight")
    return _scope(node)


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
                hint="save the model with its data beside it: onnx.save(model, path, save_as_external_data=True)",
            )
        if not target.is_file():
            raise ArtifactError(
                f"{path}: the external data file {location!r} of {tensor.name!r} is missing",
                hint="copy it beside the model: it belongs to it",
            )
        files[target] = None
    return list(files)


def _rebatch_constants(onnx: Any, proto: Any, batch: int) -> None:
    """Classifier heads flatten with Reshape to [1, -1]: at another batch that constant must become [batch, -1]."""
    if batch == 1:
        return
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in proto.graph.node if node.op_type == "Constant"
        for attribute in node.attribute if attribute.name == "value"
    }  # fmt: skip
    for node in proto.graph.node:
        index = {"Reshape": 1, "Resize": 3}.get(node.op_type)
        if index is None or len(node.input) <= index or node.input[index] not in constants:
            continue
        tensor = constants[node.input[index]]
        sizes = onnx.numpy_helper.to_array(tensor).copy()
        if sizes.size >= 2 and sizes[0] == 1:
            sizes[0] = batch
            tensor.CopyFrom(onnx.numpy_helper.from_array(sizes, tensor.name))


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns of operators of packages that are not installed and logs tracebacks; errors come as exceptions."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
