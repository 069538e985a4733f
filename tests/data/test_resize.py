"""Resizing against the libraries whose results are meant: torchvision, timm and OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.optional import install_hint
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data.images import preprocess
from edge_scnet.errors import MissingRuntimeError
from tests.helpers.images import GREY, RGB, prepared

SIZES = [(160, 120), (75, 100), (40, 40), (300, 90), (33, 57)]
CODE = 1 / 255


def photograph(width: int, height: int, seed: int = 0) -> np.ndarray:
    """An image with edges, gradients and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (3 + c) + c) * np.cos(y / (5 - c)) for c in range(3)], -1)
    steps = ((x // 7 + y // 5) % 2)[..., None] * 60
    noise = rng.normal(0, 12, (height, width, 3))
    return np.clip(120 + 90 * waves + steps + noise, 0, 255).astype(np.uint8)


def sized(width: int, height: int, **values: Any) -> ModelSpec:
    return prepared(replace(RGB, input_shape=(3, height, width)), **values)


def imported(name: str) -> Any:
    # a torchvision that is not of this torch raises RuntimeError
    return pytest.importorskip(name, exc_type=(ImportError, RuntimeError))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest", "lanczos"])
def test_short_side_and_crop_are_torchvisions(how: str, size: tuple[int, int]) -> None:
    transforms = imported("torchvision.transforms")
    names = {"nearest": "NEAREST_EXACT"}
    mode = transforms.InterpolationMode[names.get(how, how.upper())]
    theirs = transforms.Compose(
        [
            transforms.Resize(37, interpolation=mode, antialias=True),
            transforms.CenterCrop(32),
            transforms.ToTensor(),
        ]
    )
    image = photograph(*size)
    got = preprocess(image, sized(32, 32, short_side=37, interpolation=how))
    np.testing.assert_array_equal(got, theirs(Image.fromarray(image)).numpy())


@pytest.mark.parametrize("size", SIZES)
def test_without_antialiasing_it_is_torchvisions_of_tensors(size: tuple[int, int]) -> None:
    functional = imported("torchvision.transforms.v2.functional")
    import torch

    image = photograph(*size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)
    wanted = functional.resize(tensor, [32, 32], antialias=False).numpy() / 255
    got = preprocess(image, sized(32, 32, resize="stretch", antialias=False))
    assert np.abs(got - wanted).max() <= 1.01 * CODE


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
def test_timms_transforms(how: str, mode: str, size: tuple[int, int]) -> None:
    imported("timm")
    from timm.data import create_transform

    from edge_scnet.config.model_options import ModelOptions
    from edge_scnet.models.defaults import pictures_of
    from edge_scnet.models.pictures import Own
    from edge_scnet.models.ready import of_timm

    config = {
        "input_size": (3, 32, 32),
        "interpolation": how,
        "crop_pct": 0.9,
        "crop_mode": mode,
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2, 0.25, 0.3),
    }
    own = Own(name="timm:x", pictures=of_timm(config))
    rule = pictures_of(ModelOptions(), (3, 32, 32), own=own)
    spec = replace(RGB, input_shape=(3, 32, 32), preprocessing=rule)
    image = photograph(*size)
    wanted = create_transform(**config, is_training=False)(Image.fromarray(image)).numpy()
    std = np.array(config["std"])[:, None, None]
    assert np.abs((preprocess(image, spec) - wanted) * std).max() <= 1.01 * CODE


def letterboxed(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As Ultralytics' LetterBox: fitted, and padded with 114 in the centre."""
    import cv2

    height, width = image.shape[:2]
    ratio = min(size[0] / width, size[1] / height)
    fitted = round(width * ratio), round(height * ratio)
    if fitted != (width, height):
        image = cv2.resize(image, fitted, interpolation=cv2.INTER_LINEAR)
    across, down = (size[0] - fitted[0]) / 2, (size[1] - fitted[1]) / 2
    top, bottom, left, right = (
        round(down - 0.1),
        round(down + 0.1),
        round(across - 0.1),
        round(across + 0.1),
    )
    return cv2.copyMakeBorder(
        image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114)
    )


def stretched(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    import cv2

    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("mode", "theirs"), [("letterbox", letterboxed), ("stretch", stretched)])
@pytest.mark.parametrize("colour", ["RGB", "BGR"])
def test_opencvs_letterbox_and_stretch_are_exact(
    mode: str, theirs: Callable, colour: str, size: tuple[int, int]
) -> None:
    imported("cv2")
    spec = sized(64, 48, resize=mode, library="opencv", pad_value=(114,), colour=colour)
    image = photograph(*size)
    wanted = theirs(image, (64, 48)).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    got = preprocess(image, spec)
    np.testing.assert_array_equal(got, wanted[::-1] if colour == "BGR" else wanted)


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "nearest", "area", "lanczos"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_filter_of_opencv_is_opencvs(how: str, channels: int) -> None:
    cv2 = imported("cv2")
    flags = {"bilinear": "LINEAR", "bicubic": "CUBIC", "lanczos": "LANCZOS4"}
    image = photograph(75, 100)[..., :channels]
    spec = prepared(
        replace(RGB if channels == 3 else GREY, input_shape=(channels, 48, 64)),
        resize="stretch",
        library="opencv",
        interpolation=how,
        pixel_max=255.0,
    )
    flag = getattr(cv2, f"INTER_{flags.get(how, how.upper())}")
    wanted = cv2.resize(image, (64, 48), interpolation=flag).reshape(48, 64, channels)
    np.testing.assert_array_equal(preprocess(image, spec), wanted.transpose(2, 0, 1))


def test_yolox_pads_at_the_right_and_below() -> None:
    cv2 = imported("cv2")
    image = photograph(75, 100)
    ratio = min(64 / 100, 64 / 75)
    wanted = np.full((64, 64, 3), 114, np.uint8)
    small = cv2.resize(image, (int(75 * ratio), int(100 * ratio)))
    wanted[: small.shape[0], : small.shape[1]] = small
    spec = sized(
        64,
        64,
        resize="letterbox",
        pad_anchor="top-left",
        pad_value=(114,),
        library="opencv",
        pixel_max=255.0,
        colour="BGR",
    )
    np.testing.assert_array_equal(preprocess(image, spec), wanted.transpose(2, 0, 1)[::-1])


def test_pads_are_codes_in_the_order_of_the_input() -> None:
    image = np.full((4, 8, 3), 200, np.uint8)
    spec = sized(8, 8, resize="letterbox", pad_value=(1, 2, 3), pixel_max=255.0, colour="BGR")
    got = preprocess(image, spec)
    assert got[:, 0, 0].tolist() == [1, 2, 3] and got[:, 2, 0].tolist() == [200] * 3
    wide = preprocess((image.astype(np.uint16) * 257), spec)
    np.testing.assert_allclose(wide, got, rtol=1e-6)


@pytest.mark.parametrize("library", ["pillow", "opencv"])
@pytest.mark.parametrize("how", ["bilinear", "bicubic", "area", "nearest"])
def test_sixteen_bits_are_resized_with_all_of_them(library: str, how: str) -> None:
    if library == "opencv":
        imported("cv2")
    codes = (np.arange(64 * 64, dtype=np.uint16) * 16).reshape(64, 64, 1)
    spec = prepared(
        replace(GREY, input_shape=(1, 32, 32)),
        resize="stretch",
        library=library,
        interpolation=how,
        pixel_max=65535.0,
    )
    got = preprocess(codes, spec)[0]
    assert len(np.unique(got)) == 32 * 32 and got.max() <= 65535
    if how == "area":
        np.testing.assert_allclose(got, codes[..., 0].reshape(32, 2, 32, 2).mean((1, 3)), rtol=1e-6)


def test_without_opencv_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    spec = sized(8, 8, library="opencv")
    with pytest.raises(MissingRuntimeError, match="'cv2' is not installed") as error:
        preprocess(photograph(20, 20), spec)
    assert error.value.hint == install_hint("opencv")


@pytest.mark.parametrize("library", ["pillow", "opencv"])
@pytest.mark.parametrize(
    "way",
    [
        {"resize": "crop"},
        {"resize": "stretch"},
        {"resize": "letterbox"},
        {"resize": "letterbox", "pad_anchor": "top-left"},
        {"resize": "none"},
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_picture_of_the_inputs_size_is_fed_byte_by_byte(
    way: dict[str, Any], library: Any, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("resized")

    monkeypatch.setattr("edge_scnet.data.resize._by_pillow", never)
    monkeypatch.setattr("edge_scnet.data.resize._by_opencv", never)
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (32, 48, 3), dtype)
    spec = sized(
        48,
        32,
        mean=(),
        std=(),
        pixel_max=float(np.iinfo(dtype).max),
        library=library,
        short_side=None,
        **way,
    )
    assert np.array_equal(preprocess(image, spec), image.transpose(2, 0, 1))
