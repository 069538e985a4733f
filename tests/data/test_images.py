"""Images decoded and preprocessed."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import batches, images
from edge_scnet.data.images import preprocess
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import CIFAR10, FASHION_MNIST
from tests.helpers.images import GREY, RGB, calibration, picture, pixels, prepared, truncated_jpeg
from tests.helpers.images import idx_folder as idx_of


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", ihdr)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def png_of_16_bits(kind: int) -> bytes:
    """A PNG of 2 x 1 pixels, of the colour type `kind`."""
    channels = {2: 3, 4: 2, 6: 4}[kind]

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, kind, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + bytes(range(1, 1 + 4 * channels))))
        + chunk(b"IEND", b"")
    )


def read_image(path: Path, spec: ModelSpec) -> np.ndarray:
    """The network's input of an image file, as `predict` reads it."""
    return images.preprocess(images.decode(path, spec, hint=images.hint_for(path)), spec)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((60_000, 60_000), r"at most 100 million pixels are decoded"),
        ((10_000, 10_001), r"10000 x 10001 pixels; at most 100 million"),
        ((9_700, 9_700), None),  # Pillow warns of this size, and warnings are errors here
        ((4, 401), r"4 x 401 pixels; the long side may be 100 times"),
    ],
)
def test_decompression_bombs_are_refused_before_decoding(
    tmp_path: Path, size: tuple[int, int], reason: str | None
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_header(*size))
    limit = Image.MAX_IMAGE_PIXELS
    if reason is None:
        assert len(calibration(tmp_path)) == 1
    else:
        for call in (
            lambda: calibration(tmp_path),
            lambda: read_image(tmp_path / "bomb.png", RGB),
        ):
            with pytest.raises(DataError, match=rf"bomb\.png: {reason}"):
                call()
    assert limit == Image.MAX_IMAGE_PIXELS


def test_read_image_is_the_path_that_sets_take(tmp_path: Path) -> None:
    picture(5, 7, 9).save(tmp_path / "a.png")
    one = read_image(tmp_path / "a.png", RGB)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, batches.load(calibration(tmp_path), RGB)[0])
    with pytest.raises(DataError, match=r"nope\.png: no such file") as e:
        read_image(tmp_path / "nope.png", RGB)
    assert e.value.hint and "--skip-bad" not in e.value.hint
    with pytest.raises(DataError, match="it is a folder"):
        read_image(tmp_path, RGB)
    with pytest.raises(DataError, match="rgb wants 4 channels"):
        read_image(tmp_path / "a.png", replace(RGB, input_shape=(4, 4, 4)))
    with pytest.raises(DataError, match="truncated"):
        read_image(truncated_jpeg(tmp_path / "cut.jpg"), RGB)


def test_exif_rotation(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), "black")
    image.paste((255, 255, 255), (0, 0, 16, 16))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left becomes the top
    image.save(tmp_path / "a.jpg", exif=exif, quality=100)
    upright = pixels(tmp_path / "a.jpg")
    assert upright.shape == (32, 16, 3)
    assert upright[:14].min() > 240 and upright[18:].max() < 15


def test_exif_rotation_is_left_alone_where_that_is_wanted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(1, 32, 16).save(tmp_path / "a.png", exif=exif)
    as_stored = prepared(RGB, exif=False)
    np.testing.assert_array_equal(
        pixels(tmp_path / "a.png", as_stored), np.asarray(picture(1, 32, 16))
    )
    assert calibration(tmp_path, as_stored).image_sizes == ((32, 16),)
    assert calibration(tmp_path, RGB).image_sizes == ((16, 32),)


def test_cmyk_jpeg(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    red = pixels(tmp_path / "a.jpg")
    assert red.shape == (16, 16, 3) and red[..., 0].min() > 245 and red[..., 1:].max() < 10
    assert pixels(tmp_path / "a.jpg", GREY).shape == (16, 16, 1)


def test_sixteen_bit_grey(tmp_path: Path) -> None:
    png, pgm = tmp_path / "png" / "a.png", tmp_path / "pgm" / "a.pgm"
    for path in (png, pgm):
        path.parent.mkdir()
    wide = np.array([[0, 128, 129, 257], [32768, 65406, 65407, 65535]], np.uint16)
    Image.fromarray(wide).save(png)
    with Image.open(png) as image:
        assert image.mode.startswith("I")
    np.testing.assert_array_equal(pixels(png, GREY)[..., 0], wide)
    assert pixels(png, GREY).dtype == np.uint16
    np.testing.assert_array_equal(pixels(png), pixels(png, GREY).repeat(3, 2))
    pgm.write_bytes(b"P5 4 2 65535\n" + wide.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels(pgm), pixels(png))


def test_a_depth_map_keeps_all_its_levels(tmp_path: Path) -> None:
    millimetres = (500 + np.arange(64 * 64, dtype=np.uint16)).reshape(64, 64)
    Image.fromarray(millimetres).save(tmp_path / "a.png")
    spec = prepared(replace(GREY, input_shape=(1, 64, 64)), pixel_max=65.535)
    metres = batches.load(calibration(tmp_path, spec), spec)[0, 0]
    np.testing.assert_allclose(metres, millimetres / 1000, rtol=1e-6)
    assert len(np.unique(metres)) == 64 * 64
    # the largest code becomes 1, as of 8 bits
    unit = prepared(spec, pixel_max=1.0)
    np.testing.assert_allclose(
        batches.load(calibration(tmp_path, unit), unit)[0, 0], millimetres / 65535, rtol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ppm", b"P6 2 1 65535\n" + bytes(12)),
        ("a.ppm", b"P6 2 1 1023\n" + bytes(12)),
        ("a.png", png_of_16_bits(2)),  # RGB
        ("a.png", png_of_16_bits(6)),  # RGBA
        ("a.png", png_of_16_bits(4)),  # grey and alpha
    ],
)
def test_colour_of_16_bits_is_not_cut_silently(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match="it has 16 bits per channel, of which 8 are read"):
        pixels(tmp_path / name)


def test_colour_of_8_bits_in_a_ppm_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.ppm").write_bytes(b"P6 2 1 255\n" + bytes([1, 2, 3, 4, 5, 6]))
    assert pixels(tmp_path / "a.ppm").tolist() == [[[1, 2, 3], [4, 5, 6]]]


def test_float_and_32_bit_pixels_have_no_known_range(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: floating-point pixels"):
        pixels(tmp_path / "a.tif")
    Image.fromarray(np.full((2, 2), 70_000, np.int32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: pixels from 70000 to 70000"):
        pixels(tmp_path / "a.tif")


def test_grey_and_colour(tmp_path: Path) -> None:
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[1, 2].tolist() == [6, 6, 6]
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.png")
    assert np.unique(pixels(tmp_path / "a.png", GREY)).tolist() == [76]  # 0.299 x 255


def test_webp_is_read(tmp_path: Path) -> None:
    image = picture(2)
    image.save(tmp_path / "a.webp", lossless=True)
    np.testing.assert_array_equal(pixels(tmp_path / "a.webp"), np.asarray(image))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB"])
def test_transparency_shows_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([10, 20, 30] * 2)
        image.save(tmp_path / "a.png", transparency=0)
    elif mode == "RGB":
        Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "a.png", transparency=(1, 2, 3))
    else:
        image.convert(mode).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").min() == 255


def test_alpha_is_blended_and_a_palette_is_colours(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 255, 51)).save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[0, 0].tolist() == [204, 204, 255]
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png")
    assert pixels(tmp_path / "a.png")[0, 0].tolist() == [10, 20, 30]


def test_normalisation_is_torch_to_the_bit() -> None:
    import torch

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    rule = CIFAR10.preprocessing
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (rule.mean, rule.std))
    wanted = (torch.from_numpy(image).permute(2, 0, 1).float() / 255 - mean) / std
    got = preprocess(image, CIFAR10)
    assert got.flags.c_contiguous and got.dtype == np.float32
    np.testing.assert_array_equal(got, wanted.numpy())


def test_centre_crop_rounds_as_torchvision() -> None:
    rows = np.repeat(
        np.arange(7, dtype=np.uint8)[:, None, None], 4, axis=1
    )  # 7 rows of 4 pixels, each row its number
    got = preprocess(rows, GREY) * 255
    np.testing.assert_allclose(
        got[0, :, 0], [2, 3, 4, 5], atol=1e-4
    )  # (7 - 4) / 2 = 1.5, rounded to even: 2
    five = preprocess(rows[:5], GREY) * 255
    np.testing.assert_allclose(five[0, :, 0], [0, 1, 2, 3], atol=1e-4)  # 0.5, rounded to even: 0


def test_resize_by_hand() -> None:
    # short side 2 -> 4: samples at -0.25, 0.25, 0.75, 1.25 pixels of (0, 100), clamped at the ends
    image = np.array([[0, 100], [0, 100]], np.uint8)[..., None]
    np.testing.assert_allclose(preprocess(image, GREY)[0, 0] * 255, [0, 25, 75, 100], atol=1e-4)
    # short side 8 -> 4 with antialiasing: a triangle of 4 pixels, weights 1 3 3 1 over 8, so
    # stripes vanish inside
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))[..., None]
    np.testing.assert_allclose(preprocess(stripes, GREY)[0, :, 1:3] * 255, 100, atol=1e-4)


@pytest.mark.parametrize(
    ("width", "height", "resized", "left", "top"),
    [  # 256 x 500 / 375 = 341.3, cut off; (341 - 224) / 2 = 58.5, rounded to even
        (500, 375, (341, 256), 58, 16),
        (375, 500, (256, 341), 16, 58),
        (300, 300, (256, 256), 16, 16),
    ],
)
def test_resize_then_crop_is_torchvisions(
    width: int, height: int, resized: tuple[int, int], left: int, top: int
) -> None:
    spec = prepared(replace(RGB, input_shape=(3, 224, 224)), short_side=256)
    image = picture(1, width, height)
    wanted = image.resize(resized, Image.Resampling.BILINEAR).crop(
        (left, top, left + 224, top + 224)
    )
    got = preprocess(np.asarray(image), spec)
    np.testing.assert_array_equal(
        got, np.asarray(wanted).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    )


@pytest.mark.parametrize(
    ("width", "height", "resize", "resized", "left", "top"),
    [
        # an input of 12 x 20 (H x W): the image covers it, what is over is cut off
        (40, 24, None, (20, 12), 0, 0),
        (40, 30, None, (20, 15), 0, 2),
        (50, 24, None, (25, 12), 2, 0),
        (20, 12, None, (20, 12), 0, 0),
        # it covers 18 x 30, a rectangle of the same proportions
        (40, 24, 18, (30, 18), 5, 3),
        (40, 30, 18, (30, 22), 5, 5),
    ],
)
def test_a_rectangular_input_is_covered(
    width: int, height: int, resize: int | None, resized: tuple[int, int], left: int, top: int
) -> None:
    spec = prepared(replace(RGB, input_shape=(3, 12, 20)), short_side=resize)
    image = picture(1, width, height)
    wanted = image.resize(resized, Image.Resampling.BILINEAR).crop((left, top, left + 20, top + 12))
    got = preprocess(np.asarray(image), spec)
    np.testing.assert_array_equal(
        got, np.asarray(wanted).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    )


def test_colour_and_range() -> None:
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3), np.uint8)
    planes = image.transpose(2, 0, 1).astype(np.float32)
    codes = preprocess(image, prepared(RGB, pixel_max=255.0))
    np.testing.assert_array_equal(codes, planes)
    bgr = prepared(RGB, colour="BGR", pixel_max=255.0, mean=(104.0, 117.0, 123.0), std=(1.0,) * 3)
    wanted = planes[::-1] - np.array([104, 117, 123], np.float32)[:, None, None]
    np.testing.assert_array_equal(preprocess(image, bgr), wanted)
    half = preprocess(image, prepared(RGB, pixel_max=2.0))
    np.testing.assert_allclose(half, planes / 127.5, rtol=1e-6)
    # nothing is subtracted or divided where there is no mean
    np.testing.assert_array_equal(preprocess(image, prepared(RGB, mean=(), std=())), planes / 255)


def test_grey_in_three_channels(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "a.png")
    assert np.unique(pixels(tmp_path / "a.png", prepared(RGB, colour="grey"))).tolist() == [76]


def test_preprocess_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="is not uint8 or uint16 H x W x 3"):
        preprocess(np.zeros((4, 4, 1), np.uint8), RGB)
    with pytest.raises(ValueError, match="float32"):
        preprocess(np.zeros((4, 4, 3), np.float32), RGB)
    with pytest.raises(DataError, match="resized to 3 and cannot fill an input of 4"):
        preprocess(np.zeros((4, 4, 3), np.uint8), prepared(RGB, short_side=3))


def test_many_images_at_once_are_to_the_bit_what_one_by_one_is(tmp_path: Path) -> None:
    # a thousand are normalised together
    pixels = np.random.default_rng(0).integers(0, 256, (1003, 28, 28), np.uint8)
    samples = open_samples(
        idx_of(tmp_path / "idx", pixels, np.arange(1003) % 10),
        model=FASHION_MNIST,
        role="evaluation",
    )
    for spec in (
        FASHION_MNIST,
        prepared(
            replace(FASHION_MNIST, input_shape=(3, 28, 28)),
            mean=(0.4, 0.5, 0.6),
            std=(0.2, 0.3, 0.4),
        ),
    ):
        one_by_one = np.stack(
            [images.preprocess(batches.load_pixels(samples, i, spec), spec) for i in range(1003)]
        )
        np.testing.assert_array_equal(batches.load(samples, spec), one_by_one)


def test_what_is_looked_at_has_colours_and_stands_as_the_network_sees_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture(1, 6, 4).save(tmp_path / "a.png", exif=exif)
    for spec in (RGB, GREY, prepared(RGB, colour="BGR"), prepared(RGB, colour="grey")):
        seen = images.colours_of(tmp_path / "a.png", spec)
        assert seen.shape == (6, 4, 3)
        assert (seen == np.rot90(np.asarray(picture(1, 6, 4)), -1)).all()
    lying = images.colours_of(tmp_path / "a.png", prepared(RGB, exif=False))
    assert (lying == np.asarray(picture(1, 6, 4))).all()
    Image.fromarray(np.full((2, 2), 0x80FF, np.uint16)).save(tmp_path / "wide.png")
    assert images.colours_of(tmp_path / "wide.png", GREY).tolist() == [[[0x80] * 3] * 2] * 2
