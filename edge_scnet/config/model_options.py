"""What a user says of a model that the zoo does not know: its options, once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from edge_scnet.core.preprocessing import (
    Colour,
    Interpolation,
    PadAnchor,
    Resampler,
    ResizeMode,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOptions:
    """A model's options; None: the architecture's own value.

    The same in `edge-scnet.toml` and on the command line, whose help the descriptions are.
    """

    arch: Annotated[
        str | None,
        Meta(
            description="Architecture of a checkpoint, such as scnet50.", extra={"metavar": "NAME"}
        ),
    ] = None
    num_classes: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        Meta(description="Classes of a checkpoint.", extra={"metavar": "N"}),
    ] = None
    channels: Annotated[
        Annotated[int, Meta(ge=1, le=4)] | None,
        Meta(description="Input channels. Default: the model's, else 3.", extra={"metavar": "N"}),
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
    input_type: Annotated[
        Literal["uint8", "float"] | None,
        Meta(
            description=(
                "What engines take: uint8, pixels as they are, channels last, or float, normalised"
                " pixels. Also: --input uint8. Default: uint8 where the samples are 8-bit pictures."
            )
        ),
    ] = None
    preprocess: Annotated[
        str | None,
        Meta(
            description=(
                "How pictures are prepared, by a ready name: imagenet, pixels, yolo, timm:NAME or"
                " torchvision:NAME. Single options win over it. Default: imagenet."
            ),
            extra={"metavar": "NAME"},
        ),
    ] = None
    colour: Annotated[
        Colour | None,
        Meta(description="Order of the input's channels.", extra={"spellings": ("--color",)}),
    ] = None
    pixel_max: Annotated[
        Annotated[float, Meta(ge=1e-6, le=1e6)] | None,
        Meta(
            description="What the largest pixel becomes: 1 or 255. Default: 1.",
            extra={"metavar": "X"},
        ),
    ] = None
    mean: Annotated[
        tuple[float, ...] | None,
        Meta(
            description=(
                "Mean per channel, of pixels from 0 to --pixel-max. Default: ImageNet's,"
                " 0.485,0.456,0.406."
            ),
            extra={"metavar": "M,M,M"},
        ),
    ] = None
    std: Annotated[
        tuple[float, ...] | None,
        Meta(
            description=(
                "Standard deviation per channel, as --mean. Default: ImageNet's, 0.229,0.224,0.225."
            ),
            extra={"metavar": "S,S,S"},
        ),
    ] = None
    resize_mode: Annotated[
        ResizeMode | None,
        Meta(
            description=(
                "How pictures come to the input's size: short side and centre crop, stretched,"
                " padded, or the centre without resizing."
            )
        ),
    ] = None
    resize: Annotated[
        Annotated[int, Meta(ge=8, le=8192)] | None,
        Meta(
            description=(
                "Short side before the crop. Default: 256/224 of the input's; the input's own where"
                " all pictures have its size."
            ),
            extra={"metavar": "PX"},
        ),
    ] = None
    crop_fraction: Annotated[
        Annotated[float, Meta(ge=0.1, le=1)] | None,
        Meta(
            description="In place of --resize: the input's short side over it, as timm's crop_pct.",
            extra={"metavar": "F"},
        ),
    ] = None
    resample: Annotated[
        Resampler | None,
        Meta(description="Whose arithmetic resizes, which differ. Default: pillow."),
    ] = None
    interpolation: Annotated[
        Interpolation | None, Meta(description="Filter of the resizing. Default: bilinear.")
    ] = None
    antialias: Annotated[
        bool | None,
        Meta(description="Whether the filter grows as pictures shrink. Default: as --resample."),
    ] = None
    pad_value: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=255)], ...] | None,
        Meta(
            description="Codes around a letterboxed picture, 0 to 255: one, or one per channel.",
            extra={"metavar": "V"},
        ),
    ] = None
    pad_anchor: Annotated[
        PadAnchor | None, Meta(description="Where the letterboxed picture is.")
    ] = None
    exif: Annotated[
        bool | None, Meta(description="Turn pictures as their EXIF data says. Default: yes.")
    ] = None
    class_names: Annotated[
        tuple[str, ...] | None,
        Meta(
            description="Class names: a text, one per line, or a data.yaml.",
            extra={"metavar": "FILE"},
        ),
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
    decode: Annotated[
        str | None,
        Meta(
            description=(
                "What makes boxes of a detector's outputs: yolox, yolov5, yolov8, end2end, ssd,"
                " fcos, nanodet, nanodet-plus, fastestdet, yunet, or package.module:function."
                " Default: told from the outputs, where only one fits."
            ),
            extra={"metavar": "NAME"},
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
        str | None,
        Meta(
            description="Name of the build folder. Default: the model's.", extra={"metavar": "NAME"}
        ),
    ] = None


def ways_to_split(fix: str) -> Iterator[tuple[str, str]]:
    """Yields name and value of a `fix` for every "=" in it: both may hold one."""
    for at, letter in enumerate(fix):
        if letter == "=":
            yield fix[:at], fix[at + 1 :]


# Options that have no meaning but with some ways to resize, and these.
ONLY_WITH: Mapping[str, tuple[ResizeMode, ...]] = {
    "pad_value": ("letterbox",),
    "pad_anchor": ("letterbox",),
    "resize": ("crop", "stretch"),
    "crop_fraction": ("crop", "stretch"),
}
# The options that say how pictures are prepared.
PICTURE_OPTIONS = (
    "preprocess",
    "colour",
    "pixel_max",
    "mean",
    "std",
    "resize_mode",
    "resize",
    "crop_fraction",
    "resample",
    "interpolation",
    "antialias",
    "pad_value",
    "pad_anchor",
    "exif",
)
