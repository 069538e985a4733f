"""Images whose class the INT8 engine changed: found, named and drawn."""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_scnet.data.samples import open_samples
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline import flips
from edge_scnet.report import run_report
from tests.helpers.images import idx_folder


def test_flipped_images_are_found_named_and_drawn(tmp_path: Path) -> None:
    pixels = np.zeros((6, 28, 28), np.uint8)
    pixels[:, 3, 4] = np.arange(6) * 50
    samples = open_samples(
        idx_folder(tmp_path / "eval", pixels, np.array([0, 0, 1, 1, 2, 3])),
        model=FASHION_MNIST,
        role="evaluation",
    )
    was, now = np.array([0, 0, 1, 0, 2, 4]), np.array([0, 1, 2, 1, 2, 5])
    sure = np.array([9, 1, 3, 9, 9, 9])[:, None]
    logits, reference = np.eye(10)[now] * sure, np.eye(10)[was] * sure
    found = flips.find(logits, reference, samples, FASHION_MNIST)
    assert found.count == 4
    # lost before won before changed; of the lost the surer first
    assert [(flip.image, flip.kind, flip.truth, flip.was, flip.now) for flip in found.shown] == [
        ("2", "lost", 1, 1, 2),
        ("1", "lost", 0, 0, 1),
        ("3", "won", 1, 0, 1),
        ("5", "changed", 3, 4, 5),
    ]
    assert found.shown[0].was_percent == pytest.approx(100 * np.exp(3) / (np.exp(3) + 9))
    from PIL import Image

    kind, _, data = str(found.shown[0].thumbnail).partition(";base64,")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/png" and picture.size == (28, 28) and picture.getpixel((4, 3)) == 100
    assert len(flips.find(logits, reference, samples, FASHION_MNIST, most=1).shown) == 1
    gone = replace(samples, pixels=None, kind="folder")  # the files are no longer there
    assert [
        flip.thumbnail for flip in flips.find(logits, reference, gone, FASHION_MNIST).shown
    ] == [None] * 4
    assert flips.find(reference, reference, samples, FASHION_MNIST) == run_report.Flips(
        count=0, shown=()
    )


def test_a_photograph_is_made_small(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 400, 3), np.uint8)
    drawn = flips._thumbnail(noise)
    assert drawn is not None and drawn.startswith("data:image/jpeg;base64,") and len(drawn) < 12_000
    assert flips._thumbnail(np.zeros((5, 5, 4), np.uint8)) is None


def test_a_depth_map_is_drawn_over_its_own_range() -> None:
    depth = np.array([[500, 1500], [3000, 5500]], np.uint16)[..., None]
    drawn = flips._thumbnail(depth)
    assert drawn is not None
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(drawn.partition(";base64,")[2])))
    assert np.asarray(picture).tolist() == [[0, 51], [127, 255]]
