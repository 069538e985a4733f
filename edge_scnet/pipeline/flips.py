"""Images whose first class is another than the reference's, with thumbnails."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import Literal

import numpy as np

from edge_scnet.core.optional import installed
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.batches import load_pixels
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import DataError
from edge_scnet.report.run_report import Flip, Flips
from edge_scnet.stats.accuracy import probabilities

MOST_SHOWN = 24
_ORDER = ("lost", "won", "changed")
_SIDE_PX, _PNG_SIDE_PX = 96, 64  # photographs become JPEG: as PNG each would be 20 kB


def find(
    logits: np.ndarray,
    reference_logits: np.ndarray,
    samples: SampleSet,
    spec: ModelSpec,
    *,
    most: int = MOST_SHOWN,
) -> Flips:
    """Compares first classes, image by image.

    Args:
        logits, reference_logits: [images, classes], in the samples' order.
        most: how many are shown.
    """
    now, was = logits.argmax(axis=1), reference_logits.argmax(axis=1)
    changed = np.flatnonzero(now != was).tolist()
    percent = 100.0 * probabilities(logits[changed])
    reference_percent = 100.0 * probabilities(reference_logits[changed])
    flips = [
        (
            i,
            Flip(
                image=samples.entries[i],
                kind=_kind(None if samples.labels is None else samples.labels[i], was[i], now[i]),
                truth=None if samples.labels is None else samples.labels[i],
                was=int(was[i]),
                now=int(now[i]),
                was_percent=float(reference_percent[row, was[i]]),
                now_percent=float(percent[row, now[i]]),
                thumbnail=None,
            ),
        )
        for row, i in enumerate(changed)
    ]
    flips.sort(key=lambda pair: _rank(pair[1]))
    shown = tuple(_with_thumbnail(flip, samples, i, spec) for i, flip in flips[:most])
    return Flips(count=len(flips), shown=shown)


def _kind(truth: int | None, was: int, now: int) -> Literal["lost", "won", "changed"]:
    return "lost" if truth == was else "won" if truth == now else "changed"


def _rank(flip: Flip) -> tuple[int, float]:
    """Lost before won before changed, and the surest first."""
    return _ORDER.index(flip.kind), -(flip.was_percent + flip.now_percent)


def _with_thumbnail(flip: Flip, samples: SampleSet, index: int, spec: ModelSpec) -> Flip:
    try:
        return replace(flip, thumbnail=_thumbnail(load_pixels(samples, index, spec)))
    except DataError:  # it was there when it was evaluated: no reason to lose what that gave
        return flip


def _thumbnail(pixels: np.ndarray) -> str | None:
    """A data: URL of uint8 or uint16 H x W x C, at most 96 px wide and high.

    Of 16 bits the lowest code is drawn black, the highest white: most use a part of the range.
    None without Pillow, or for other channels than 1 and 3.
    """
    if not installed("PIL") or pixels.shape[2] not in (1, 3):
        return None
    from PIL import Image

    if pixels.dtype != np.uint8:
        low, high = int(pixels.min()), int(pixels.max())
        pixels = ((pixels - low) / max(high - low, 1) * 255).astype(np.uint8)
    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    kind = "png" if max(picture.size) <= _PNG_SIDE_PX else "jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
