"""Images made whole batches of, and what an engine gives for those by image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge_scnet.core.ragged import ragged
from edge_scnet.errors import BackendError


def by_image(parts: Sequence[np.ndarray], batch: int, *, is_open: bool) -> np.ndarray:
    """What an engine gave for batch after batch of an output, the images along the first axis.

    Args:
        is_open: its size depends on the data: the result is ragged, even where all have one size.

    Raises:
        BackendError: its size depends on the data, and a batch has several images.
    """
    shapes = list(dict.fromkeys(part.shape for part in parts))
    if batch == 1 and (is_open or len(shapes) > 1):
        return ragged(parts)
    if is_open or len(shapes) > 1:
        sizes = " and ".join(" x ".join(map(str, shape)) for shape in shapes[:2])
        raise BackendError(
            f"the size of an output depends on the data ({sizes}): of {batch} images at once nobody"
            " can tell which part of it is whose",
            hint="build it at batch 1; or export boxes and scores without NonMaxSuppression",
        )
    if parts[0].shape[:1] == (batch,):
        return np.concatenate(parts)
    return np.stack(parts)


def cycled(images: np.ndarray, count: int) -> np.ndarray:
    """So many images, from the start again where there are fewer: a view where there are enough."""
    return images[:count] if count <= len(images) else images[np.arange(count) % len(images)]
