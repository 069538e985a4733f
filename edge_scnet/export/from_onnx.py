"""A user's ONNX file made the graph that every later stage reads: static, folded, nodes named."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.batches import Batches, rebatch
from edge_scnet.export.convert import convert_opset, inlined
from edge_scnet.export.float32 import follow_float_input, raise_to_float32, rounding_of
from edge_scnet.export.fold import check_consistent, fold
from edge_scnet.export.inputs import InputPlan, apply_plan, plan_inputs
from edge_scnet.export.onnx_file import read_onnx
from edge_scnet.export.open_outputs import check_batch, check_open_outputs, may_count
from edge_scnet.export.outputs import name_apart, part_outputs, put_nodes_behind
from edge_scnet.export.static import check_static
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import opset_of
from edge_scnet.graph.names import name_nodes
from edge_scnet.models.zoo import ModelSource, resolve

if TYPE_CHECKING:
    import onnx_ir as ir


# Layers whose stored inputs are weights, which are finite.
_WEIGHTED = frozenset(
    {
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "Einsum",
        "GRU",
        "Gemm",
        "GroupNormalization",
        "InstanceNormalization",
        "LSTM",
        "LayerNormalization",
        "MatMul",
        "PRelu",
        "RNN",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A user's file as a prepared graph."""

    model: ir.Model
    # how the file's own inputs are fed
    plan: InputPlan
    # what the graph is compared with: the file, or the same with nodes named apart
    file: Path | ir.Model
    # which outputs have other names than in the file, or no fixed size, in words
    output_notes: tuple[str, ...] = ()
    batches: Batches
    # the folded graph in the file's opset, with the file's own batch and with the wanted one; None
    # where both are 1
    static: tuple[ir.Model, ir.Model] | None = None
    # of a file with other real numbers: the file, with its own batch, with float32 in their place
    raised: ir.Model | None = None
    # how far that may lie from the file, as a share of an output's range
    rounding: float = 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """What becomes of the file's inputs and numbers, in words."""
        if self.raised is None:
            return (*self.plan.notes, *self.output_notes)
        return (
            *self.plan.notes,
            *self.output_notes,
            "real numbers of other types are float32 here",
        )


def probe_onnx(source: ModelSource, options: ModelOptions) -> ModelSource:
    """Returns the source with its spec completed from the file.

    The file gives the inputs' shapes and the number of classes.

    Raises:
        ArtifactError: as `read_onnx` and `plan_inputs`; classes that contradict the options.
    """
    path = Path(source.location)
    proto = read_onnx(path)
    plan = plan_inputs(proto, path, options)
    classes = _classes_of(proto, plan)
    names = len(options.class_names) if options.class_names else None
    for option, asked in (("--num-classes", options.num_classes), ("--class-names", names)):
        if asked is not None and classes is not None and asked != classes:
            raise ArtifactError(
                f"{path}: the model has {classes} classes, {option} says {asked}",
                hint=(
                    "leave it out: the file says it"
                    if option == "--num-classes"
                    else f"name all {classes}, in the order of the output's columns"
                ),
            )
    said = (options.mean, options.preprocess, options.pixel_max) != (None, None, None)
    if plan.first.dtype == "uint8" and len(plan.input_shape) == 3 and not said:
        # bytes are pixels from 0 to 255
        channels = plan.input_shape[0]
        std = options.std or (1 / 255,) * channels
        options = replace(options, mean=(0.0,) * channels, std=std)
    completed = replace(
        options,
        channels=None,
        input_size=None,
        input_shape=plan.input_shape,
        num_classes=options.num_classes or classes,
    )
    resolved = resolve(source.location, completed)
    if classes is not None and options.num_classes is None and names is None:
        resolved = replace(resolved, spec=replace(resolved.spec, classes_counted=True))
    if not plan.more:
        return resolved
    spec = replace(resolved.spec, input_name=plan.first.name, more_inputs=plan.more)
    return replace(resolved, spec=spec)


def _classes_of(proto: Any, plan: InputPlan) -> int | None:
    """How many classes the first output can hold; None: it holds none."""
    output = proto.graph.output[0]
    sizes = output.type.tensor_type.shape.dim
    if len(sizes) != 2 or not sizes[1].dim_value:
        return None
    if may_count(proto):
        # folding may leave nothing to count: exporters write indices of constants so
        static = _static(inlined(proto), plan, batch=plan.first.shape[0] or 1)
        if output.name in counted_outputs(static.graph):
            return None
    classes: int = sizes[1].dim_value
    return classes


def import_onnx(path: Path, options: ModelOptions, *, batch: int, opset: int) -> Imported:
    """Returns a user's ONNX file as a static graph, constants and BatchNorm folded.

    Args:
        options: the sizes that the file leaves open, and the inputs that are fixed.
        batch: takes the place of the file's own batch, fixed or not.

    Raises:
        ArtifactError: as `read_onnx` and `plan_inputs`; sizes that cannot be made static; an opset
            that cannot be reached; as `check_batch` and `check_open_outputs`.
    """
    onnx = require("onnx", extra="cpu")
    ir_module = require("onnx_ir", extra="cpu")
    require("onnxscript", extra="cpu")
    proto = inlined(read_onnx(path))
    renamed = ir_module.serde.deserialize_model(proto) if name_apart(proto) else None
    output_notes = part_outputs(proto)
    plan = plan_inputs(proto, path, options)
    batches = Batches(own=plan.first.shape[0] or 1, wanted=batch)
    unfolded, is_raised = _fed(proto, plan, batch=batches.own)
    raised = ir_module.serde.deserialize_model(unfolded) if is_raised else None
    del unfolded  # it holds the weights once more
    static = _static(proto, plan, batch=batch)
    alone = static
    if batches.own != batches.wanted:
        alone = _static(proto, plan, batch=batches.own)
        check_consistent(alone, path)
    check_batch(alone, path, batch=batch)
    if batches.own != batches.wanted:
        rebatch(static, alone, batches)
    rounding = rounding_of(proto)
    proto = ir_module.serde.serialize_model(static)
    is_newer = opset_of(proto) > opset
    proto = convert_opset(proto, opset, path)
    try:
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot be converted to opset {opset} at batch {batch}: {first_line(error)}",
            hint=f"export it again in opset {opset}: torch.onnx.export(..., opset_version={opset})",
        ) from error
    model = _folded(proto, written_out=is_newer)
    put_nodes_behind(model.graph)
    model.graph.sort()
    if (reached := model.graph.opset_imports.get("", 0)) != opset:
        raise ArtifactError(
            f"{path}: converting gave opset {reached}, the target wants {opset}",
            hint=f"export it again in opset {opset}: torch.onnx.export(..., opset_version={opset})",
        )
    name_nodes(model)
    output_notes += check_open_outputs(model, path, named_as_in_file=static)
    check_static(model, dynamic_batch=False, may_count=True)
    return Imported(
        model=model,
        plan=plan,
        file=renamed or path,
        output_notes=output_notes,
        batches=batches,
        static=(alone, static) if (batches.own, batches.wanted) != (1, 1) else None,
        raised=raised,
        rounding=rounding,
    )


def _static(proto: Any, plan: InputPlan, *, batch: int) -> ir.Model:
    """A file whose inputs have their sizes, with all that follows from them folded."""
    serde = require("onnx_ir", extra="cpu").serde
    model: ir.Model = serde.deserialize_model(_fed(proto, plan, batch=batch)[0])
    fold(model)
    return model


def _fed(proto: Any, plan: InputPlan, *, batch: int) -> tuple[Any, bool]:
    """A copy of a file that is fed like the prepared graph, and whether its types were raised."""
    copy = require("onnx", extra="cpu").ModelProto()
    copy.CopyFrom(proto)
    apply_plan(copy, plan, batch=batch)
    copy.ir_version = max(copy.ir_version, 8)
    # stale symbolic or foreign batch sizes would contradict the inferred ones; inference does
    # not complete an entry of `value_info` that has a type and no shape, so the entries go whole
    del copy.graph.value_info[:]
    for output in copy.graph.output:
        output.type.tensor_type.ClearField("shape")
    if plan.first.dtype == "uint8":
        follow_float_input(copy, plan.first.name)
    given = {plan.first.dtype, *plan.more_types.values()}
    return copy, raise_to_float32(copy) or bool(given & {"float16", "float64"})


def _folded(proto: Any, *, written_out: bool) -> ir.Model:
    """The graph with its constants, and BatchNorm into the layers in front of it, folded.

    Args:
        written_out: operators may have become others that compute shapes.
    """
    ir_module = require("onnx_ir", extra="cpu")
    optimizer = require("onnxscript.optimizer", extra="cpu")
    rewriter = require("onnxscript.rewriter", extra="cpu")
    rules = require("onnxscript.rewriter.rules.common", extra="cpu")
    model: ir.Model = ir_module.serde.deserialize_model(proto)
    if written_out:
        fold(model)
    with _quiet("onnx_ir", "onnxscript"):
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


@contextlib.contextmanager
def _quiet(*loggers: str) -> Iterator[None]:
    """Silences what libraries log of the steps that they leave out."""
    levels = {name: logging.getLogger(name).level for name in loggers}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def check_weights(model: ir.Model, what: str) -> None:
    """Raises ArtifactError naming the first weights that hold NaN or infinity.

    Infinities that are no layer's weights are meant: they mask attention and bound a Clip.
    """
    for name, value in model.graph.initializers.items():
        array = value.const_value.numpy() if value.const_value is not None else np.zeros(0)
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        if np.isnan(array).any() or any(use.node.op_type in _WEIGHTED for use in value.uses()):
            bad = int((~np.isfinite(array)).sum())
            raise ArtifactError(
                f"{what}: {name!r} holds {bad} NaN or infinite values of {array.size}",
                hint="the checkpoint is damaged or its training diverged: use an earlier one",
            )
