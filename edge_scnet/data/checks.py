"""Checks of sample sets: counts, copies, sizes, and images that are in two sets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

from edge_scnet.data.labels import LISTED_RULE, SORTED_RULE, Role
from edge_scnet.data.samples import FEW_CALIBRATION, MIN_CALIBRATION, SampleSet
from edge_scnet.errors import DataError

if TYPE_CHECKING:
    from edge_scnet.core.spec import ModelSpec


def check_counts(samples: SampleSet, *, role: Role) -> list[str]:
    """The warnings of `count_warnings`.

    Raises:
        DataError: fewer than 100 calibration images: thresholds would hang on a few of them.
    """
    if role == "calibration" and len(samples) < MIN_CALIBRATION:
        left_out = f" ({samples.skipped} unreadable ones left out)" if samples.skipped else ""
        raise DataError(
            f"{samples.root} has {len(samples)} calibration images{left_out}; at least"
            f" {MIN_CALIBRATION} are needed, {FEW_CALIBRATION} and more are better",
            hint=(
                "add images of the training data: edge-scnet build --calib DIR"
                if samples.arrays is None
                else "pass more samples of the training data"
            ),
        )
    return count_warnings(samples, role=role)


def count_warnings(samples: SampleSet, *, role: Role) -> list[str]:
    """Warnings about too few calibration images, skipped ones, copies, and classes without any."""
    warnings = []
    if role == "calibration" and MIN_CALIBRATION <= len(samples) < FEW_CALIBRATION:
        warnings.append(
            f"{len(samples)} calibration images: {FEW_CALIBRATION} and more give steadier"
            " thresholds"
        )
    warnings += _check_copies(samples, role)
    warnings += samples.notes
    warnings += _check_ignored(samples, role)
    if role == "evaluation" and samples.label_rule in (SORTED_RULE, LISTED_RULE):
        warnings.append(
            f"{samples.label_rule}, as in torchvision's ImageFolder: if the model's order is"
            " another, every top-1 here is wrong; --class-names FILE, or folders named by class"
            " index, make sure"
        )
    if samples.skipped:
        warnings.append(
            f"{samples.skipped} of {samples.skipped + len(samples)} {role} images are unreadable"
            " and were skipped"
        )
    return warnings + _check_covered(samples, role)


def _check_covered(samples: SampleSet, role: Role) -> list[str]:
    """A warning about classes without samples."""
    if samples.labels is None or samples.class_names is None:
        return []
    covered = set(samples.labels)
    missing = [name for i, name in enumerate(samples.class_names) if i not in covered]
    if not missing:
        return []
    shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
    return [f"{len(missing)} of {len(samples.class_names)} classes have no {role} image: {shown}"]


def check_size(samples: SampleSet, spec: ModelSpec, *, role: Role) -> list[str]:
    """A warning about images that are smaller than the model's input.

    Or about an idx set whose images have any other size.
    """
    if samples.arrays is not None:
        return []
    wanted = f"{spec.width} x {spec.height}"
    if samples.pixels is not None:
        height, width = samples.pixels.shape[1:]
        if (height, width) != (spec.height, spec.width) and spec.preprocessing.short_side is None:
            return [
                f"the {role} images are {width} x {height} and the model's input is {wanted}: they"
                " are resized"
            ]
        return []
    small = [side for side in samples.short_sides if side < min(spec.height, spec.width)]
    if not small:
        return []
    return [
        f"{len(small)} of {len(samples)} {role} images are smaller than the model's input of"
        f" {wanted} (the smallest is {min(small)} pixels wide or high): they are enlarged"
    ]


def check_overlap(calibration: SampleSet, evaluation: SampleSet) -> None:
    """Refuses an evaluation set that shares images with the calibration set.

    Images are compared by content. Contents are a file's bytes or an idx file's pixels: the same
    picture saved anew is not found.

    Raises:
        DataError: an evaluation image is among the calibration images: accuracy would be measured
            on data already seen.
    """
    seen = dict(
        zip(reversed(calibration.content_hashes), reversed(calibration.entries), strict=True)
    )
    both = [
        (seen[evaluation.content_hashes[i]], evaluation.entries[i])
        for i in shared_with(evaluation, seen)
    ]
    if both:
        shown = "".join(f"\n  {calibration.root / a} = {evaluation.root / b}" for a, b in both[:3])
        shown += "\n  ..." if len(both) > 3 else ""
        raise DataError(
            f"{len(both)} of {len(evaluation)} evaluation images are calibration images"
            f" too:{shown}",
            hint=(
                "take calibration images from the training data: edge-scnet build --calib"
                " TRAINING_IMAGES --eval TEST_IMAGES"
            ),
        )


def shared_with(samples: SampleSet, content_hashes: Collection[str]) -> list[int]:
    """The indices of the samples whose content is among these hashes."""
    hashes = frozenset(content_hashes)
    return [i for i, content in enumerate(samples.content_hashes) if content in hashes]


def _check_copies(samples: SampleSet, role: Role) -> list[str]:
    """Warnings about samples that others are copies of, and about those that were left out."""
    what = "samples" if samples.arrays is not None else "images"
    warnings = []
    if samples.copies:
        warnings.append(f"{samples.copies} {role} {what} are copies of others and were left out")
    copies = len(samples) - len(set(samples.content_hashes))
    if not copies:
        return warnings
    by_content: dict[str, list[int]] = defaultdict(list)
    for i, content in enumerate(samples.content_hashes):
        by_content[content].append(i)
    same = [indices for indices in by_content.values() if len(indices) > 1]
    first, second = (samples.entries[i] for i in same[0][:2])
    way = "; --drop-duplicates leaves them out" if samples.root.exists() else ""
    warnings.append(
        f"{copies} {role} {what} are copies of others, such as {first} = {second}: they count"
        f" twice{way}"
    )
    labels = samples.labels
    if labels is not None:
        differ = [indices for indices in same if len({labels[i] for i in indices}) > 1]
        if differ:
            first, second = (samples.entries[i] for i in differ[0][:2])
            warnings.append(
                f"{len(differ)} of these have copies of another label, such as {first} and {second}"
            )
    return warnings


def _check_ignored(samples: SampleSet, role: Role) -> list[str]:
    """A warning about files whose type is not read."""
    if not samples.ignored:
        return []
    count = sum(number for _, number in samples.ignored)
    shown = ", ".join(f"{number} {suffix}" for suffix, number in samples.ignored[:5])
    return [
        f"{count} {'file' if count == 1 else 'files'} of other types in the {role} set"
        f" {'is' if count == 1 else 'are'} not read: {shown}"
    ]
