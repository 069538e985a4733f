"""Images whose first class is another than the reference's: which, how sure both were, and what
they look like.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from edge_scnet.core.optional import installed
from edge_scnet.errors import DataError
from edge_scnet.report.run_report import Flip, Flips

if TYPE_CHECKING:
    import numpy as np

    from edge_scnet.core.spec import ModelSpec
    from edge_scnet.data.samples import SampleSet

MOST_SHOWN = 24
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
    """
    import numpy as np

    from edge_scnet.stats.accuracy import probabilities

    now, was = logits.argmax(axis=1), reference_logits.argmax(axis=1)
    flipped = np.flatnonzero(now != was).tolist()
    mine, its = probabilities(logits[flipped]), probabilities(reference_logits[flipped])
    found = []
    for row, i in enumerate(flipped):
        truth = None if samples.labels is None else samples.labels[i]
        kind: Literal["lost", "won", "changed"] = (
            "lost" if truth == was[i] else "won" if truth == now[i] else "changed"
        )
        found.append(
            (
                i,
                Flip(
                    image=samples.entries[i],
                    kind=kind,
                    truth=truth,
                    was=int(was[i]),
                    now=int(now[i]),
                    was_percent=100.0 * float(its[row, was[i]]),
                    now_percent=100.0 * float(mine[row, now[i]]),
                    thumbnail=None,
                ),
            )
        )
    order = ("lost", "won", "changed")
    found.sort(
        key=lambda pair: (order.index(pair[1].kind), -(pair[1].was_percent + pair[1].now_percent))
    )
    return Flips(count=len(found), shown=tuple(_with_thumbnails(found[:most], samples, spec)))


def _with_thumbnails(
    found: Sequence[tuple[int, Flip]], samples: SampleSet, spec: ModelSpec
) -> Iterator[Flip]:
    from edge_scnet.data.batches import load_pixels

    for i, flip in found:
        try:
            yield replace(flip, thumbnail=_thumbnail(load_pixels(samples, i, spec)))
        except DataError:  # it was there when it was evaluated: no reason to lose what that gave
            yield flip


def _thumbnail(pixels: np.ndarray) -> str | None:
    """A data: URL of uint8 H x W x C, at most 96 px wide and high; None without Pillow, or for
    other channels than 1 and 3.
    """
    if not installed("PIL") or pixels.shape[2] not in (1, 3):
        return None
    from PIL import Image

    picture = Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    kind = "png" if max(picture.size) <= _PNG_SIDE_PX else "jpeg"
    buffer = io.BytesIO()
    picture.save(buffer, kind, optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
