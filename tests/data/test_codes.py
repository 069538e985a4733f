"""Codes of pixels, told from the numbers that a network of prepared pixels takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_scnet.core.feeds import batch_of_arrays
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.data.codes import (
    highest_code,
    numbers_of_arrays,
    numbers_of_pictures,
    refuse_codes,
)
from edge_scnet.data.images import normalise
from edge_scnet.errors import DataError
from tests.helpers.images import RGB

IMAGENET = Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD)
UNIT = Preprocessing(mean=(), std=())
# of Caffe: no codes are divided, and many prepared ones are codes of other pixels
CENTRED = Preprocessing(pixel_max=255, mean=(104.0, 117.0, 123.0), std=(1.0,) * 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("rule", [IMAGENET, UNIT, CENTRED])
def test_codes_are_refused_and_what_becomes_of_them_is_not(rule: Preprocessing) -> None:
    wanted = numbers_of_pictures(rule, hint="normalise them")
    for extreme in (PIXELS, np.full_like(PIXELS, 255), np.zeros_like(PIXELS)):
        refuse_codes(normalise(extreme, replace(RGB, preprocessing=rule)), wanted, where="x.npy")
    for codes in (PIXELS.astype(np.float32), PIXELS.transpose(0, 3, 1, 2).astype(np.float32)):
        with pytest.raises(DataError, match=r"^x\.npy holds whole numbers from 0 to 255, ") as e:
            refuse_codes(codes, wanted, where="x.npy")
        assert e.value.hint == "normalise them"


def test_the_message_says_what_the_engine_takes() -> None:
    with pytest.raises(DataError) as caught:
        refuse_codes(PIXELS.astype(np.float32), numbers_of_pictures(IMAGENET, hint=""), where="x")
    assert caught.value.message == (
        "x holds whole numbers from 0 to 255, as pixels are (5 x 8 x 8 x 3); the engine takes"
        " float32: prepared pictures are from -2.12 to 2.64"
    )


def test_other_numbers_are_nobodys_codes() -> None:
    wanted = numbers_of_pictures(IMAGENET, hint="")
    rng = np.random.default_rng(1)
    for array in (
        rng.standard_normal((300, 3, 4, 4)) * 20,  # wild, and no codes
        np.full((300, 1, 4, 4), 256.0),
        np.full((300, 1, 4, 4), 7.5),
        rng.integers(0, 2, (300, 1, 4, 4)).astype(np.float32),  # a drawing in black and white
    ):
        refuse_codes(array.astype(np.float32), wanted, where="x")
    # one sample of many that is none
    mixed = np.full((300, 1, 4, 4), 200.0, np.float32)
    assert highest_code(mixed) == 200
    mixed[299, 0, 3, 3] = 0.5
    assert highest_code(mixed) == 0


def test_of_arrays_it_is_known_where_they_hold_no_codes_themselves() -> None:
    def known(low: float, high: float) -> bool:
        return numbers_of_arrays(low, high, whose="those", hint="") is not None

    assert known(-2.1, 2.6) and known(0.0, 1.0) and known(0.0, 0.97)
    assert not known(0.0, 255.0) and not known(0.0, 60.0) and not known(3.0, 3.0)


def test_of_several_inputs_the_first_is_looked_at() -> None:
    batch = batch_of_arrays(
        {"image": np.zeros((2, 3, 4, 4), np.float32), "ids": np.full((2, 5), 200)}
    )
    refuse_codes(batch, numbers_of_pictures(IMAGENET, hint=""), where="x")


def test_a_black_picture_that_is_saved_as_bytes_is_one() -> None:
    black = np.zeros((1, 3, 8, 8), np.float32)
    pictures = numbers_of_pictures(IMAGENET, hint="")
    refuse_codes(black, pictures, where="x")
    with pytest.raises(DataError, match="whole numbers from 0 to 0, as pixels are"):
        refuse_codes(black, pictures, where="x", were_bytes=True)
    # a mask may be saved as bytes where the calibration samples were
    masks = numbers_of_arrays(0.0, 1.0, whose="masks", hint="")
    assert masks is not None
    refuse_codes(black, masks, where="x", were_bytes=True)
