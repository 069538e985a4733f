"""Batches of one input or several."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_scnet.core.feeds import as_taken, batch_of_arrays, feed_of, fitted, random_batch
from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import EngineSpec, TensorSpec
from edge_scnet.models.zoo import FASHION_MNIST

PICTURES = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
MASKS = np.array([[1, 0], [0, 1], [1, 1], [0, 0]], np.int64)


def test_several_inputs_are_one_batch_that_is_cut_and_joined_like_an_array() -> None:
    batch = batch_of_arrays({"image": PICTURES, "mask": MASKS})
    assert len(batch) == 4
    feed = feed_of(np.concatenate([batch[2:], batch[[0]]]), "image")
    np.testing.assert_array_equal(feed["image"], PICTURES[[2, 3, 0]])
    np.testing.assert_array_equal(feed["mask"], MASKS[[2, 3, 0]])
    assert feed["mask"].dtype == np.int64 and feed["image"].flags["C_CONTIGUOUS"]


def test_a_plain_array_is_for_the_first_input() -> None:
    assert feed_of(PICTURES, "x")["x"] is PICTURES
    assert feed_of({"y": PICTURES}, "x") == {"y": PICTURES}


def test_inputs_of_different_lengths_are_no_batch() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        batch_of_arrays({"image": PICTURES, "mask": MASKS[:3]})


def test_random_samples_have_the_shapes_and_types_of_the_inputs() -> None:
    assert random_batch(FASHION_MNIST, 3, seed=0).shape == (3, 1, 28, 28)
    spec = replace(
        FASHION_MNIST,
        input_name="image",
        more_inputs=(
            TensorSpec(name="ids", shape=(5,), dtype="int64"),
            TensorSpec(name="scale", shape=(2,)),
        ),
    )
    feed = feed_of(random_batch(spec, 3, seed=0), "image")
    assert {name: (a.shape, a.dtype.name) for name, a in feed.items()} == {
        "image": ((3, 1, 28, 28), "float32"),
        "ids": ((3, 5), "int64"),
        "scale": ((3, 2), "float32"),
    }
    assert not feed["ids"].any() and feed["scale"].std() > 0


def engine_spec(shape: tuple[int, ...], dtype: str, *, channels_last: bool = False) -> EngineSpec:
    return EngineSpec(
        name="engine",
        arch="engine",
        input_shape=shape,
        preprocessing=Preprocessing(mean=(), std=()),
        dtype=dtype,
        channels_last=channels_last,
    )


def test_pictures_are_given_in_the_layout_and_type_of_an_engine() -> None:
    spec = engine_spec((2, 3, 1), "uint8", channels_last=True)
    assert (spec.channels, spec.height, spec.width, spec.takes_pictures) == (1, 2, 3, True)
    taken = as_taken(20 * PICTURES - 7.4, spec)
    assert (taken.shape, taken.dtype) == ((4, 2, 3, 1), np.uint8)
    # rounded and kept within a byte, not wrapped round
    assert taken[0].ravel().tolist() == [0, 13, 33, 53, 73, 93] and taken[-1].max() == 255
    assert as_taken(PICTURES, FASHION_MNIST) is PICTURES


def test_random_samples_have_the_type_of_an_engine() -> None:
    pixels = random_batch(engine_spec((4, 4, 3), "uint8", channels_last=True), 8, seed=0)
    assert (pixels.dtype, pixels.shape) == (np.uint8, (8, 4, 4, 3)) and np.ptp(pixels) > 200
    assert random_batch(engine_spec((5,), "float16"), 2, seed=0).dtype == np.float16
    assert not random_batch(engine_spec((5,), "int64"), 2, seed=0).any()


def test_an_input_without_a_batch_axis_is_one_samples() -> None:
    state = np.arange(6).reshape(1, 2, 3)
    assert fitted(state, (2, 3)).shape == (2, 3)
    assert fitted(state, (1, 2, 3)) is state
    number = fitted(np.array([7.0]), ())
    assert isinstance(number, np.ndarray) and number.shape == ()
    assert fitted(PICTURES, (1, 2, 3)) is PICTURES, "several samples are not one"
