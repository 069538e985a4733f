"""Decides where Q/DQ go, by the scheme: `place_openvino`, `place_tensorrt`, `place_onnxruntime`."""

from __future__ import annotations

import difflib
import fnmatch
import glob
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from edge_scnet.errors import TargetError
from edge_scnet.graph.operators import COMPUTE_OPS
from edge_scnet.quantizer.coverage import names_of
from edge_scnet.quantizer.place_onnxruntime import place_onnxruntime
from edge_scnet.quantizer.place_openvino import place_openvino
from edge_scnet.quantizer.place_tensorrt import place_tensorrt
from edge_scnet.quantizer.sites import Placement, quantized_nodes
from edge_scnet.quantizer.statistics import Ranges

if TYPE_CHECKING:
    import onnx_ir as ir

    from edge_scnet.config.target import QuantScheme

_BY_SCHEME = {
    "openvino": place_openvino,
    "tensorrt": place_tensorrt,
    "onnxruntime": place_onnxruntime,
}


def place(
    model: ir.Model, ranges: Ranges, scheme: QuantScheme, keep_float: Collection[str] = ()
) -> Placement:
    """Returns the placement and the parameters for a scheme.

    Args:
        keep_float: names of nodes that stay in float, besides those of the scheme's patterns.

    Raises:
        TargetError: a `keep_float` pattern or name that matches nothing.
        DataError: a tensor that is to be quantized was not finite on a calibration image.
    """
    layers = [node for node in model.graph if node.op_type in COMPUTE_OPS]
    _check(scheme.keep_float, [name for node in layers for name in sorted(names_of(node))])
    _check(tuple(map(glob.escape, keep_float)), [str(node.name) for node in layers])
    return _BY_SCHEME[scheme.placement](
        model, ranges, scheme, quantized_nodes(model, scheme, keep_float)
    )


def _check(patterns: tuple[str, ...], names: Sequence[str]) -> None:
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            near = difflib.get_close_matches(pattern, names, n=3) or names[:3]
            raise TargetError(
                f"quant.keep_float: {pattern!r} matches no convolution or linear layer",
                hint=f"module names are like {', '.join(near)}",
            )
