"""Records: what was quantized, from what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationScale:
    """Of one activation tensor: real value = (code - zero point) * scale."""

    scale: float
    zero_point: int
    codes: str  # "INT8", "UINT8"


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCodes:
    """Of one layer's weights."""

    distinct: int  # different codes in use, over all channels: at most 2 ** bits
    channels: int  # scales: 1 where it is per tensor
    scales: str  # `pack_scales` of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Every quantized tensor of a Q/DQ graph."""

    activations: dict[str, ActivationScale]  # by tensor
    weights: dict[str, WeightCodes]  # by layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a build was made from. Hashes are hex sha256; what a foreign Q/DQ graph does not tell is
    None.
    """

    weights: tuple[str, ...]  # of the checkpoint's files, or of a factory's state
    graph: str  # of the float graph's operators, connections and attributes, without weights
    float_onnx: str
    calibration_images: str | None
    calibrated_onnx: str | None  # the float graph that the statistics were collected on
    preprocessing: dict[str, Any]
    settings: dict[str, Any]  # of the target: all but its gates and words
    weight_bits: int
    made_elsewhere: bool  # the Q/DQ graph is another quantizer's
