"""Decides where Q/DQ go, by the scheme: `place_openvino`, `place_tensorrt`."""

from __future__ import annotations

import difflib
import fnmatch
from typing import TYPE_CHECKING

from edge_scnet.errors import TargetError
from edge_scnet.graph.operators import COMPUTE_OPS
from edge_scnet.quantize.place_openvino import place_openvino
from edge_scnet.quantize.place_tensorrt import place_tensorrt
from edge_scnet.quantize.sites import Placement
from edge_scnet.quantize.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

_BY_SCHEME = {"openvino": place_openvino, "tensorrt": place_tensorrt}


def place(model: ir.Model, ranges: Ranges, scheme: QuantScheme) -> Placement:
    """Returns the placement and the parameters for a scheme.

    Raises:
        TargetError: a `keep_float` pattern that matches nothing.
    """
    _check_patterns(model, scheme.keep_float)
    return _BY_SCHEME[scheme.placement](model, ranges, scheme)


def _check_patterns(model: ir.Model, patterns: tuple[str, ...]) -> None:
    names = [
        (node.name or "").partition("#")[0] for node in model.graph if node.op_type in COMPUTE_OPS
    ]
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, n=3) or names[:3]
            raise TargetError(
                f"quant.keep_float: {pattern!r} matches no convolution or linear layer",
                hint=f"module names are like {', '.join(near)}",
            )
