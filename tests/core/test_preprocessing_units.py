from __future__ import annotations

import pytest

from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.core.preprocessing_units import unit_doubt

CODES_MEAN, CODES_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


@pytest.mark.parametrize(
    ("mean", "std", "pixel_max", "words"),
    [
        (
            CODES_MEAN,
            CODES_STD,
            1.0,
            "the mean 123.7,116.3,103.5 is larger than any pixel: pixels are 0 to 1 here; where it"
            " is of 0 to 255, say --pixel-max 255, or --mean 0.485,0.456,0.406 --std"
            " 0.229,0.224,0.225",
        ),
        # a network whose training divides by 255 twice: right, and still said
        ((0.4977, 0.436, 0.403), CODES_STD, 1.0, "the std 58.4,57.12,57.38 is larger"),
        ((-104.0, -117.0, -123.0), (1.0,) * 3, 1.0, "the mean -104,-117,-123 is larger"),
        ((0.5,) * 3, (0.5, 0.5, 1e-30), 1.0, "makes an input of 1e+30 and more"),
        ((300.0,) * 3, (1.0,) * 3, 255.0, "--pixel-max says others"),
        (IMAGENET_MEAN, IMAGENET_STD, 255.0, "look like those of pixels from 0 to 1"),
    ],
)
def test_values_of_another_range_are_said_with_their_numbers(
    mean: tuple[float, ...], std: tuple[float, ...], pixel_max: float, words: str
) -> None:
    doubt = unit_doubt(Preprocessing(mean=mean, std=std, pixel_max=pixel_max))
    assert doubt is not None and words in doubt


@pytest.mark.parametrize(
    ("mean", "std", "pixel_max"),
    [
        (IMAGENET_MEAN, IMAGENET_STD, 1.0),
        (CODES_MEAN, CODES_STD, 255.0),
        ((0.0,) * 3, (1.0,) * 3, 255.0),
        ((0.0,) * 3, (0.00392156862745098,) * 3, 1.0),
        ((), (), 1.0),
    ],
)
def test_values_of_the_right_range_are_not_doubted(
    mean: tuple[float, ...], std: tuple[float, ...], pixel_max: float
) -> None:
    assert unit_doubt(Preprocessing(mean=mean, std=std, pixel_max=pixel_max)) is None
