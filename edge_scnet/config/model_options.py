"""What a user says of a model that the zoo does not know: its options, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A model's options; None: the architecture's own value.

    The same in `edge-scnet.toml` and on the command line, whose help the descriptions are.
    """

    arch: Annotated[
        str | None, Meta(description="Architecture of a checkpoint, such as scnet50.")
    ] = None
    num_classes: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Classes of a checkpoint."),
    ] = None
    channels: Annotated[
        Annotated[int, Meta(ge=1, le=4)] | None, Meta(description="Input channels.")
    ] = None
    input_size: Annotated[
        Annotated[int, Meta(ge=8, le=4096)] | None,
        Meta(description="Height and width of the input.", extra={"metavar": "PX"}),
    ] = None
    input_shape: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...] | None,
        Meta(
            description="Sizes of the input without the batch, as 3x240x320.",
            extra={"metavar": "CxHxW"},
        ),
    ] = None
    fix: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Another input's value: a number, or an .npy file. Can be repeated.",
            extra={"metavar": "NAME=VALUE", "repeated": True},
        ),
    ] = None
    input: Annotated[
        tuple[str, ...] | None,
        Meta(
            description=(
                "Another input of a PyTorch module: its sizes without the batch, and its type"
                " where it is not float32. Can be repeated."
            ),
            extra={"metavar": "NAME=8x64[:int64]", "repeated": True},
        ),
    ] = None
    resize: Annotated[
        Annotated[int, Meta(ge=8, le=8192)] | None,
        Meta(description="Short side before the crop.", extra={"metavar": "PX"}),
    ] = None
    mean: Annotated[
        tuple[float, ...] | None,
        Meta(description="Mean per channel, of pixels from 0 to 1.", extra={"metavar": "M,M,M"}),
    ] = None
    std: Annotated[
        tuple[float, ...] | None,
        Meta(description="Standard deviation per channel.", extra={"metavar": "S,S,S"}),
    ] = None
    class_names: Annotated[
        tuple[str, ...] | None,
        Meta(description="Class names, one per line.", extra={"metavar": "FILE"}),
    ] = None
    task: Annotated[
        str | None,
        Meta(
            description=(
                "What the network is for: classification, binary, multilabel, regression,"
                " keypoints, embedding, segmentation, detection, features, or"
                " package.module:evaluator. Default: told from its outputs and the data."
            ),
            extra={"metavar": "TASK"},
        ),
    ] = None
    task_args: Annotated[
        dict[str, Any] | None,
        Meta(
            description="Arguments of the task, as JSON: threshold, decode, ...",
            extra={"metavar": "JSON"},
        ),
    ] = None
    factory_args: Annotated[
        dict[str, Any] | None,
        Meta(description="Arguments of a factory, as JSON.", extra={"metavar": "JSON"}),
    ] = None
    weights: Annotated[
        str | None,
        Meta(
            description=(
                "Weights of timm:NAME or torchvision:NAME; 'default' lets the library download its"
                " own."
            ),
            extra={"metavar": "FILE"},
        ),
    ] = None
    name: Annotated[
        str | None, Meta(description="Name of the build folder. Default: the model's.")
    ] = None


def ways_to_split(fix: str) -> Iterator[tuple[str, str]]:
    """Yields name and value of a `fix` for every "=" in it: both may hold one."""
    for at, letter in enumerate(fix):
        if letter == "=":
            yield fix[:at], fix[at + 1 :]
