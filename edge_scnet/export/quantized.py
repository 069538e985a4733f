"""A quantized file made to fit its prepared float graph: the inputs, and the opset of a target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.optional import require
from edge_scnet.errors import ArtifactError, first_line
from edge_scnet.export.convert import convert_opset
from edge_scnet.export.inputs import apply_plan, plan_inputs
from edge_scnet.graph.model import opset_of

if TYPE_CHECKING:
    import onnx_ir as ir


def with_fixed_inputs(
    model: ir.Model, path: Path, options: ModelOptions, *, batch: int
) -> ir.Model:
    """Returns a quantized graph with the inputs that a float graph of these options has.

    Args:
        options: the sizes that the file leaves open, and the inputs that are fixed.
        batch: of an input whose batch is open.

    Raises:
        ArtifactError: as `plan_inputs`; sizes that contradict the graph.
    """
    onnx, ir_module = require("onnx", extra="cpu"), require("onnx_ir", extra="cpu")
    proto = ir_module.to_proto(model)
    names = {value.name for value in proto.graph.input}
    # a file that was made of a build's model.onnx has them fixed already
    fixes = tuple(
        fix for fix in options.fix or () if any(fix.startswith(f"{name}=") for name in names)
    )
    plan = plan_inputs(proto, path, replace(options, fix=fixes))
    declared = plan.first.shape[0]
    is_static = None not in plan.first.shape
    if is_static and not (plan.channels_last or plan.fixed) and plan.first.dtype == "float32":
        return model
    apply_plan(proto, plan, batch=declared or batch)
    # symbolic sizes would contradict those that are inferred; entries that have a type and no shape
    # are not completed
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        proto = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ArtifactError(
            f"{path} cannot take {' x '.join(map(str, plan.input_shape))}: {first_line(error)}",
            hint="inputs that it can take: --input-shape C,H,W, or --fix NAME=SIZES",
        ) from error
    fixed: ir.Model = ir_module.from_proto(proto)
    return fixed


def in_opset(model: ir.Model, path: Path, opset: int) -> ir.Model:
    """Returns a quantized graph in a target's opset: FP16 scales need 19, TensorRT 8 reads 17.

    Raises:
        ArtifactError: as `convert_opset`.
    """
    ir_module = require("onnx_ir", extra="cpu")
    proto = ir_module.to_proto(model)
    if opset_of(proto) == opset:
        return model
    converted: ir.Model = ir_module.from_proto(convert_opset(proto, opset, path))
    return converted
