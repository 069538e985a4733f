"""How a program says what an engine's outputs mean: as `predict` does, decided when it is written.

The evaluator of the task tells how it reads the outputs; what is left for the program are numbers:
which output, which axis, which threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

import numpy as np

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.printable import printable
from edge_scnet.core.ragged import ragged
from edge_scnet.errors import EdgeError
from edge_scnet.package.box_head import BoxHead, box_head
from edge_scnet.package.facts import PackageFacts
from edge_scnet.package.tensors import tensors_of
from edge_scnet.tasks import maps
from edge_scnet.tasks.base import Context, Evaluator
from edge_scnet.tasks.binary import Binary
from edge_scnet.tasks.detection import Detection
from edge_scnet.tasks.embedding import Embedding
from edge_scnet.tasks.keypoints import Keypoints, layout_told
from edge_scnet.tasks.multilabel import MultiLabel
from edge_scnet.tasks.others import WithOthers
from edge_scnet.tasks.readout import Outputs, Reader
from edge_scnet.tasks.registry import FEATURES, evaluator_for
from edge_scnet.tasks.regression import Regression
from edge_scnet.tasks.segmentation import Segmentation
from edge_scnet.tasks.vectors import known_cut

PointsLayout: TypeAlias = Literal["xyxy", "xxyy", "points", "heatmaps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassesReading:
    """The most probable classes."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairReading:
    """Class 1 or class 0, by one score or by two columns."""

    output: int
    # 1 or 2
    columns: int
    # above it is class 1: of one score its own value, of two columns class 1's probability. None:
    # of one score 0.5 where it is from 0 to 1, else 0; of two columns the larger counts
    limit: float | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelsReading:
    """The labels that apply."""

    output: int
    count: int
    # a label applies above it; None: 0.5 where all scores are from 0 to 1, else 0
    limit: float | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersReading:
    """Numbers, each with a meaning of its own."""

    output: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorReading:
    """Numbers that mean something together alone."""

    output: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsReading:
    """Points of an object."""

    layout: PointsLayout
    # the output's sizes without the batch axis
    shape: tuple[int, ...]
    output: int
    # of heatmaps: the points are the last axis
    channels_last: bool
    # from 0 to 1 of the input, else pixels of it; None: from 0 to 1 where none is above 2
    in_unit: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesReading:
    """What each class of a map takes of the picture."""

    output: int
    height: int
    width: int
    # 0: whole numbers, which are classes; 1: a score of class 1
    channels: int
    channels_last: bool
    # of one channel: class 1 is above it
    limit: float
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxesReading:
    """Boxes around objects."""

    head: BoxHead
    # objects that score less are left out
    least: float
    # of the words: the threshold, in %; 0: none is told
    threshold: float
    nms_iou: float
    # objects at most
    most: int
    # whether the outputs' scores are logits
    logits: bool
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawReading:
    """Outputs that are told by their ranges."""

    # why they are not decoded, in a sentence; None: nobody said what they mean
    reason: str | None = None


Reading: TypeAlias = (
    ClassesReading
    | PairReading
    | LabelsReading
    | NumbersReading
    | VectorReading
    | PointsReading
    | SharesReading
    | BoxesReading
    | RawReading
)
Named: TypeAlias = ClassesReading | PairReading | LabelsReading | SharesReading | BoxesReading


def labels_of(reading: Named) -> str:
    """The text of a file with a name on each line, with escapes for what a terminal obeys."""
    return "".join(f"{printable(name)}\n" for name in reading.names)


def reading_of(facts: PackageFacts) -> Reading:
    """How an engine's outputs are read, as `predict` reads them."""
    if facts.is_classifier:
        return ClassesReading(names=facts.model.classes)
    task = facts.task
    if task is None or task.kind == FEATURES or not facts.model.takes_pictures:
        return RawReading()
    if ":" in task.kind:
        return RawReading(reason="its task is a function of yours")
    if task.kind == "detection" and ":" in str(task.arguments.get("decode", "")):
        return RawReading(reason="its decoder is a function of yours")
    try:
        return _read(facts)
    except EdgeError as error:
        # where no decoder is known the message goes on with a list of them
        message = error.message.partition(". There are:\n")[0]
        return RawReading(reason=printable(message).rstrip("."))


def _read(facts: PackageFacts) -> Reading:
    """How the outputs are read.

    Raises:
        DataError: they are not those of the task. ArtifactError: they are not known.
    """
    heads, model = _heads(facts), facts.model
    context = Context(
        spec=model,
        task=facts.task,
        output_names=tuple(head.name for head in heads),
        count=1,
        # of a picture that no preprocessing refuses
        image_sizes=((2 * model.width, 2 * model.height),),
        entries=("a picture",),
        heads=heads,
    )
    found = evaluator_for(context)
    made = found.made if isinstance(found, WithOthers) else found
    _try(made, heads, facts.batch)
    return _of_evaluator(made, context, facts.batch)


def _heads(facts: PackageFacts) -> tuple[OutputHead, ...]:
    """What is known of the outputs, with the engine's batch.

    Raises:
        ArtifactError: the engine's outputs cannot be read.
    """
    heads = facts.heads or tuple(
        OutputHead(
            name=tensor.name,
            shape=tuple(None if size < 0 else size for size in tensor.shape),
            dtype=tensor.dtype,
        )
        for tensor in tensors_of(facts).outputs
    )
    return tuple(
        replace(head, shape=(facts.batch, *head.shape[1:]))
        if head.shape[:1] == (None,) and head.counted is None
        else head
        for head in heads
    )


def _try(made: Evaluator | None, heads: tuple[OutputHead, ...], batch: int) -> None:
    """Has the evaluator read a sample of zeros, so that it refuses here what it would refuse later.

    Raises:
        DataError: as it.
    """
    if not isinstance(made, Reader):
        return
    zeros = []
    for head in heads:
        array = np.zeros([size or 1 for size in head.shape], np.dtype(head.dtype))
        if array.ndim and len(array) % batch == 0:
            array = array[: len(array) // batch]
        zeros.append(ragged([array]) if None in head.shape else array)
    made.read(zeros, 0)


def _of_evaluator(made: Evaluator | None, context: Context, batch: int) -> Reading:
    if isinstance(made, Detection):
        return _boxes(made, context, batch)
    output = getattr(made, "output", 0)
    shape = context.heads[output].shape
    sizes = tuple(size for size in shape[1:] if size is not None)
    if len(sizes) < len(shape) - 1:
        return RawReading(reason="the size of its output depends on the picture")
    count = math.prod(sizes)
    classes = context.spec.classes
    if isinstance(made, Binary):
        limit = made.threshold
        if limit is None and count == 1:
            limit = known_cut(context.head(output))
        names = (f"not {classes[0]}", classes[0]) if len(classes) == 1 else classes
        return PairReading(output=output, columns=count, limit=limit, names=names)
    if isinstance(made, MultiLabel):
        limit = known_cut(context.head(output)) if made.threshold is None else made.threshold
        return LabelsReading(output=output, count=count, limit=limit, names=classes)
    if isinstance(made, Embedding):
        return VectorReading(output=output, count=count)
    if isinstance(made, Regression):
        zeros = [np.zeros((1, *sizes), np.float32)] * len(context.heads)
        is_map = isinstance(made.read(zeros, 0).form, Outputs)
        return RawReading() if is_map else NumbersReading(output=output, count=count)
    if isinstance(made, Keypoints):
        return _points(made, context, sizes)
    assert isinstance(made, Segmentation)
    return _shares(made, context, sizes)


def _points(made: Keypoints, context: Context, sizes: tuple[int, ...]) -> PointsReading:
    head = context.heads[made.output]
    layout = made.layout or layout_told((1, *sizes))
    in_unit: bool | None = None if made.units is None else made.units == "unit"
    if in_unit is None and head.ending == "sigmoid":
        in_unit = True
    is_last = (
        layout == "heatmaps"
        and maps.layout_of((1, *sizes), head, context.spec.input_shape) == "NHWC"
    )
    return PointsReading(
        layout=cast(PointsLayout, layout),
        shape=sizes,
        output=made.output,
        channels_last=is_last,
        in_unit=False if layout == "heatmaps" else in_unit,
    )


def _shares(made: Segmentation, context: Context, sizes: tuple[int, ...]) -> SharesReading:
    head = context.heads[made.output]
    is_last, channels = False, 1
    if np.dtype(head.dtype).kind != "f":
        channels = 0
        height, width = (size for size in sizes if len(sizes) == 2 or size != 1)
    elif len(sizes) == 2:
        height, width = sizes
    else:
        layout = made.layout or maps.layout_of((1, *sizes), head, context.spec.input_shape)
        is_last = layout == "NHWC"
        height, width, channels = sizes if is_last else (*sizes[1:], sizes[0])
    classes = context.spec.classes
    return SharesReading(
        output=made.output,
        height=height,
        width=width,
        channels=channels,
        channels_last=is_last,
        limit=maps.threshold_of(head) if made.threshold is None else made.threshold,
        names=("background", *classes) if len(classes) == 1 else classes,
    )


def _boxes(made: Detection, context: Context, batch: int) -> BoxesReading:
    options = made.options
    head = box_head(made, context, batch)
    return BoxesReading(
        head=head,
        least=max(options.min_score, options.threshold),
        threshold=options.threshold,
        nms_iou=options.nms_iou,
        most=options.most,
        logits=head.usually_logits if options.sigmoid is None else options.sigmoid,
        names=context.spec.classes,
    )
