"""Accuracy class by class, from the classes that a report keeps of every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_scnet.core.packing import unpack_classes
from edge_scnet.report.paired import lost_and_won
from edge_scnet.report.run_report import RunReport, accuracy_row, reference_row


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """The images of one class.

    It tells how many of them each engine got right, and how many the INT8 engine lost and won.
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
    """Returns a class's name, or its number where nobody named it."""
    return classes[index] if 0 <= index < len(classes) else f"class {index}"


def per_class(report: RunReport) -> tuple[ClassRow, ...]:
    """Returns every class that has images, the greatest loss first.

    It is empty where labels or an engine's classes are not known.

    Raises:
        ValueError: packed classes that are damaged.
    """
    reference, int8, evaluation = reference_row(report), accuracy_row(report), report.evaluation
    if evaluation is None or reference is None or int8 is None:
        return ()
    packed = evaluation.truth, reference.first_classes, int8.first_classes
    if None in packed:
        return ()
    truth, before, after = (unpack_classes(str(text), evaluation.images) for text in packed)
    rows = [
        _row_of(label, class_name(report.classes, label), right)
        for label, right in _right_by_label(truth, before, after).items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.percent - row.reference_percent, row.index)))


def _right_by_label(
    truth: Sequence[int], before: Sequence[int], after: Sequence[int]
) -> dict[int, list[tuple[bool, bool]]]:
    """Returns by class, for each of its images, whether the reference and the engine are right."""
    right: dict[int, list[tuple[bool, bool]]] = {}
    for label, reference, engine in zip(truth, before, after, strict=True):
        right.setdefault(label, []).append((reference == label, engine == label))
    return right


def _row_of(index: int, name: str, right: Sequence[tuple[bool, bool]]) -> ClassRow:
    reference, engine = zip(*right, strict=True)
    lost, won = lost_and_won(reference, engine)
    return ClassRow(
        index=index,
        name=name,
        images=len(right),
        reference_right=sum(reference),
        right=sum(engine),
        lost=lost,
        won=won,
    )
