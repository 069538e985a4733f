"""Ground truth of samples, other than one class a sample: boxes, masks, keypoints, values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edge_scnet.core.files import sha256_bytes

# labels: uint8 [classes], 1 where a label applies
# values: float32 [columns], in the units of the data
# keypoints: float32 [points, 3]: x and y in pixels of the upright image, and 1 where it is visible
# boxes: `Boxes`
# mask: integers [height, width] of the upright image, the class of each pixel; 255: not judged
# identity: int; samples of one identity belong together
TargetKind = Literal["labels", "values", "keypoints", "boxes", "mask", "identity"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Boxes:
    """The objects in one image."""

    # float32 [objects, 4]: x1, y1, x2, y2 in pixels of the upright image
    corners: np.ndarray
    # int64 [objects]: indices into the network's classes
    classes: np.ndarray
    # bool [objects]: a crowd, whose detections count neither as right nor as wrong
    crowd: np.ndarray
    # float32 [objects]: in square pixels, which COCO takes from the mask where there is one
    areas: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What is known of each sample of a set, in the set's order."""

    kind: TargetKind
    # how it was found, in words, for reports
    rule: str
    count: int
    # the truth of sample i, in the form of `kind`; masks are read from their files when asked for;
    # it can be pickled: sets are sent to other processes
    at: Callable[[int], Any]
    # sha256 of all of it, in the set's order
    hash: str
    # of what it indexes: classes, labels, columns, points; empty: they have none
    names: tuple[str, ...] = ()

    def subset(self, indices: Sequence[int]) -> Targets:
        """The truth of some samples, in that order."""
        chosen = tuple(indices)
        return replace(
            self,
            count=len(chosen),
            at=_Chosen(at=self.at, indices=chosen),
            hash=sha256_bytes(f"{self.hash} {list(chosen)}".encode()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Looks up some of the samples; an object, for sets are sent to other processes."""

    at: Callable[[int], Any]
    indices: tuple[int, ...]

    def __call__(self, i: int) -> Any:
        return self.at(self.indices[i])
