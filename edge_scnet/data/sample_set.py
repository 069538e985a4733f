"""The record of a sample set, sets in memory, and parts of sets."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from edge_scnet.core.targets import Boxes, Targets
from edge_scnet.data import arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Samples in a fixed order.

    The files of a folder or a list are read as needed; the pixels of an idx file are held (a few
    MB).
    """

    # by default the last two parts of the folder's path
    name: str = ""
    root: Path
    kind: Literal["idx", "folder", "arrays"]
    # path from root, or the index in the idx file or in the arrays
    entries: tuple[str, ...]
    # indices into the model's outputs
    labels: tuple[int, ...] | None
    # how labels were found, for reports
    label_rule: str | None
    # what the labels index; None: nobody named the classes
    class_names: tuple[str, ...] | None
    # sha256 of the file's bytes, or of the pixels in an idx file
    content_hashes: tuple[str, ...]
    # sha256 of content hashes in order, and labels
    hash: str = field(init=False)
    # unreadable images that were left out
    skipped: int = 0
    # why the first of them cannot be read, by name
    unreadable: tuple[str, ...] = field(default=(), repr=False)
    # copies of others that were left out
    copies: int = 0
    # files of types that are not read, by suffix
    ignored: tuple[tuple[str, int], ...] = ()
    # what a user should know of the set, as sentences
    notes: tuple[str, ...] = ()
    # uint8 N x H x W of an idx set
    pixels: np.ndarray | None = field(default=None, repr=False, compare=False)
    # of a folder's images, in pixels
    short_sides: tuple[int, ...] = ()
    # images that have an alpha channel or a transparent colour
    transparent: int = 0
    # images of 16 bits a pixel
    deep: int = 0
    # what the network is fed with, of a set of arrays: a batch as `core.feeds` has them
    arrays: np.ndarray | None = field(default=None, repr=False, compare=False)
    # ground truth other than one class a sample
    targets: Targets | None = field(default=None, repr=False, compare=False)
    # width and height of a folder's images, upright, in pixels
    image_sizes: tuple[tuple[int, int], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        labels = None if self.labels is None else list(self.labels)
        digest = hashlib.sha256("\n".join(self.content_hashes).encode())
        digest.update(f"\nlabels {labels}".encode())
        if self.targets is not None:
            digest.update(f"\n{self.targets.kind} {self.targets.hash}".encode())
        if not self.name:
            object.__setattr__(self, "name", "/".join(self.root.resolve().parts[-2:]))
        object.__setattr__(self, "hash", digest.hexdigest())

    def __len__(self) -> int:
        return len(self.entries)


def in_memory(
    batch: np.ndarray,
    name: str,
    labels: Sequence[int] | None = None,
    *,
    targets: Targets | None = None,
) -> SampleSet:
    """The set of samples that the caller holds.

    Args:
        batch: as `core.feeds` has them.
        name: of the set, for reports.
    """
    return SampleSet(
        name=name,
        root=Path(name),
        kind="arrays",
        entries=tuple(f"{name}[{i}]" for i in range(len(batch))),
        labels=None if labels is None else tuple(int(label) for label in labels),
        label_rule=None if labels is None else "given with the samples",
        class_names=None,
        content_hashes=arrays.content_hashes(batch),
        arrays=batch,
        targets=targets,
    )


def chosen(samples: SampleSet, picked: Sequence[int]) -> SampleSet:
    """The samples at these indices, in that order; the set has a hash of its own."""
    labels, pixels, sides = samples.labels, samples.pixels, samples.short_sides
    return replace(
        samples,
        entries=tuple(samples.entries[i] for i in picked),
        content_hashes=tuple(samples.content_hashes[i] for i in picked),
        labels=None if labels is None else tuple(labels[i] for i in picked),
        pixels=None if pixels is None else pixels[list(picked)],
        short_sides=tuple(sides[i] for i in picked) if sides else (),
        arrays=None if samples.arrays is None else samples.arrays[list(picked)],
        targets=None if samples.targets is None else samples.targets.subset(picked),
        image_sizes=tuple(samples.image_sizes[i] for i in picked) if samples.image_sizes else (),
    )


def subset(samples: SampleSet, count: int) -> SampleSet:
    """As many of the samples, evenly spaced, or all of them."""
    return replace(chosen(samples, spread(len(samples), count)), skipped=0)


def unlabelled(samples: SampleSet) -> SampleSet:
    """The samples alone, without what is known of them."""
    return replace(samples, labels=None, label_rule=None, class_names=None, targets=None)


def without_copies(samples: SampleSet) -> SampleSet:
    """The first sample of each content; the others are left out, and counted.

    How many of them have other labels or targets than the first is noted; masks are not compared.
    """
    first = {content: i for i, content in reversed(list(enumerate(samples.content_hashes)))}
    pairs = [(first[content], i) for i, content in enumerate(samples.content_hashes)]
    copies = [(kept, i) for kept, i in pairs if kept != i]
    differ = [(kept, i) for kept, i in copies if _truth_differs(samples, kept, i)]
    notes = samples.notes
    if differ:
        kept_name, other = (samples.entries[i] for i in differ[0])
        notes += (
            f"{len(differ)} of the {len(copies)} copies that were left out have another label or"
            f" target than the one that is kept, such as {other} and {kept_name}",
        )
    left = chosen(samples, sorted(first.values()))
    return replace(left, copies=samples.copies + len(copies), notes=notes)


def _truth_differs(samples: SampleSet, a: int, b: int) -> bool:
    if samples.labels is not None and samples.labels[a] != samples.labels[b]:
        return True
    targets = samples.targets
    if targets is None or targets.kind == "mask":
        return False
    one, other = targets.at(a), targets.at(b)
    if isinstance(one, Boxes):
        return not (
            np.array_equal(one.corners, other.corners)
            and np.array_equal(one.classes, other.classes)
        )
    return not np.array_equal(one, other)


def spread(count: int, limit: int | None) -> Sequence[int]:
    """The indices of `limit` samples out of `count`, evenly spaced; of all without a limit."""
    if limit is None or limit >= count:
        return range(count)
    return [i * count // limit for i in range(limit)]
