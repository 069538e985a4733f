"""The inputs of a user's ONNX file: which one the samples are for, and what becomes of the others.

The prepared graph takes the first input as float32, pictures as N x C x H x W, whatever the file
wants: a Transpose is put in front of an input N x H x W x C, and bytes and FP16 become float32 with
the same values. Inputs that the user fixes become constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.feeds import feed_of
from edge_scnet.core.optional import require
from edge_scnet.core.spec import TensorSpec
from edge_scnet.errors import ArtifactError
from edge_scnet.export.declared import FileInput, check_size, declared, listed, words
from edge_scnet.export.fixes import fixed_values
from edge_scnet.export.nodes import free_among
from edge_scnet.export.onnx_file import real_inputs

# Types of the first input that become float32, and what rounds float32 back to them.
_FIRST_TYPES = ("float32", "float16", "float64", "uint8")
_RANKS = range(2, 6)
_CHANNELS = (1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPlan:
    """How a file's inputs are fed."""

    # the one that samples are for
    first: FileInput
    # of one sample as the prepared graph takes it, without the batch axis
    input_shape: tuple[int, ...]
    # the file wants N x H x W x C
    channels_last: bool = False
    # the others that the data set gives
    more: tuple[TensorSpec, ...] = ()
    # of the others that the data set gives, as the file declares them
    more_types: Mapping[str, str] = field(default_factory=dict)
    # what the user fixed, with every axis that the file declares but the batch
    fixed: Mapping[str, np.ndarray] = field(default_factory=dict)
    # those of them whose first axis the file leaves open: the batch, where one row is given
    batched: frozenset[str] = frozenset()

    def fixed_for(self, name: str, batch: int) -> np.ndarray:
        """The value of a fixed input beside so many samples."""
        array = self.fixed[name]
        if name in self.batched and len(array) == 1:
            return np.repeat(array, batch, axis=0)
        return array

    @property
    def notes(self) -> tuple[str, ...]:
        """What is done to the inputs, in words; nothing where they are taken as they are."""
        notes = []
        if self.channels_last:
            notes.append(f"{self.first.name} is N x H x W x C in the file, here N x C x H x W")
        if self.first.dtype != "float32":
            notes.append(f"{self.first.name} is {self.first.dtype} in the file, here float32")
        notes += [f"{name} is fixed" for name in self.fixed]
        return tuple(notes)


def plan_inputs(proto: Any, path: Path, options: ModelOptions) -> InputPlan:
    """Decides which input samples are for, its shape, and what is fixed.

    The first that can be a picture is taken, else the first of real numbers.

    Raises:
        ArtifactError: an input of a type or rank that is not supported; sizes that the file leaves
            open and no option gives, or that contradict an option; a fixed input that the file does
            not have or that does not fit.
    """
    inputs = [declared(value, path) for value in real_inputs(proto)]
    fixed = fixed_values(inputs, options.fix or (), path)
    fed = [item for item in inputs if item.name not in fixed]
    if not fed:
        raise ArtifactError(
            f"{path} has no input left to feed: it has {listed(inputs)}",
            hint="leave one --fix out",
        )
    first = next((item for item in fed if _channel_axis(item) is not None), None) or next(
        (item for item in fed if item.dtype in _FIRST_TYPES), fed[0]
    )
    if first.dtype not in _FIRST_TYPES or len(first.shape) not in _RANKS:
        raise ArtifactError(
            f"{path}: input {first.name!r} is {first.dtype} with {len(first.shape)} axes; samples"
            f" are fed as {', '.join(_FIRST_TYPES)} with {_RANKS[0]} to {_RANKS[-1]}, the batch"
            " first",
            hint=f"fix it: --fix {first.name}=VALUE" if len(fed) > 1 else None,
        )
    channels_last = _channel_axis(first) == 3
    others = [item for item in fed if item is not first]
    input_shape = _sample_shape(first, channels_last, options, path)
    check_size(first, input_shape, path)
    return InputPlan(
        first=first,
        input_shape=input_shape,
        channels_last=channels_last,
        more=tuple(_other(item, first, path) for item in others),
        more_types={item.name: item.dtype for item in others},
        fixed=fixed,
        batched=frozenset(
            item.name for item in inputs if item.name in fixed and item.shape[:1] == (None,)
        ),
    )


def apply_plan(proto: Any, plan: InputPlan, *, batch: int) -> None:
    """Rewrites a file's inputs as planned, in place: fixed sizes, float32, channels first."""
    onnx = require("onnx", extra="cpu")
    helper, tensor = onnx.helper, onnx.TensorProto
    graph, first = proto.graph, plan.first
    for name in plan.fixed:
        constant = np.ascontiguousarray(plan.fixed_for(name, batch))
        graph.initializer.append(onnx.numpy_helper.from_array(constant, name))
    taken = [(first.name, (batch, *plan.input_shape), tensor.FLOAT)]
    taken += [
        (item.name, (batch, *item.shape), helper.np_dtype_to_tensor_dtype(np.dtype(item.dtype)))
        for item in plan.more
    ]
    del graph.input[:]
    graph.input.extend(
        helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in taken
    )
    if plan.channels_last:
        taken_names = {name for node in graph.node for name in (*node.input, *node.output)}
        inner = f"{first.name}_nhwc"
        inner = free_among(taken_names, inner) if inner in taken_names else inner
        for node in graph.node:
            for index, name in enumerate(node.input):
                if name == first.name:
                    node.input[index] = inner
        turn = helper.make_node("Transpose", [first.name], [inner], name=inner, perm=[0, 2, 3, 1])
        graph.node.insert(0, turn)


def as_the_file_takes(plan: InputPlan, batch: np.ndarray) -> np.ndarray:
    """Returns a batch of the prepared graph with values that the file's own type can hold."""
    if plan.first.dtype != "uint8":
        return batch
    rounded: np.ndarray = batch.copy()
    first = rounded if batch.dtype.names is None else rounded[plan.first.name]
    first[...] = np.clip(np.rint(first), 0, 255)
    return rounded


def feed_of_file(plan: InputPlan, batch: np.ndarray) -> dict[str, np.ndarray]:
    """Returns what the user's own file is fed with for a batch of the prepared graph.

    Args:
        batch: as `core.feeds` has them.
    """
    feed = feed_of(batch, plan.first.name)
    first = feed[plan.first.name]
    if plan.channels_last:
        first = np.ascontiguousarray(np.moveaxis(first, 1, -1))
    if plan.first.dtype == "uint8":
        first = np.clip(np.rint(first), 0, 255)
    feed[plan.first.name] = first.astype(plan.first.dtype)
    for name, dtype in plan.more_types.items():
        feed[name] = feed[name].astype(dtype)
    return feed | {name: plan.fixed_for(name, len(batch)) for name in plan.fixed}


def _channel_axis(item: FileInput) -> int | None:
    """The axis of the channels where an input can be a picture: 1, or 3 of N x H x W x C."""
    if len(item.shape) != 4 or item.dtype not in _FIRST_TYPES:
        return None
    if item.shape[1] in _CHANNELS:
        return 1
    return 3 if item.shape[3] in _CHANNELS else None


def _sample_shape(
    first: FileInput, channels_last: bool, options: ModelOptions, path: Path
) -> tuple[int, ...]:
    """The shape of a sample, channels first, from the file and the options.

    Raises:
        ArtifactError: they contradict each other, or leave a size open.
    """
    declared = list(first.shape[1:])
    asked: list[int | None] = list(options.input_shape or ())
    if channels_last:
        # as in the file, or channels first: both are understood
        if len(asked) == 3 and asked[-1] in _CHANNELS and asked[0] not in _CHANNELS:
            asked = [asked[-1], *asked[:-1]]
        declared = [declared[-1], *declared[:-1]]
    if asked and len(asked) != len(declared):
        raise ArtifactError(
            f"{path}: {first.name} is {words(first.shape)}, --input-shape has {len(asked)} sizes",
            hint=f"give {len(declared)}, all but the batch",
        )
    if not asked:
        asked = _picture(first, len(declared), options, path)
    for size, wanted in zip(declared, asked, strict=True):
        if size is not None and wanted is not None and size != wanted:
            given = "--input-shape" if options.input_shape else "--input-size or --channels"
            raise ArtifactError(
                f"{path}: {first.name} is {words(first.shape)} in the file, {given} says"
                f" {words(asked)}",
                hint=f"leave {given} out, or export the model for that shape",
            )
    shape = [size or wanted for size, wanted in zip(declared, asked, strict=True)]
    if None in shape:
        if len(shape) == 3 and shape[0] is not None:
            hint = f"pass --input-size PIXELS, or --input-shape {shape[0]}xHEIGHTxWIDTH"
        else:
            hint = f"pass --input-shape with {len(shape)} sizes, all but the batch, as 3x240x320"
        raise ArtifactError(
            f"{path}: the sizes of {first.name} are open: {words(first.shape)}", hint=hint
        )
    return tuple(int(size) for size in shape if size is not None)


def _picture(first: FileInput, rank: int, options: ModelOptions, path: Path) -> list[int | None]:
    """The sizes that --channels and --input-size give a sample of so many axes; None: open.

    Raises:
        ArtifactError: they are given, and it is no picture.
    """
    asked = {"--channels": options.channels, "--input-size": options.input_size}
    if rank == 3:
        return [options.channels, options.input_size, options.input_size]
    given = [option for option, value in asked.items() if value is not None]
    if given:
        raise ArtifactError(
            f"{path}: {first.name} is {words(first.shape)}, and {given[0]} is for pictures,"
            " N x C x H x W",
            hint=f"leave {given[0]} out; --input-shape gives the {rank} sizes behind the batch"
            " where the file leaves one open",
        )
    return [None] * rank


def _other(item: FileInput, first: FileInput, path: Path) -> TensorSpec:
    """An input that the data set gives besides the first.

    Raises:
        ArtifactError: it has no batch axis, sizes that are open, or is of no numbers.
    """
    what = None
    if not item.shape:
        what = "has no batch axis"
    elif None in item.shape[1:]:
        what = f"has open sizes, {words(item.shape)}"
    elif None not in (item.shape[0], first.shape[0]) and item.shape[0] != first.shape[0]:
        what = f"has no batch axis like {first.name}'s: it is {words(item.shape)}"
    elif not item.is_numeric:
        what = f"is {item.dtype}, and samples are numbers"
    if what is not None:
        raise ArtifactError(
            f"{path}: input {item.name!r} {what}",
            hint=f"fix it: --fix {item.name}=VALUE, or --fix {item.name}=FILE.npy",
        )
    return TensorSpec(
        name=item.name,
        shape=tuple(int(size or 1) for size in item.shape[1:]),
        # the prepared graph has no other real numbers
        dtype="float32" if np.dtype(item.dtype).kind == "f" else item.dtype,
    )
