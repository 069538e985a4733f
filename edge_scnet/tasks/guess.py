"""What a network is for, told from what is known of the data, of the model, and of its outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.core.targets import TargetKind
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.registry import CLASSIFICATION, FEATURES

_OF_TARGETS: dict[TargetKind, str] = {
    "labels": "multilabel",
    "values": "regression",
    "keypoints": "keypoints",
    "boxes": "detection",
    "mask": "segmentation",
    "identity": "embedding",
}
# What people call the outputs of a file; those of a module are named here.
_NAMES = (
    (re.compile(r"landmark|keypoint|kpts|kps", re.IGNORECASE), "keypoints"),
    (re.compile(r"embed|descriptor", re.IGNORECASE), "embedding"),
    (re.compile(r"logit|class|prob|softmax", re.IGNORECASE), CLASSIFICATION),
)
_ONNX = "onnx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A task, and what it was told from, in words."""

    task: TaskSpec
    reason: str
    # the user named it
    said: bool = False

    @property
    def words(self) -> str:
        """One line for people."""
        if self.said:
            return f"{self.task.kind}, as said"
        return f"{self.task.kind}, told from {self.reason}; --task to say another"


def told(context: Context) -> Told:
    """What a network is for: what the user said, else the data, else the outputs.

    Where it cannot be told, its outputs are features. Only what is known to hold scores of classes
    is judged by the largest.

    Args:
        context: its heads may be empty, where there is no graph to look at.
    """
    said = context.task or context.spec.task
    if said is not None:
        return Told(task=said, reason="the option", said=True)
    arguments = context.arguments
    for kind, reason in _guesses(context):
        return Told(task=TaskSpec(kind=kind, arguments=arguments), reason=reason)
    return Told(
        task=TaskSpec(kind=FEATURES, arguments=arguments),
        reason=f"no more than {_shapes(context.heads)}",
    )


def _guesses(context: Context) -> Iterator[tuple[str, str]]:
    """Yields tasks and reasons, the surest first."""
    if context.targets is not None:
        yield _OF_TARGETS[context.targets.kind], f"the data ({context.targets.rule})"
    if not context.heads:
        if context.labels is not None:
            yield CLASSIFICATION, f"the labels ({context.label_rule or 'given'})"
        return
    head = context.heads[0]
    # of an output whose size depends on the data `by_sample` is false
    if len(head.shape) == 2 and head.dtype[:5] == "float" and head.by_sample:
        yield from _of_vector(head, context)
    for each in context.heads:
        if len(each.shape) in (3, 4) and each.by_sample:
            yield from _of_map(each, context.spec)


def _of_vector(head: OutputHead, context: Context) -> Iterator[tuple[str, str]]:
    """Of an output with one row of values a sample."""
    spec, columns = context.spec, head.shape[1]
    known, labels = _known_classes(spec), context.labels
    if columns == 1:
        yield from _of_column(head, labels)
        return
    if head.ending == "l2":
        yield "embedding", f"vectors of one length ({head.name}, {columns} values)"
    if head.ending in ("softmax", "log_softmax"):
        yield CLASSIFICATION, f"a Softmax over {columns} classes"
    if labels is not None:
        yield CLASSIFICATION, f"the labels ({context.label_rule or 'given'})"
    if known and known == columns:
        yield CLASSIFICATION, f"{columns} outputs, as many as classes"
    if spec.arch == _ONNX and (kind := _by_name(head)) is not None:
        yield kind, f"the output's name ({head.name})"
    if head.ending == "sigmoid":
        yield "multilabel", f"{columns} probabilities, each by itself"


def _by_name(head: OutputHead) -> str | None:
    for pattern, kind in _NAMES:
        is_odd = kind == "keypoints" and (head.shape[1] or 1) % 2
        if pattern.search(head.name) and not is_odd:
            return kind
    return None


def _known_classes(spec: ModelSpec) -> int | None:
    """How many classes the network is known to tell apart."""
    return len(spec.classes) or (None if spec.classes_counted else spec.num_classes)


def _of_column(head: OutputHead, labels: tuple[int, ...] | None) -> Iterator[tuple[str, str]]:
    """Of an output with one value a sample, which is no class."""
    if head.ending == "sigmoid":
        yield "binary", f"one probability a sample ({head.name})"
    elif labels is not None and set(labels) <= {0, 1}:
        yield "binary", f"one value a sample ({head.name}) and labels of two classes"
    elif labels is None:
        yield "regression", f"one value a sample ({head.name})"


def _of_map(head: OutputHead, spec: ModelSpec) -> Iterator[tuple[str, str]]:
    """Of an output with values at places of the image."""
    size = " x ".join("?" if length is None else str(length) for length in head.shape[1:])
    if head.dtype[0] in "iu" and _is_plane(head, spec):
        yield "segmentation", f"a map of whole numbers ({head.name}, {size})"
    if len(head.shape) != 4 or head.dtype[0] != "f" or not _is_plane(head, spec):
        return
    known = _known_classes(spec)
    channels = {head.shape[1], head.shape[3]}
    if head.ending in ("softmax", "log_softmax") and head.axis in (1, 3):
        yield "segmentation", f"a Softmax over a map's channels ({head.name}, {size})"
    if head.ending == "sigmoid" and 1 in channels:
        yield "segmentation", f"a map of one probability ({head.name}, {size})"
    if known and known > 1 and known in channels and head.ending == "linear":
        yield "segmentation", f"a map with as many channels as classes ({head.name}, {size})"


def _is_plane(head: OutputHead, spec: ModelSpec) -> bool:
    """Whether a map is of the image: at least an eighth of the input's height and width."""
    sides = [length for length in head.shape[1:] if length is not None]
    if None in head.shape[1:] or len(spec.input_shape) != 3:
        return len(head.shape) == 4
    longest = sorted(sides)[-2:]
    return len(longest) == 2 and min(longest) * 8 >= min(sorted(spec.input_shape)[-2:])


def _shapes(heads: Sequence[OutputHead]) -> str:
    listed = [
        " x ".join("?" if length is None else str(length) for length in head.shape)
        for head in heads[:3]
    ]
    if not listed:
        return "the outputs"
    more = ", ..." if len(heads) > 3 else ""
    return f"outputs of {', '.join(listed)}{more}"
