"""ModelSpec: a model and its preprocessing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and its preprocessing.

    Pixels are divided by 255, then normalised by `mean` and `std` (one value per channel). `resize`
    is the short side before the centre crop to `input_size`; None means straight to `input_size`.
    `classes` may be empty: then outputs are numbered. `dataset` names the bundled data the model
    belongs to.
    """

    name: str
    arch: str
    channels: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    dataset: str | None = None
    weights: str | None = None
