"""Accuracy class by class, from the classes that a report keeps of every image. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_scnet.core.packing import unpack_classes
from edge_scnet.report.run_report import RunReport, accuracy_row, reference_row


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """The images of one class: how many each engine knows, and how many the INT8 engine lost and
    won.
    """

    index: int
    name: str
    images: int
    reference_right: int
    right: int
    lost: int
    won: int

    @property
    def reference_percent(self) -> float:
        return 100.0 * self.reference_right / self.images

    @property
    def percent(self) -> float:
        return 100.0 * self.right / self.images


def class_name(classes: Sequence[str], index: int) -> str:
    """A class's name, or its number where nobody named it."""
    return classes[index] if 0 <= index < len(classes) else f"class {index}"


def per_class(report: RunReport) -> tuple[ClassRow, ...]:
    """Every class that has images, the greatest loss first; empty where labels or an engine's
    classes are not known.

    Raises:
        ValueError: packed classes that are damaged.
    """
    reference, int8 = reference_row(report), accuracy_row(report)
    if (
        report.evaluation is None
        or report.evaluation.truth is None
        or reference is None
        or int8 is None
    ):
        return ()
    if reference.first_classes is None or int8.first_classes is None:
        return ()
    images = report.evaluation.images
    truth, was, now = (
        unpack_classes(packed, images)
        for packed in (report.evaluation.truth, reference.first_classes, int8.first_classes)
    )
    counts: dict[int, list[int]] = {}
    for label, before, after in zip(truth, was, now, strict=True):
        count = counts.setdefault(label, [0, 0, 0, 0, 0])
        right = before == label, after == label
        for place, one in enumerate(
            (True, *right, right[0] and not right[1], right[1] and not right[0])
        ):
            count[place] += one
    rows = [
        ClassRow(
            index=label,
            name=class_name(report.classes, label),
            images=n,
            reference_right=before,
            right=after,
            lost=lost,
            won=won,
        )
        for label, (n, before, after, lost, won) in counts.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.percent - row.reference_percent, row.index)))
