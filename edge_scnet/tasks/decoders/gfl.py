"""Boxes as distributions over distances: X. Li et al., Generalized Focal Loss, NeurIPS 2020."""

from __future__ import annotations

import numpy as np


def boxes_of(centres: np.ndarray, stride: np.ndarray | float, logits: np.ndarray) -> np.ndarray:
    """Corners of boxes, [places, 4], whose distances to the centre are expected values.

    Args:
        centres: [places, 2], in pixels.
        stride: in pixels, which the bins are multiples of; a number, or [places, 1].
        logits: [places, 4 x bins]: left, top, right, bottom.
    """
    bins = logits.reshape(len(logits), 4, -1)
    shares = np.exp(bins - bins.max(axis=2, keepdims=True))
    shares /= shares.sum(axis=2, keepdims=True)
    distances = shares @ np.arange(bins.shape[2], dtype=np.float32) * stride
    return np.concatenate([centres - distances[:, :2], centres + distances[:, 2:]], axis=1)
