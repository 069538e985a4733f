"""A preprocessing in words, and as the values that baselines hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.preprocessing_words import (
    input_words,
    origins_of,
    preprocessing_facts,
    words_of_facts,
)
from edge_scnet.core.spec import ModelSpec
from edge_scnet.models.defaults import pictures_of
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline.stages.provenance import _preprocessing_of
from tests.helpers.images import RGB, prepared


def spec_of(shape: tuple[int, ...] = (3, 64, 64), **options: Any) -> ModelSpec:
    rule = pictures_of(ModelOptions(**options), shape)
    return replace(RGB, input_shape=shape, classes=(), preprocessing=rule)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        (
            (3, 64, 64),
            {},
            "RGB, short side to 73 (Pillow bilinear), crop 64 x 64, 0 to 1, mean 0.485 0.456 0.406"
            " (ImageNet's, by default), std 0.229 0.224 0.225",
        ),
        (
            (3, 80, 80),
            {"colour": "BGR", "pixel_max": 255.0, "resize": 80},
            "BGR, short side to 80 (Pillow bilinear), crop 80 x 80, 0 to 255, no mean or std",
        ),
        (
            (3, 480, 640),
            {"preprocess": "yolo"},
            "RGB, letterboxed into 640 x 480 in the centre (OpenCV bilinear), padded with 114, 0 to"
            " 1, no mean or std (--preprocess yolo)",
        ),
        (
            (3, 64, 96),
            {"resize_mode": "stretch", "resample": "opencv", "interpolation": "area"},
            "RGB, stretched to 96 x 64 (OpenCV area), 0 to 1, mean 0.485 0.456 0.406 (ImageNet's,"
            " by default), std 0.229 0.224 0.225",
        ),
        (
            (3, 64, 96),
            {"resize": 72, "antialias": False, "mean": (0.5,) * 3, "std": (0.5,) * 3},
            "RGB, scaled to cover 108 x 72 (Pillow bilinear without antialiasing), crop 96 x 64, 0"
            " to 1, mean 0.5 0.5 0.5, std 0.5 0.5 0.5",
        ),
        (
            (1, 64, 64),
            {"resize_mode": "none", "exif": False, "pixel_max": 65.535},
            "grey, the centre 64 x 64, not resized, EXIF rotation ignored, 0 to 65.535, no mean or"
            " std",
        ),
    ],
)
def test_words(shape: tuple[int, ...], options: dict, words: str) -> None:
    spec = spec_of(shape, **options)
    assert input_words(spec) == words
    # a report knows the values alone, and not whose they are
    facts = words_of_facts(_preprocessing_of(spec))
    assert facts == words.replace(", by default", "").replace(" (--preprocess yolo)", "")


def test_a_report_does_not_say_that_pictures_of_the_input_s_size_are_resized() -> None:
    assert words_of_facts(_preprocessing_of(FASHION_MNIST)) == (
        "grey, short side to 28 (Pillow bilinear), crop 28 x 28, 0 to 1, mean 0.286, std 0.353;"
        " pictures of 28 x 28 as they are"
    )


def test_facts_are_those_of_older_baselines() -> None:
    assert _preprocessing_of(FASHION_MNIST) == {
        "channels": 1,
        "input_size": 28,
        "resize": None,
        "mean": [0.286],
        "std": [0.353],
        "classes": list(FASHION_MNIST.classes),
    }
    assert list(preprocessing_facts(spec_of())) == ["resize", "mean", "std"]


def test_what_is_new_is_added_where_it_differs() -> None:
    facts = preprocessing_facts(spec_of(preprocess="yolo", colour="BGR", exif=False))
    assert {key: facts[key] for key in facts if key not in ("resize", "mean", "std")} == {
        "colour": "BGR",
        "resize_mode": "letterbox",
        "antialias": False,
        "resample": "opencv",
        "pad_value": [114],
        "exif": False,
    }


def test_facts_of_another_form_are_listed() -> None:
    assert words_of_facts({"mean": "?", "input_shape": [3, 4]}) == "mean ?, input_shape [3, 4]"
    assert words_of_facts({"mean": [], "std": [], "input_shape": [2, 16]}) == (
        "2 x 16, as the data set has it"
    )


def test_origins() -> None:
    rows = {
        name: (value, origin)
        for name, value, origin in origins_of(spec_of(colour="BGR").preprocessing)
    }
    assert rows["colour"] == ("BGR", "--colour") and rows["short_side"] == ("73", "default")
    assert rows["mean"] == ("0.485 0.456 0.406", "default")
    assert {origin for _, _, origin in origins_of(prepared(RGB).preprocessing)} == {""}
