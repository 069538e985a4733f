"""How pictures are prepared, by options, ready names and defaults; every refusal is read."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.core.optional import install_hint
from edge_scnet.core.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from edge_scnet.errors import ArtifactError, MissingRuntimeError
from edge_scnet.models.defaults import pictures_of

RGB, GREY = (3, 224, 224), (1, 64, 64)


def rule(shape: tuple[int, ...] = RGB, **options: Any) -> Preprocessing:
    return pictures_of(ModelOptions(**options), shape)


def refused(shape: tuple[int, ...] = RGB, **options: Any) -> ArtifactError:
    with pytest.raises(ArtifactError) as error:
        rule(shape, **options)
    return error.value


def test_imagenets_are_the_defaults() -> None:
    for found in (rule(), rule(preprocess="imagenet")):
        assert found == Preprocessing(mean=IMAGENET_MEAN, std=IMAGENET_STD, short_side=256)
    assert set(rule().origins.values()) == {"default"}
    assert rule((3, 32, 32)).short_side is None and rule((3, 240, 320)).short_side is None


def test_ready_names() -> None:
    pixels = rule(preprocess="pixels")
    assert (pixels.pixel_max, pixels.mean, pixels.std) == (255.0, (0.0,) * 3, (1.0,) * 3)
    assert (pixels.resize, pixels.short_side) == ("crop", 256)
    yolo = rule((3, 640, 640), preprocess="yolo")
    assert (yolo.resize, yolo.library, yolo.pad_value) == ("letterbox", "opencv", (114,))
    assert (yolo.pixel_max, yolo.mean, yolo.short_side) == (1.0, (0.0,) * 3, None)
    assert not yolo.antialias and yolo.origin("pad_value") == "--preprocess yolo"
    assert rule(GREY, preprocess="pixels").mean == (0.0,)


def test_single_options_win_over_a_ready_name() -> None:
    found = rule(preprocess="yolo", colour="BGR", pad_value=(0,), resample="pillow")
    assert (found.colour, found.pad_value, found.library) == ("BGR", (0,), "pillow")
    assert found.antialias and found.resize == "letterbox"
    assert found.origin("library") == "--resample" and found.origin("colour") == "--colour"
    # what it says of padding has no meaning then
    stretched = rule(preprocess="yolo", resize_mode="stretch")
    assert (stretched.resize, stretched.pad_value) == ("stretch", (0,))
    assert stretched.origin("pad_value") == "default"


def test_an_own_range_has_no_mean_of_imagenet() -> None:
    found = rule(pixel_max=255.0)
    assert (found.mean, found.std) == ((0.0,) * 3, (1.0,) * 3)
    assert rule(pixel_max=1.0).mean == IMAGENET_MEAN
    assert rule(GREY, pixel_max=65.535).std == (1.0,)
    codes = rule(pixel_max=255.0, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    assert codes.mean[0] == 123.675


def test_crop_fraction() -> None:
    assert rule(crop_fraction=0.95).short_side == 235  # 224 / 0.95 = 235.8
    assert rule(crop_fraction=1.0).short_side == 224
    squashed = rule(crop_fraction=0.9, resize_mode="stretch")
    assert (squashed.resize, squashed.short_side) == ("stretch", 248)
    assert rule(crop_fraction=0.95).origin("short_side") == "--crop-fraction"


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        ({"pad_value": (114,)}, "--pad-value is for --resize-mode letterbox", "leave --pad-value"),
        (
            {"resize": 256, "resize_mode": "letterbox"},
            "--resize is for --resize-mode crop and stretch, here it is letterbox",
            "leave --resize out",
        ),
        ({"resize": 256, "crop_fraction": 0.9}, "--resize and --crop-fraction both", "one out"),
        ({"resize": 200}, "--resize 200 is smaller than the crop, 3x224x224", None),
        (
            {"pad_value": (1, 2), "resize_mode": "letterbox"},
            "the input has 3 channels, --pad-value has 2 values",
            "one value, or one for each channel",
        ),
        (
            {"antialias": True, "resample": "opencv"},
            "--antialias is not possible with --resample opencv --interpolation bilinear",
            "leave it out, or --resample pillow",
        ),
        (
            {"antialias": False, "interpolation": "area"},
            "--no-antialias is not possible with --resample pillow --interpolation area",
            "leave it out, or --resample opencv",
        ),
        ({"antialias": True, "interpolation": "nearest"}, "--antialias is not", "single pixels"),
        ({"preprocess": "yol"}, "--preprocess yol is no ready name; did you mean yolo?", "pixels"),
        ({"preprocess": "timm:"}, "--preprocess timm: is no ready name", "timm:NAME"),
    ],
)
def test_options_that_have_no_meaning(options: dict, words: str, hint: str | None) -> None:
    error = refused(**options)
    assert words in error.message
    assert hint is None or (error.hint is not None and hint in error.hint)


def test_a_grey_input_has_no_order_of_colours() -> None:
    assert refused(GREY, colour="BGR", mean=(0.5,), std=(0.5,)).message == (
        "the input has 1 channel, --colour says BGR"
    )
    assert rule(GREY, colour="grey", mean=(0.5,), std=(0.5,)).colour == "grey"
    assert rule(colour="grey").colour == "grey"


def test_what_is_no_picture_takes_no_words_about_pictures() -> None:
    assert refused((2, 16), preprocess="yolo").message == (
        "the input is 2x16, no picture of 1 or 3 channels, and --preprocess is for pictures"
    )
    error = refused((4, 8, 8), exif=False)
    assert error.hint == "leave --exif out: such an input is fed with arrays as they are"
    # as ever
    assert rule((2, 16), mean=(0.5,)).mean == (0.5,)


def test_pixels_of_raw_codes_by_a_std_as_before() -> None:
    assert rule(mean=(0.0,) * 3, std=(1 / 255,) * 3).std == (1 / 255,) * 3


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        "input_size": (3, 288, 288),
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": (0.5,) * 3,
        "std": (0.25,) * 3,
    }
    data = SimpleNamespace(resolve_data_config=lambda pretrained_cfg: pretrained_cfg)
    fake = SimpleNamespace(
        list_models=lambda include_tags: ["tiny_net"],
        get_pretrained_cfg=lambda name, allow_unregistered: (
            SimpleNamespace(to_dict=lambda: config) if name == "tiny_net.a1" else None
        ),
        data=data,
    )
    monkeypatch.setitem(sys.modules, "timm", fake)
    monkeypatch.setitem(sys.modules, "timm.data", data)


@pytest.mark.usefixtures("timm")
def test_timm_by_name() -> None:
    found = rule(preprocess="timm:tiny_net.a1")
    assert (found.interpolation, found.short_side, found.mean) == ("bicubic", 235, (0.5,) * 3)
    assert rule(GREY, preprocess="timm:tiny_net.a1", mean=(0.1,), std=(0.2,)).mean == (0.1,)
    assert refused(preprocess="timm:tiny_nt").message.endswith("did you mean tiny_net?")
    assert "timm has no record of 'tiny_net'" in refused(preprocess="timm:tiny_net").message


def test_torchvision_by_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    transforms = SimpleNamespace(
        crop_size=[224],
        resize_size=[232],
        mean=[0.5] * 3,
        std=[0.25] * 3,
        interpolation=SimpleNamespace(value="bilinear"),
    )
    entry = SimpleNamespace(transforms=lambda: transforms, meta={})

    def get_weight(name: str) -> SimpleNamespace:
        if name != "Tiny_Weights.V2":
            raise ValueError(f"unknown {name}")
        return entry

    models = SimpleNamespace(
        get_weight=get_weight,
        list_models=lambda: ["tiny"],
        get_model_weights=lambda name: [],
    )
    fake = SimpleNamespace(models=models)
    monkeypatch.setitem(sys.modules, "torchvision", fake)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)
    assert rule(preprocess="torchvision:Tiny_Weights.V2").short_side == 232
    # in the same proportion
    assert rule((3, 112, 112), preprocess="torchvision:Tiny_Weights.V2").short_side == 116
    assert (
        "no weights 'Tiny_Weights.V3'" in refused(preprocess="torchvision:Tiny_Weights.V3").message
    )
    assert "did you mean tiny?" in refused(preprocess="torchvision:tinny").message
    assert "no weights of tiny, and so says" in refused(preprocess="torchvision:tiny").message
    # as of detectors: pictures are neither resized nor normalised
    entry.transforms = lambda: SimpleNamespace()
    error = refused(preprocess="torchvision:Tiny_Weights.V2")
    assert error.message == (
        "--preprocess torchvision:Tiny_Weights.V2: torchvision does not resize pictures, here they"
        " are scaled to cover the input"
    )
    found = rule(preprocess="torchvision:Tiny_Weights.V2", resize_mode="stretch")
    assert (found.resize, found.mean, found.std) == ("stretch", (0.0,) * 3, (1.0,) * 3)


def test_a_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingRuntimeError, match="'timm' is not installed") as error:
        rule(preprocess="timm:resnet50")
    assert error.value.hint == install_hint("zoo")
