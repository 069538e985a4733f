"""The record of one fault of a Q/DQ graph, and what the rules are told."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from edge_scnet.graph.openvino_lpt import PRESERVING
from edge_scnet.graph.pairs import label

if TYPE_CHECKING:
    import onnx_ir as ir

Severity = Literal["error", "warning"]  # wrong or refused; slower or less accurate than it could be
Scheme = Literal["openvino", "tensorrt", "onnxruntime"]

# Behind these operators a tensor still has its input's codes; TensorRT computes an AveragePool
# without Q/DQ of its own in float.
_MOVES = PRESERVING | {"Identity", "Dropout"}
KEEPS_CODES: dict[Scheme, frozenset[str]] = {
    "openvino": _MOVES,
    "tensorrt": _MOVES - {"AveragePool"},
    # its fused average pools have scales of their own
    "onnxruntime": _MOVES - {"AveragePool"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LintFinding:
    """One fault of a Q/DQ graph."""

    # A stable name, for filters and tests.
    rule: str
    # The node's name, or its output's where it has none.
    node: str
    problem: str
    fix: str
    severity: Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class LintOptions:
    """What the rules are told of the target, as in `lint`."""

    scheme: Scheme
    keep_float: tuple[str, ...]
    max_opset: int | None
    weight_bits: int | None
    # TensorRT-RTX, not another TensorRT
    rtx: bool = False

    @property
    def keeps_codes(self) -> frozenset[str]:
        """The operators whose output has the codes of their input."""
        return KEEPS_CODES[self.scheme]

    def is_kept_float(self, node: ir.Node) -> bool:
        """Whether a pattern of `keep_float` names the node."""
        name = (node.name or "").partition("#")[0]
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.keep_float)


Rule = Callable[["ir.Model", LintOptions], Iterator[LintFinding]]


def error(rule: str, node: ir.Node, problem: str, fix: str) -> LintFinding:
    """Makes the finding of a graph that a runtime refuses or gets wrong."""
    return LintFinding(rule=rule, node=label(node), problem=problem, fix=fix, severity="error")


def warning(rule: str, node: ir.Node, problem: str, fix: str) -> LintFinding:
    """Makes the finding of a graph that runs, but slower or less accurately than it could."""
    return LintFinding(rule=rule, node=label(node), problem=problem, fix=fix, severity="warning")
