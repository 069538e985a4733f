"""Detection: COCO's AP of the boxes that a decoder makes of the outputs.

Without ground truth FP32's own boxes above a score stand in for it, and every part of the outputs
is judged by itself as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_scnet.core.json_records import RecordError, convert
from edge_scnet.core.placement import placement_of
from edge_scnet.core.targets import Boxes
from edge_scnet.errors import DataError
from edge_scnet.stats.bootstrap import Weights
from edge_scnet.stats.chance import shift_doubt
from edge_scnet.stats.figures import Metric, TaskStats
from edge_scnet.tasks.arguments import checked
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.counted import WatchedOutputs, is_counted, unjudged
from edge_scnet.tasks.decoders.base import DecodeOptions, Detections, ImageInfo, Share
from edge_scnet.tasks.decoders.choose import Decode, named, told
from edge_scnet.tasks.detection_ap import Matches, average_precision, match
from edge_scnet.tasks.detection_images import (
    boxes_of,
    f1_of,
    mean_overlap,
    overlaps_with,
    quality,
    right_of,
)
from edge_scnet.tasks.features import Features
from edge_scnet.tasks.metrics import Kind, bootstrapped, worst_of
from edge_scnet.tasks.readout import Objects, Readout

TASK = "detection"
_ARGUMENTS = {
    "decode": "a built-in decoder's name, or package.module:function",
    "threshold": "the score from which FP32's boxes stand in for ground truth",
    "min_score": "boxes that score less are left out",
    "nms_iou": "of two boxes of a class that share more, the better one stays",
    "most": "boxes of an image at most",
    "sigmoid": "whether the scores are logits",
    "strides": "of the feature maps, in pixels",
    "background": "ssd: whether the first score is the ground's",
    "box_units": "ssd: relative or pixels",
    "box_form": "ssd: corners or centre",
    "centre": "fcos: where in its cell a place lies, from 0 to 1",
}
# AP of FP32 below this, in %, is no detector's on these samples.
_LEAST_AP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionOptions(DecodeOptions):
    """All arguments of the task."""

    decode: str | None = None
    threshold: Share = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Of one sample."""

    # in pixels of the upright image; of arrays, of the network's input
    found: Detections
    # of `Features`, where there is no ground truth
    rows: Any
    # outputs whose size depends on the data, and that the decoder did not look at
    unread: tuple[int, ...] = ()


def evaluator(context: Context) -> Detection:
    """The evaluator of a sample set.

    Raises:
        DataError: arguments that it does not take, no such decoder, a network that takes no
            pictures, or ground truth that is empty, of another kind, or of classes that the network
            does not have.
    """
    given = checked(TASK, context, _ARGUMENTS)
    try:
        options = convert(DetectionOptions, given)
    except RecordError as error:
        raise DataError(
            f"{TASK}: the argument {error.path} {error.problem}",
            hint="""its arguments, for example: --task-args '{"threshold": 0.3}'""",
        ) from None
    if len(context.spec.input_shape) != 3:
        raise DataError(
            f"{TASK}: {context.spec.name} takes {' x '.join(map(str, context.spec.input_shape))},"
            " not pictures with a height and a width",
            hint="--task features",
        )
    truth = None if context.targets is None else _truth(context)
    decode = None if options.decode is None else named(options.decode)
    return Detection(context=context, options=options, truth=truth, decode=decode)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """Decodes and keeps the boxes of each sample, and compares all of them."""

    context: Context
    options: DetectionOptions
    # of each sample; None: FP32's own boxes stand in for it
    truth: tuple[Boxes, ...] | None
    # None: told from the outputs
    decode: Decode | None
    task: str = TASK

    def reduce(
        self,
        outputs: Sequence[np.ndarray],
        reference: Sequence[np.ndarray],
        indices: Sequence[int],
    ) -> list[Any]:
        """The boxes of each sample, in pixels of its image.

        Raises:
            DataError: outputs that the decoder does not take, several decoders that they fit, or a
                user's function that fails.
        """
        arrays = [_by_sample(array, len(indices)) for array in outputs]
        rows: Sequence[Any] = [None] * len(indices)
        if self.truth is None:
            rows = Features(context=self.context).reduce(
                arrays, [_by_sample(array, len(indices)) for array in reference], indices
            )
        found = self._found(arrays, indices, is_reference=outputs is reference)
        return [
            _Kept(found=each.found, rows=of, unread=each.unread)
            for each, of in zip(found, rows, strict=True)
        ]

    def read(self, outputs: Sequence[np.ndarray], index: int) -> Readout:
        """The boxes that score as high as the threshold or higher, in pixels of the image.

        Raises:
            DataError: as `reduce`.
        """
        arrays = [_by_sample(array, 1) for array in outputs]
        found = self._found(arrays, [index], is_reference=False)[0].found
        targets = self.context.targets
        return Readout(
            task=TASK,
            form=Objects(
                corners=found.corners,
                classes=found.classes,
                scores=found.scores,
                threshold=self.options.threshold,
            ),
            names=self.context.spec.classes or (() if targets is None else targets.names),
        )

    def _found(
        self, arrays: Sequence[np.ndarray], indices: Sequence[int], *, is_reference: bool
    ) -> list[_Kept]:
        """What is found in each sample, in pixels of its image, and what was not looked at.

        Args:
            arrays: by output, samples along the first axis.
        """
        names = [self.context.output_name(number) for number in range(len(arrays))]
        shapes = {name: np.shape(array[0]) for name, array in zip(names, arrays, strict=True)}
        decode = self.decode or named(told(shapes, self._info(indices[0])))
        counted = [
            number for number, array in enumerate(arrays) if is_counted(self.context, number, array)
        ]
        found = []
        for at, index in enumerate(indices):
            given = WatchedOutputs(zip(names, (array[at] for array in arrays), strict=True))
            boxes = decode(given, self._info(index, is_reference=is_reference))
            unread = tuple(number for number in counted if names[number] not in given.read)
            found.append(_Kept(found=self._placed(boxes, index), rows=None, unread=unread))
        return found

    def _info(self, index: int, *, is_reference: bool = False) -> ImageInfo:
        spec, sizes = self.context.spec, self.context.image_sizes
        return ImageInfo(
            width=spec.width,
            height=spec.height,
            classes=len(spec.classes) or spec.num_classes,
            image_size=sizes[index] if sizes else None,
            entry=self.context.name_of(index),
            is_reference=is_reference,
            options=self.options,
        )

    def _placed(self, found: Detections, index: int) -> Detections:
        """The boxes in pixels of the image, cut off at its edges."""
        if not self.context.image_sizes:
            return found
        size = self.context.image_sizes[index]
        corners = placement_of(size, self.context.spec).to_image(found.corners)
        inside = np.clip(corners, 0.0, np.array([*size, *size], np.float64))
        return Detections(
            corners=inside.astype(np.float32), scores=found.scores, classes=found.classes
        )

    def compare(self, own: Sequence[Any], reference: Sequence[Any]) -> TaskStats:
        """AP, AP50 and F1 against the ground truth, or the boxes against FP32's own.

        AP asks for the order of the scores alone, and for nothing of classes without an object: F1
        of the boxes that score as high as the threshold decides beside it.

        Raises:
            DataError: there is no ground truth, and FP32 finds nothing.
        """
        if self.truth is None:
            return self._against_reference(own, reference)
        found, others = ([each.found for each in kept] for kept in (own, reference))
        most, threshold = self.options.most, self.options.threshold
        matches, before = (match(self.truth, boxes, most=most) for boxes in (found, others))
        metrics = tuple(
            bootstrapped(
                Kind(name=name, unit="%"), partial(of, matches), partial(of, before), len(own)
            )
            for name, of in (("AP", _ap), ("AP50", _ap50))
        )
        losses = [
            quality(boxes, before, threshold) - quality(boxes, now, threshold)
            for boxes, now, before in zip(self.truth, found, others, strict=True)
        ]
        f1 = self._f1(found, others)
        assert self.context.targets is not None
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=self.context.targets.rule,
            metrics=(*metrics, f1),
            doubts=(
                *_doubts(metrics[0]),
                *(self._shifted(f1, others) or _silent(f1, threshold)),
                *self._unjudged(own),
            ),
            worst=worst_of(self.context, losses),
        )

    def _unjudged(self, own: Sequence[_Kept]) -> tuple[str, ...]:
        """Names the outputs that the decoder looked at in no sample, and nothing else compares."""
        unread = set(own[0].unread).intersection(*(each.unread for each in own))
        return tuple(unjudged(self.context, number) for number in sorted(unread))

    def _f1(self, found: Sequence[Detections], reference: Sequence[Detections]) -> Metric:
        """F1 of the boxes of all classes that score as high as the threshold, at an IoU of 0.5."""
        assert self.truth is not None
        threshold = self.options.threshold
        own, before = (
            np.array(
                [right_of(a, b, threshold) for a, b in zip(self.truth, boxes, strict=True)],
                np.float64,
            )
            for boxes in (found, reference)
        )
        metric = bootstrapped(
            Kind(name=f"F1 of scores from {threshold:g} on", unit="%"),
            partial(f1_of, own),
            partial(f1_of, before),
            len(own),
        )
        return replace(metric, decides=True)

    def _shifted(self, f1: Metric, reference: Sequence[Detections]) -> tuple[str, ...]:
        """Says that classes are one off, where FP32's boxes fit the truth so much better."""
        if f1.reference is None or self.truth is None:
            return ()
        once = np.ones((1, len(reference)))
        moved = {}
        for step in (1, -1):
            truth = [replace(boxes, classes=boxes.classes + step) for boxes in self.truth]
            tallies = [
                right_of(a, b, self.options.threshold)
                for a, b in zip(truth, reference, strict=True)
            ]
            moved[step] = float(f1_of(np.array(tallies, np.float64), once)[0])
        return shift_doubt("F1", f1.reference, moved)

    def _against_reference(self, own: Sequence[_Kept], reference: Sequence[_Kept]) -> TaskStats:
        threshold = self.options.threshold
        truth = [boxes_of(each.found, threshold) for each in reference]
        if not any(len(boxes.classes) for boxes in truth):
            scores = [float(k.found.scores[0]) for k in reference if len(k.found.scores)]
            best = max(scores, default=0.0)
            raise DataError(
                f"{TASK}: FP32 finds nothing that scores {threshold:g} or more in"
                f" {len(reference)} samples, the best score is {best:.3g}: nothing can be compared",
                hint=(
                    "are these the network's objects and its preprocessing? else --task features"
                    + (f", or --task-args '{{\"threshold\": {best / 2:.1g}}}'" if best else "")
                ),
            )
        found = [each.found for each in own]
        # scores may move by half before a box counts as lost
        overlaps = [
            overlaps_with(boxes, each, threshold / 2)
            for boxes, each in zip(truth, found, strict=True)
        ]
        features = Features(context=self.context).compare(
            [each.rows for each in own], [each.rows for each in reference]
        )
        return TaskStats(
            task=TASK,
            samples=len(own),
            truth=None,
            metrics=(
                bootstrapped(
                    Kind(name="AP50 to FP32", unit="%", perfect=100.0),
                    partial(_ap50, match(truth, found, most=self.options.most)),
                    None,
                    len(own),
                ),
                bootstrapped(
                    Kind(name="box IoU to FP32", unit="%", perfect=100.0),
                    partial(mean_overlap, overlaps),
                    None,
                    len(own),
                ),
            ),
            slices=features.slices,
            doubts=self._unjudged(own),
            worst=worst_of(self.context, [(1.0 - each).sum() for each in overlaps]),
        )


def _ap(matches: Sequence[Matches], weights: Weights) -> npt.NDArray[np.float64]:
    """AP in %, the mean over ten IoU limits, of each resample."""
    mean: npt.NDArray[np.float64] = 100.0 * average_precision(matches, weights).mean(axis=1)
    return mean


def _ap50(matches: Sequence[Matches], weights: Weights) -> npt.NDArray[np.float64]:
    """AP in % at an IoU of 0.5, of each resample."""
    return 100.0 * average_precision(matches, weights, limits=(0,))[:, 0]


def _doubts(ap: Metric) -> tuple[str, ...]:
    """Why the samples prove nothing: FP32's own AP is next to nothing."""
    if ap.reference is None or ap.reference >= _LEAST_AP:
        return ()
    return (
        f"FP32's own AP is {ap.reference:.2f} %: are the decoder, the preprocessing and the order"
        " of the classes the network's?",
    )


def _silent(f1: Metric, threshold: float) -> tuple[str, ...]:
    """Why F1 proves nothing: FP32 itself has no box right at the threshold."""
    if f1.reference:
        return ()
    return (
        f"FP32 itself has no box right that scores {threshold:g} or more: what scores are taken for"
        " objects where it is used (--task-args '{\"threshold\": 0.1}')?",
    )


def _truth(context: Context) -> tuple[Boxes, ...]:
    """The ground truth of all samples.

    Raises:
        DataError: it is of another kind, empty, or has classes that the network does not have.
    """
    targets = context.targets
    assert targets is not None
    if targets.kind != "boxes":
        raise DataError(
            f"{TASK}: the ground truth holds {targets.kind}; boxes are wanted",
            hint="give COCO json, YOLO's text files or a CSV with boxes, or another --task",
        )
    truth = tuple(targets.at(i) for i in range(targets.count))
    if not any(np.count_nonzero(~boxes.crowd) for boxes in truth):
        raise DataError(
            f"{TASK}: the ground truth of {targets.count} samples has no object: {targets.rule}",
            hint="are the annotations those of these images? without ground truth: --ignore-labels",
        )
    classes = len(context.spec.classes) or context.spec.num_classes
    highest = max(int(boxes.classes.max()) for boxes in truth if len(boxes.classes))
    if classes and highest >= classes:
        name = targets.names[highest] if highest < len(targets.names) else f"class {highest}"
        raise DataError(
            f"{TASK}: the ground truth has {name!r} (index {highest}); the network has {classes}"
            " classes, from 0",
            hint="name the network's classes in its order: --class-names FILE",
        )
    return truth


def _by_sample(array: np.ndarray, samples: int) -> np.ndarray:
    """An output with the samples along the first axis: of outputs without a batch axis, those of
    several samples are joined there."""
    if len(array) == samples or not samples or len(array) % samples:
        return array
    return array.reshape(samples, -1, *array.shape[1:])
