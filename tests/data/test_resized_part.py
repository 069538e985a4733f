"""The part of a resized picture that is the input: the codes are those of Pillow's whole."""

from __future__ import annotations

import random

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.preprocessing import Interpolation, Preprocessing
from edge_scnet.data.resize import PILLOW_METHODS, Part, resized_part

FILTERS: tuple[Interpolation, ...] = ("bilinear", "bicubic", "area", "lanczos")
SIDES = (256, 256, 232, 235, 128, 64, 512)


def noise(rng: np.random.Generator, width: int, height: int, channels: int) -> np.ndarray:
    """Codes whose filtered sums go beyond 0 and 255, so that every rounding shows."""
    codes = rng.integers(0, 256, (height, width, channels), np.uint8)
    return np.where(codes > 127, 255, 0).astype(np.uint8) if width % 3 == 0 else codes


def compare(seeds: range) -> int:
    """Compares parts of pictures of any size with Pillow's own; the number of pictures."""
    for seed in seeds:
        chance, rng = random.Random(seed), np.random.default_rng(seed)
        width, height = chance.randint(150, 800), chance.randint(150, 800)
        side, how = chance.choice(SIDES), chance.choice(FILTERS)
        if width <= height:
            size = side, max(int(side * height / width), side)
        else:
            size = max(int(side * width / height), side), side
        cut = side - chance.choice((0, 0, side // 8, chance.randint(0, side // 2)))
        left, top = (round((full - cut) / 2) for full in size)
        part = Part(left=left, top=top, width=cut, height=cut)
        channels = chance.choice((1, 3, 3))
        image = noise(rng, width, height, channels)
        rule = Preprocessing(mean=(), std=(), interpolation=how)
        found = resized_part(image, size, part, rule, highest=255)
        whole = Image.fromarray(image[..., 0] if channels == 1 else image)
        method = Image.Resampling[PILLOW_METHODS[how]]
        expected = np.asarray(whole.resize(size, method)).reshape(size[1], size[0], channels)
        np.testing.assert_array_equal(
            found, part.of(expected), err_msg=f"seed {seed}: {width} x {height} to {size}, {how}"
        )
        assert found.dtype == np.uint8
    return len(seeds)


def test_a_part_has_the_codes_of_the_whole() -> None:
    assert compare(range(40)) == 40


@pytest.mark.slow
def test_a_part_has_the_codes_of_the_whole_whatever_the_sizes() -> None:
    assert compare(range(100, 1100)) == 1000


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        ((400, 533), (256, 341)),  # a photograph upright
        ((533, 400), (341, 256)),
        ((300, 601), (256, 512)),  # a power of two along the long side
        ((260, 900), (256, 886)),  # Pillow 13 begins with y
        ((4000, 300), (3413, 256)),
        ((250, 250), (256, 256)),  # enlarged
        ((1600, 1200), (341, 256)),
    ],
)
@pytest.mark.parametrize("how", FILTERS)
def test_sizes_of_cameras_and_beyond(
    size: tuple[int, int], resized: tuple[int, int], how: Interpolation
) -> None:
    image = noise(np.random.default_rng(0), *size, 3)
    left, top = (round((full - 224) / 2) for full in resized)
    rule = Preprocessing(mean=(), std=(), interpolation=how)
    part = Part(left=left, top=top, width=224, height=224)
    whole = Image.fromarray(image).resize(resized, Image.Resampling[PILLOW_METHODS[how]])
    found = resized_part(image, resized, part, rule, highest=255)
    np.testing.assert_array_equal(found, part.of(np.asarray(whole)))
