"""The calibration samples of a recovery: what it learns from, chooses by, and is judged by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

from edge_scnet.errors import DataError

# A quarter, of which so many at most, or what two runs each take; one half of them is watched, the
# other judged by.
_HELD_OUT_SHARE, _MOST_HELD_OUT = 4, 128
# Fewer held-out samples do not tell a gain from chance.
LEAST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverySamples:
    """Samples by input name, along the first axis."""

    arrays: dict[str, np.ndarray]
    # their indices, by content
    learned: tuple[int, ...]
    # the best state is chosen by these
    watched: tuple[int, ...]
    # and held against the start on these, which nothing was chosen by
    judged: tuple[int, ...]
    # one input, of pictures N x C x H x W: mirrored ones are pictures too
    are_pictures: bool

    def take(self, indices: Sequence[int]) -> dict[str, Tensor]:
        """Returns samples as they are."""
        return {
            name: torch.from_numpy(np.ascontiguousarray(array[list(indices)]))
            for name, array in self.arrays.items()
        }

    def varied(self, indices: Sequence[int], rng: np.random.Generator) -> dict[str, Tensor]:
        """Returns samples, of pictures every second one mirrored.

        Parts of them, enlarged again, were worse: they are smoother than what the camera gives.
        """
        feeds = self.take(indices)
        if not self.are_pictures:
            return feeds
        name, pictures = next(iter(feeds.items()))
        return {name: torch.stack([p.flip(2) if rng.random() < 0.5 else p for p in pictures])}


def divide(content_hashes: Sequence[str], group: int = 1) -> tuple[tuple[int, ...], ...]:
    """Returns the indices to learn from, to watch and to judge by, by the samples' contents alone.

    Args:
        content_hashes: of all samples.
        group: how many of them a run of the graph takes.

    Raises:
        DataError: too few samples; says how many are needed.
    """
    count = len(content_hashes)
    least = max(LEAST, 4 * _HELD_OUT_SHARE * group)  # two runs or more to judge by
    if count < least:
        raise DataError(
            f"--recover learns from calibration samples and holds a quarter of them out: {count}"
            f" are too few, {least} are needed",
            hint=f"give --calib {least} samples or more, or leave --recover out",
        )
    order = sorted(range(count), key=lambda i: content_hashes[i])
    held_out = min(count // _HELD_OUT_SHARE, max(_MOST_HELD_OUT, 4 * group))
    half = held_out // 2
    return tuple(order[held_out:]), tuple(order[half:held_out]), tuple(order[:half])


def samples_of(
    arrays: Mapping[str, np.ndarray],
    content_hashes: Sequence[str],
    *,
    are_pictures: bool,
    group: int = 1,
) -> RecoverySamples:
    """Divides samples.

    Raises:
        DataError: as `divide`.
    """
    learned, watched, judged = divide(content_hashes, group)
    return RecoverySamples(
        arrays=dict(arrays),
        learned=learned,
        watched=watched,
        judged=judged,
        are_pictures=are_pictures,
    )
