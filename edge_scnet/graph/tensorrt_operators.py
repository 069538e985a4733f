"""The operators that TensorRT's parsers know, so that others are named before one is asked.

From the import functions of onnx-tensorrt 8.5, 8.6 and 10.1, and from what the parser of
TensorRT-RTX 1.7 says of each (`OnnxParser.supports_operator`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge_scnet.core.optional import require

if TYPE_CHECKING:
    import onnx_ir as ir

_SINCE_8_5 = (
    "Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool"
    " BatchNormalization Cast Ceil Celu Clip Concat Constant ConstantOfShape Conv"
    " ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout Einsum Elu"
    " Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gemm"
    " GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample"
    " HardSigmoid HardSwish Identity If ImageScaler InstanceNormalization IsNaN LRN LSTM"
    " LeakyRelu Less LessOrEqual Log LogSoftmax Loop LpNormalization LpPool MatMul Max"
    " MaxPool Mean MeanVarianceNormalization Min Mod Mul Neg NonMaxSuppression NonZero Not"
    " OneHot Or PRelu Pad ParametricSoftplus Pow QuantizeLinear RNN RandomNormal"
    " RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2"
    " ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
    " ReduceSumSquare Relu Reshape Resize ReverseSequence RoiAlign Round ScaledTanh Scan"
    " Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice"
    " Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh"
    " ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor"
)
_SINCE_10 = "CastLike DeformConv Gelu GroupNormalization Hardmax IsInf LayerNormalization Mish"
_RTX = (
    "Attention BlackmanWindow HammingWindow HannWindow RMSNormalization RotaryEmbedding STFT"
    " Swish TensorScatter"
)
# Known to the parser of TensorRT-RTX: its builder "has no runners that implement" the first, and of
# the second "NonZero plugin creator version 1 was not found in plugin registry".
_RTX_WITHOUT_KERNEL = frozenset({"NonMaxSuppression", "NonZero"})
_TENSORRT_8 = frozenset(_SINCE_8_5.split())
_TENSORRT_10 = _TENSORRT_8 | frozenset(_SINCE_10.split())
_TENSORRT_RTX = (_TENSORRT_10 | frozenset(_RTX.split())) - {
    "DeformConv",
    "ImageScaler",
    "ParametricSoftplus",
    "ScaledTanh",
}
_ONNX_DOMAINS = ("", "ai.onnx")


def unknown_operators(
    model: ir.Model, *, tensorrt_8: bool, rtx: bool
) -> Iterator[tuple[ir.Node, str]]:
    """Yields the nodes that a parser does not know, in graphs inside nodes as well, and why.

    Args:
        tensorrt_8: 8.5 or 8.6, not 10 and newer.
        rtx: TensorRT-RTX.
    """
    title = "TensorRT-RTX" if rtx else "TensorRT 8" if tensorrt_8 else "TensorRT"
    known = _TENSORRT_RTX if rtx else _TENSORRT_8 if tensorrt_8 else _TENSORRT_10
    traversal = require("onnx_ir", extra="quantize").traversal
    for node in traversal.RecursiveGraphIterator(model.graph):
        if node.domain not in _ONNX_DOMAINS:
            yield node, f"{title} does not know {node.op_type} of {node.domain}"
        elif node.op_type not in known:
            yield node, f"{title} does not know {node.op_type}"
        elif rtx and node.op_type in _RTX_WITHOUT_KERNEL:
            yield node, f"{title} has no kernel for {node.op_type}"
