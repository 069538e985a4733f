"""The record of a model, its inputs and its preprocessing, which every stage uses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edge_scnet.core.preprocessing import Preprocessing

# A sample of 1 GB.
MOST_VALUES = 250_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input of a network as the prepared graph takes it."""

    name: str
    # of one sample, without the batch axis
    shape: tuple[int, ...]
    # NumPy's name of the type
    dtype: str = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """What a network is for, which decides the figure that it is judged by."""

    # one of `tasks.registry`, or package.module:evaluator
    kind: str
    # of the evaluator: threshold, decode, ...; values that JSON has
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model, its inputs and its preprocessing."""

    name: str
    arch: str
    # of one sample of the first input as the prepared graph takes it, without the batch axis;
    # C x H x W for pictures; its type is float32
    input_shape: tuple[int, ...]
    # of pictures
    preprocessing: Preprocessing
    # names; empty: outputs are numbered
    classes: tuple[str, ...] = ()
    num_classes: int | None = None
    # num_classes is how many columns the first output has: nobody said that these are classes
    classes_counted: bool = False
    # the bundled data that the model belongs to
    dataset: str | None = None
    # the file of bundled weights
    weights: str | None = None
    # the first input's name where there are others, which the data set must then name
    input_name: str | None = None
    # the inputs behind the first
    more_inputs: tuple[TensorSpec, ...] = ()
    # None: told from the outputs and the data when it is judged
    task: TaskSpec | None = None

    @property
    def takes_pictures(self) -> bool:
        """Whether the first input can be fed with pictures, grey or RGB, and is the only one."""
        shape = self.input_shape
        return len(shape) == 3 and shape[0] in (1, 3) and not self.more_inputs

    @property
    def channels(self) -> int:
        """The first axis of a sample: of pictures the channels."""
        return self.input_shape[0]

    @property
    def height(self) -> int:
        """In pixels; of an input C x H x W."""
        return self.input_shape[1]

    @property
    def width(self) -> int:
        """In pixels; of an input C x H x W."""
        return self.input_shape[2]

    @property
    def sample_bytes(self) -> int:
        """The size of one sample of the first input, float32."""
        return math.prod(self.input_shape) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec(ModelSpec):
    """What an engine takes that no manifest describes; `input_shape` is in its own layout."""

    # the first input is N x H x W x C
    channels_last: bool = False
    # NumPy's name of the first input's type
    dtype: str = "float32"

    @property
    def takes_pictures(self) -> bool:
        """Whether the first input can be fed with pictures, grey or RGB, and is the only one."""
        return len(self.input_shape) == 3 and self.channels in (1, 3) and not self.more_inputs

    @property
    def channels(self) -> int:
        """The first axis of a sample, or the last where channels are last."""
        return self.input_shape[-1 if self.channels_last else 0]

    @property
    def height(self) -> int:
        """In pixels; of an input that takes pictures."""
        return self.input_shape[0 if self.channels_last else 1]

    @property
    def width(self) -> int:
        """In pixels; of an input that takes pictures."""
        return self.input_shape[1 if self.channels_last else 2]
