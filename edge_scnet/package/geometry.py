"""What of a preprocessing stands in generated code as numbers: the box to scale to, the padding."""

from __future__ import annotations

from dataclasses import dataclass

from edge_scnet.core.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """What crop and stretch scale pictures to, in pixels."""

    width: int
    height: int


def box_of(model: ModelSpec) -> Box:
    """The rectangle that pictures are scaled to, as `core.placement` has it."""
    side, short = model.preprocessing.short_side, min(model.height, model.width)
    scale = 1.0 if side is None else side / short
    return Box(width=round(model.width * scale), height=round(model.height * scale))


def pads_of(model: ModelSpec) -> tuple[int, ...]:
    """The codes around a letterboxed picture, by channel of the input."""
    pads = model.preprocessing.pad_value
    return pads if len(pads) == model.channels else pads[:1] * model.channels
