"""Checks a Q/DQ graph, made here or by others, against a scheme; the graph is not changed.

`lint` tells what a runtime would refuse, get wrong or leave in float; each finding names the node
and the fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edge_scnet.errors import ArtifactError
from edge_scnet.graph.lint.bias_rules import biases
from edge_scnet.graph.lint.finding import LintFinding, LintOptions, Rule, Scheme
from edge_scnet.graph.lint.layer_rules import int8_layers, layers
from edge_scnet.graph.lint.onnx_rules import complete_pairs, opset, parameters
from edge_scnet.graph.lint.onnxruntime_rules import onnxruntime
from edge_scnet.graph.lint.openvino_rules import openvino
from edge_scnet.graph.lint.tensorrt_rules import tensorrt_operators, tensorrt_pairs, tensorrt_places

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["LintFinding", "Scheme", "int8_layers", "lint", "refuse"]

_COMMON: tuple[Rule, ...] = (opset, complete_pairs, parameters, layers, biases)
_BY_SCHEME: dict[Scheme, tuple[Rule, ...]] = {
    "openvino": (openvino,),
    "tensorrt": (tensorrt_operators, tensorrt_pairs, tensorrt_places),
    "onnxruntime": (onnxruntime,),
}


def lint(
    model: ir.Model,
    scheme: Scheme,
    *,
    keep_float: Sequence[str] = (),
    max_opset: int | None = None,
    weight_bits: int | None = None,
    rtx: bool = False,
) -> tuple[LintFinding, ...]:
    """Returns all findings, by rule and in the graph's order.

    Args:
        keep_float: patterns of node names (before "#") that are to stay in float.
        max_opset: the newest opset that the runtime reads. Up to 17 it is a TensorRT 8.
        weight_bits: what the instruction set carries (machine.isa.weight_bits); 7: codes from -64
            to 64.
        rtx: the target is TensorRT-RTX.
    """
    options = LintOptions(
        scheme=scheme,
        keep_float=tuple(keep_float),
        max_opset=max_opset,
        weight_bits=weight_bits,
        rtx=rtx,
    )
    rules = (*_COMMON, *_BY_SCHEME[scheme])
    return tuple(finding for rule in rules for finding in rule(model, options))


def refuse(file: Path | str, target: str, errors: Sequence[LintFinding]) -> None:
    """Raises ArtifactError with the first errors and the first fix, where there are errors."""
    if errors:
        shown = "".join(f"\n  {finding.node}: {finding.problem}" for finding in errors[:5])
        more = f"\n  and {len(errors) - 5} more" if len(errors) > 5 else ""
        raise ArtifactError(
            f"{file} is wrong for target {target}:{shown}{more}", hint=errors[0].fix
        )
