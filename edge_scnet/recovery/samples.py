"""The calibration samples of a recovery: which it learns from, which it is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253
import torch.nn.functional as F  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.errors import DataError

# A quarter, of which so many at most.
_HELD_OUT_SHARE, _MOST_HELD_OUT = 4, 64
# Fewer held-out samples do not tell a gain from chance.
LEAST = 64
# Of a picture's sides, what a crop has.
_SMALLEST_CROP = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySamples:
    """Samples by input name, along the first axis."""

    arrays: dict[str, np.ndarray]
    # their indices, by content
    learned: tuple[int, ...]
    held_out: tuple[int, ...]
    # one input, of pictures N x C x H x W: parts of them and mirrored ones are pictures too
    are_pictures: bool

    def take(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns samples as they are."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(array[list(indices)]))
            for name, array in self.arrays.items()
        }

    def varied(self, indices: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        """Returns samples, of pictures parts of them, enlarged again, and mirrored.

        A label would still hold, and none is needed: a hundred pictures as they are would be
        learned by heart.
        """
        feeds = self.take(indices)
        if not self.are_pictures:
            return feeds
        name, pictures = next(iter(feeds.items()))
        return {name: torch.stack([_varied(picture, rng) for picture in pictures])}


def _varied(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """A picture C x H x W, mirrored by chance, or a part of it at its own size."""
    if rng.random() < 0.5:
        picture = picture.flip(2)
    if rng.random() < 0.25:
        return picture
    share = rng.uniform(_SMALLEST_CROP, 1.0)
    height, width = (max(int(side * share), 1) for side in picture.shape[1:])
    top = int(rng.integers(0, picture.shape[1] - height + 1))
    left = int(rng.integers(0, picture.shape[2] - width + 1))
    part = picture[None, :, top : top + height, left : left + width]
    size = (picture.shape[1], picture.shape[2])
    return F.interpolate(part, size=size, mode="bilinear", align_corners=False)[0]


def divide(content_hashes: Sequence[str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the indices to learn from and those held out, by the samples' contents alone.

    Raises:
        DataError: too few samples; says how many are needed.
    """
    count = len(content_hashes)
    if count < LEAST:
        raise DataError(
            f"--recover learns from calibration samples and holds a quarter of them out: {count}"
            f" are too few, {LEAST} are needed",
            hint=f"give --calib {LEAST} samples or more, or leave --recover out",
        )
    order = sorted(range(count), key=lambda i: content_hashes[i])
    held_out = min(count // _HELD_OUT_SHARE, _MOST_HELD_OUT)
    return tuple(order[held_out:]), tuple(order[:held_out])


def samples_of(
    arrays: Mapping[str, np.ndarray], content_hashes: Sequence[str], *, are_pictures: bool
) -> RecoverySamples:
    """Divides samples.

    Raises:
        DataError: as `divide`.
    """
    learned, held_out = divide(content_hashes)
    return RecoverySamples(
        arrays=dict(arrays), learned=learned, held_out=held_out, are_pictures=are_pictures
    )
