"""The nine options of a model, once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """What the user says of a model that the zoo does not know. None: the architecture's own value."""

    arch: str | None = None
    num_classes: int | None = None
    channels: int | None = None
    input_size: int | None = None
    resize: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None
    name: str | None = None
