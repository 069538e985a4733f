"""What a decoder is given and gives, and what all built-in ones do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

import numpy as np
from msgspec import Meta

from edge_scnet.errors import DataError
from edge_scnet.tasks.decoders.nms import suppress

Outputs = Mapping[str, np.ndarray]
Share = Annotated[float, Meta(ge=0, le=1)]

# Of one image: the best candidates that are suppressed against each other.
_MOST_CANDIDATES = 1000
# The exponent of a side in strides: what a broken engine gives stays finite.
_LARGEST_EXPONENT = 12.0
# What FP32's probabilities may lie beyond 0 and 1.
_NEARLY = 1e-3
_STRIDES = (4, 8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """What a user can say of a head, in `task_args`."""

    # detections below it are left out
    min_score: Share = 0.01
    # of two boxes of a class that share more (intersection over union), the better one stays
    nms_iou: Share = 0.65
    # detections of an image at most
    most: Annotated[int, Meta(ge=1, le=10_000)] = 100
    # whether the scores are logits; None: as the decoder's networks are usually exported
    sigmoid: bool | None = None
    # of the feature maps, in pixels; empty: told from the number of rows
    strides: tuple[Annotated[int, Meta(ge=1, le=1024)], ...] = ()
    # ssd: whether the first column of the scores is the ground, which is no class; None: it is,
    # unless there are as many columns as the network has classes
    background: bool | None = None
    # ssd: of the boxes: relative to the input's sides, or pixels
    box_units: Literal["relative", "pixels"] = "relative"
    # ssd: x1, y1, x2, y2, or the centre with width and height
    box_form: Literal["corners", "centre"] = "corners"
    # fcos: where in its cell a place lies, in strides
    centre: Share = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """The input that one image's outputs belong to."""

    # of the network's input, in pixels
    width: int
    height: int
    # of the network; None: nobody said it
    classes: int | None = None
    # of the image as it is stored, upright, in pixels; None: it is no image
    image_size: tuple[int, int] | None = None
    # its name, for messages
    entry: str = ""
    # the outputs are FP32's own, whose scores show what they are
    is_reference: bool = False
    options: DecodeOptions = field(default_factory=DecodeOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What was found in one image, best first."""

    # float32 [found, 4]: x1, y1, x2, y2, in pixels of the network's input
    corners: np.ndarray
    # float32 [found]
    scores: np.ndarray
    # int64 [found]: indices into the network's classes
    classes: np.ndarray


class Decoder(Protocol):
    """The module of a built-in decoder."""

    # the heads that it is for, and their outputs for one image
    TITLE: str

    @staticmethod
    def fits(shapes: Mapping[str, tuple[int, ...]], info: ImageInfo) -> bool:
        """Whether outputs of these shapes, of one image, can be this head's."""
        ...

    @staticmethod
    def decode(outputs: Outputs, info: ImageInfo) -> Detections:
        """What the outputs of one image say, suppressed.

        Args:
            outputs: by name, without the batch axis.

        Raises:
            DataError: outputs of other shapes.
        """
        ...


def selected(corners: np.ndarray, scores: np.ndarray, info: ImageInfo) -> Detections:
    """The detections of boxes that may be of each class: scored high enough, and suppressed.

    Args:
        corners: [rows, 4], in pixels of the network's input.
        scores: [rows, classes].
    """
    options = info.options
    rows, classes = np.nonzero(scores >= options.min_score)
    values = scores[rows, classes]
    most = max(_MOST_CANDIDATES, options.most)
    if len(values) > most:
        # of equal scores those that come first, as `suppress` takes them
        best = np.argsort(-values, kind="stable")[:most]
        rows, classes, values = rows[best], classes[best], values[best]
    kept = suppress(corners[rows], values, classes, iou=options.nms_iou, most=options.most)
    return Detections(
        corners=corners[rows[kept]].astype(np.float32),
        scores=values[kept].astype(np.float32),
        classes=classes[kept].astype(np.int64),
    )


def probabilities(scores: np.ndarray, info: ImageInfo, *, logits: bool = False) -> np.ndarray:
    """Scores from 0 to 1: of logits the sigmoid; an engine's rounding beyond is cut off.

    Args:
        logits: whether they are by default.

    Raises:
        DataError: FP32's own are no probabilities.
    """
    if logits if info.options.sigmoid is None else info.options.sigmoid:
        return sigmoid(scores)
    if (
        info.is_reference
        and scores.size
        and not -_NEARLY <= scores.min() <= scores.max() <= 1 + _NEARLY
    ):
        raise DataError(
            f"scores from {scores.min():.4g} to {scores.max():.4g} at {info.entry}; they are from 0"
            " to 1",
            hint=(
                "where they are logits: --task-args '{\"sigmoid\": true}'; of another head:"
                " --decode NAME"
            ),
        )
    cut: np.ndarray = np.clip(scores, 0.0, 1.0)
    return cut


def sigmoid(values: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), which overflows nowhere."""
    half: np.ndarray = 0.5 + 0.5 * np.tanh(0.5 * values)
    return half


def sides(exponents: np.ndarray) -> np.ndarray:
    """exp(x), finite for every x."""
    out: np.ndarray = np.exp(np.minimum(exponents, _LARGEST_EXPONENT))
    return out


def around(centres: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Corners of boxes by their centres and sizes, each [rows, 2]."""
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def grid(info: ImageInfo, stride: int) -> np.ndarray:
    """Column and row of each place of a feature map, row by row: float32 [places, 2]."""
    columns, rows = -(-info.width // stride), -(-info.height // stride)
    ys, xs = np.mgrid[:rows, :columns]
    return np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32)


def places(info: ImageInfo, strides: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Of all feature maps, one behind the other: `grid`, and the stride, [places, 1]."""
    grids = [grid(info, stride) for stride in strides]
    of_rows = np.repeat(np.array(strides, np.float32), [len(each) for each in grids])
    return np.concatenate(grids), of_rows[:, None]


def count_places(info: ImageInfo, strides: Sequence[int]) -> int:
    """The number of places of all feature maps."""
    return sum(-(-info.width // stride) * -(-info.height // stride) for stride in strides)


def strides_of(rows: int, info: ImageInfo) -> tuple[int, ...] | None:
    """The strides whose feature maps have so many places; None: no such strides.

    Without an option they are two to five successive powers of two from 4 on.
    """
    if info.options.strides:
        strides = info.options.strides
        return strides if count_places(info, strides) == rows else None
    for first in range(len(_STRIDES)):
        for last in range(first + 2, min(first + 5, len(_STRIDES)) + 1):
            if count_places(info, _STRIDES[first:last]) == rows:
                return _STRIDES[first:last]
    return None


def known_strides(rows: int, info: ImageInfo, name: str) -> tuple[int, ...]:
    """The strides whose feature maps have so many places.

    Raises:
        DataError: none have.
    """
    strides = strides_of(rows, info)
    if strides is None:
        said = f" of the strides {list(info.options.strides)}" if info.options.strides else ""
        raise DataError(
            f"decode {name}: the output has {rows} rows, the places{said} at an input of"
            f" {info.width} x {info.height} are"
            f" {count_places(info, info.options.strides or (8, 16, 32))}"
            f"{'' if said else ' with strides of 8, 16 and 32'}",
            hint="""say the strides: --task-args '{"strides": [8, 16, 32]}', or another --decode""",
        )
    return strides


def only_output(outputs: Outputs, name: str, columns: str) -> np.ndarray:
    """The one output, two axes.

    Raises:
        DataError: there are others, or it has other axes.
    """
    arrays = list(outputs.values())
    if len(arrays) != 1 or arrays[0].ndim != 2:
        raise wrong_outputs(outputs, name, f"one output of {columns}")
    return arrays[0]


def wrong_outputs(outputs: Outputs, name: str, wanted: str) -> DataError:
    """The error of outputs that are not a head's."""
    found = ", ".join(f"{key} {words(array.shape)}" for key, array in outputs.items())
    return DataError(
        f"decode {name} wants {wanted}; an image's outputs are {found}",
        hint="another --decode NAME, or your own: --decode package.module:function",
    )


def words(shape: Sequence[int]) -> str:
    """A shape as messages have it."""
    return " x ".join(map(str, shape)) or "one number"
