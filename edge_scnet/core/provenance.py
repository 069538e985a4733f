"""Records of what was quantized, and of what it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationScale:
    """The scale of one activation tensor: real value = (code - zero point) * scale."""

    scale: float
    zero_point: int
    codes: Annotated[str, Meta(description="INT8 or UINT8")]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightCodes:
    """The codes and scales of one layer's weights."""

    distinct: Annotated[
        int, Meta(description="different codes in use, over all channels: at most 2 ** bits")
    ]
    channels: Annotated[int, Meta(description="number of scales: 1 where the scale is per tensor")]
    scales: Annotated[str, Meta(description="the scales, packed by `pack_scales`")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """Every quantized tensor of a Q/DQ graph."""

    activations: Annotated[dict[str, ActivationScale], Meta(description="by tensor")]
    weights: Annotated[dict[str, WeightCodes], Meta(description="by layer")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """What a build was made from.

    Hashes are hex sha256; what a foreign Q/DQ graph does not tell is None.
    """

    weights: Annotated[
        tuple[str, ...],
        Meta(description="hashes of the checkpoint's files, or of a factory's state"),
    ]
    graph: Annotated[
        str,
        Meta(
            description="hash of the float graph's operators, connections and attributes, without"
            " weights"
        ),
    ]
    float_onnx: str
    calibration_images: str | None
    calibrated_onnx: Annotated[
        str | None,
        Meta(description="hash of the float graph that the statistics were collected on"),
    ]
    preprocessing: dict[str, Any]
    settings: Annotated[
        dict[str, Any], Meta(description="the target's settings, without its gates and words")
    ]
    weight_bits: int
    made_elsewhere: Annotated[bool, Meta(description="another quantizer made the Q/DQ graph")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """What --recover came to. SQNR is that of the simulated graph on held-out samples, in dB."""

    minutes: Annotated[float, Meta(description="as asked for")]
    kept: Annotated[bool, Meta(description="False: the quantized graph stays as it was")]
    outcome: Annotated[str, Meta(description="why it ended, or why nothing was learned; in words")]
    steps: int = 0
    planned_steps: int = 0
    samples: Annotated[int, Meta(description="calibration samples to learn from")] = 0
    held_out: Annotated[int, Meta(description="calibration samples to be judged by")] = 0
    before_db: float | None = None
    after_db: float | None = None
    seed: int = 0
