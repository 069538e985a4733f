"""The record of a model, its inputs and its preprocessing, which every stage uses."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

from edge_scnet.core.preprocessing import Colour, Preprocessing

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
class InputForm:
    """The form in which the engines of a build take their first input; the batch axis is in front.

    float32 NCHW is what the float graph takes: pictures prepared as `Preprocessing` says, or arrays
    as they are. uint8 NHWC is what cameras and decoders give: pixels, 0 to 255, of the input's own
    height and width. They are resized and cropped as `Preprocessing` says before they are fed;
    what becomes of their codes (`pixel_max`, `mean`, `std`) is part of the engine.
    """

    dtype: Literal["float32", "uint8"] = "float32"
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    # the order of the channels of bytes; None, as of float32: as the model's preprocessing says
    colour: Colour | None = None

    @property
    def is_bytes(self) -> bool:
        """Whether engines take pixels as they are."""
        return self.dtype == "uint8"


# What graphs take, and engines that nobody wanted bytes of.
FLOATS = InputForm()


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


def engine_spec(spec: ModelSpec, form: InputForm) -> ModelSpec:
    """What an engine of a build takes: the model's own spec, or of bytes a spec of its own.

    Of bytes nothing is left of the preprocessing but how pictures are resized and their colours.
    """
    if not form.is_bytes:
        return spec
    rule = spec.preprocessing
    own = {item.name: getattr(spec, item.name) for item in fields(ModelSpec)}
    own["input_shape"] = (spec.height, spec.width, spec.channels)
    own["preprocessing"] = replace(
        rule.in_order(form.colour or rule.colour), pixel_max=255.0, mean=(), std=()
    )
    return EngineSpec(**own, channels_last=True, dtype="uint8")


def takes_codes(spec: ModelSpec) -> bool:
    """Whether an engine takes the codes of 8-bit pictures as they are, channels last."""
    if not isinstance(spec, EngineSpec) or spec.dtype != "uint8" or not spec.channels_last:
        return False
    rule = spec.preprocessing
    if rule.pixel_max == 255:
        return rule.keeps_codes
    # bytes of an engine that no manifest describes: pixels from 0 to 1, times 255
    return rule.pixel_max == 1 and not any(rule.mean) and set(rule.std) == {1 / 255}
