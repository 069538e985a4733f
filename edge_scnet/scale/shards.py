"""Samples in shards: how many belong together depends on their size alone, never on the workers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

import numpy as np

# Of a shard: what one message may have, and the images that are enough work for a task.
_SHARD_BYTES, _MOST_IMAGES = 8 << 20, 64


def shard_length(sample_bytes: int, batch: int = 1) -> int:
    """How many samples a shard has: whole batches, at least one."""
    most = min(_SHARD_BYTES // max(sample_bytes, 1), _MOST_IMAGES)
    return max(most // batch, 1) * batch


def shards_of(batches: Iterable[np.ndarray], batch: int = 1) -> Iterator[np.ndarray]:
    """Samples that come in batches of any length, in shards; the last may be shorter.

    Args:
        batches: as `core.feeds` has them.
        batch: that no shard may cut.
    """
    waiting: list[np.ndarray] = []
    count = 0
    for some in batches:
        waiting.append(some)
        count += len(some)
        length = shard_length(some[:1].nbytes, batch)
        while count >= length:
            joined = np.concatenate(waiting)
            yield joined[:length]
            waiting, count = [joined[length:]], count - length
    if count:
        yield np.concatenate(waiting)


def as_bytes(samples: np.ndarray) -> bytes:
    """Samples as a task's input; several inputs' are a structured array, which is kept so."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(samples), allow_pickle=False)
    return buffer.getvalue()


def from_bytes(data: bytes) -> np.ndarray:
    """Samples of `as_bytes`."""
    array: np.ndarray = np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
    return array
