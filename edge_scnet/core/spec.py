"""The record of a model and its preprocessing, which every stage uses."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and its preprocessing.

    Pixels are divided by 255, then normalised by `mean` and `std` (one value per channel).
    """

    name: str
    arch: str
    channels: int
    # height and width in pixels
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    # the short side before the centre crop to `input_size`; None: straight to `input_size`
    resize: int | None = None
    # names; empty: outputs are numbered
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    # the bundled data that the model belongs to
    dataset: str | None = None
    # the file of bundled weights
    weights: str | None = None
