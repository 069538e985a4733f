"""Preprocessings of all kinds, and pictures with something to see at every size."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.spec import ModelSpec
from tests.helpers.packages import NAMED

_NORMALISED: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# by name: values of the preprocessing, and the input's shape
RULES: dict[str, tuple[dict[str, Any], tuple[int, int, int]]] = {
    "imagenet": ({**_NORMALISED, "short_side": 36}, (3, 32, 32)),
    "a rectangle": ({**_NORMALISED, "short_side": 40}, (3, 32, 48)),
    "stretched": ({"resize": "stretch"}, (3, 32, 32)),
    "stretched and cut": ({"resize": "stretch", "short_side": 40}, (3, 32, 32)),
    "letterbox": ({"resize": "letterbox", "pad_value": (114,)}, (3, 32, 48)),
    "letterbox of YOLOX": (
        {
            "resize": "letterbox",
            "pad_anchor": "top-left",
            "pad_value": (1, 2, 3),
            "colour": "BGR",
            "pixel_max": 255.0,
        },
        (3, 32, 32),
    ),
    "as they are": ({"resize": "none"}, (3, 32, 32)),
    "grey": ({"mean": (0.286,), "std": (0.353,), "colour": "grey"}, (1, 28, 28)),
    "grey in three channels": ({"colour": "grey", "pixel_max": 2.0}, (3, 32, 32)),
    "BGR": (
        {"colour": "BGR", "mean": (103.5, 116.3, 123.7), "std": (57.4, 57.1, 58.4)},
        (3, 32, 32),
    ),
    "bicubic": ({"interpolation": "bicubic"}, (3, 32, 32)),
    "lanczos": ({"interpolation": "lanczos"}, (3, 32, 32)),
    "area": ({"interpolation": "area"}, (3, 32, 32)),
    "nearest": ({"interpolation": "nearest", "antialias": False}, (3, 32, 32)),
    "not antialiased": ({"interpolation": "bilinear", "antialias": False}, (3, 32, 32)),
    "OpenCV": ({"library": "opencv", "antialias": False}, (3, 32, 32)),
    "OpenCV's area": ({"library": "opencv", "interpolation": "area"}, (3, 32, 32)),
}
_NONE: dict[str, Any] = {"mean": (), "std": ()}


def spec_of(name: str) -> ModelSpec:
    """A classifier with a preprocessing of `RULES`."""
    values, shape = RULES[name]
    rule = Preprocessing(**{**_NONE, **values})
    return replace(NAMED, input_shape=shape, preprocessing=rule)


def photograph(path: Path, size: tuple[int, int]) -> Path:
    """A picture of so many pixels in width and height: colours that run, edges and noise."""
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    codes = np.stack([255 * x / width, 255 * y / height, 127 + 127 * np.sin(x * y / 50)], axis=-1)
    codes[(x + y) % 17 < 3] = (250, 20, 90)
    codes += np.random.default_rng(width).normal(0, 12, codes.shape)
    Image.fromarray(np.clip(codes, 0, 255).astype(np.uint8)).save(path)
    return path
