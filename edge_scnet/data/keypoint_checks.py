"""Keypoints of pictures that do not show one object each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_scnet.data.image_list import MOST_NAMED
from edge_scnet.errors import DataError


def refuse_other_than_one(counts: Mapping[str, int], where: Path) -> None:
    """Refuses images that do not show one object with keypoints.

    Args:
        counts: such objects, by image.
        where: what they are from, for the message.

    Raises:
        DataError: names up to 20 of them.
    """
    other = [f"{image}: {count}" for image, count in counts.items() if count != 1]
    if not other:
        return
    shown = "".join(f"\n  {line}" for line in other[:MOST_NAMED])
    raise DataError(
        f"{where}: {len(other)} of {len(counts)} images do not have keypoints of one object"
        f" each:{shown}",
        hint="cut each object out, an image for each, with its keypoints",
    )
