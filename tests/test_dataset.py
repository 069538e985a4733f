"""Sample lists, readers and preprocessing, on files written here; no network, no accelerator."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import struct
import time
import zlib
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edge_scnet.core.resources import bundled
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import batches, checks, idx, images
from edge_scnet.data import samples as dataset
from edge_scnet.data.batches import load_pixels
from edge_scnet.data.checks import check_counts, check_overlap
from edge_scnet.data.images import preprocess
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import CIFAR10, FASHION_MNIST
from tests.helpers.images import idx_folder as idx_of

RGB = replace(
    CIFAR10,
    name="rgb",
    input_size=4,
    classes=("cat", "dog", "Ankle boot"),
    num_classes=None,
    mean=(0.0,) * 3,
    std=(1.0,) * 3,
)
GREY = replace(FASHION_MNIST, name="grey", input_size=4, mean=(0.0,), std=(1.0,))


def picture(seed: int, width: int = 4, height: int = 4) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    )


def folder(root: Path, names: list[str], *, seed: int = 0) -> Path:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        picture(seed + i).save(root / name, format="PNG")
    return root


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def idx_folder(root: Path, count: int = 5, *, stem: str = "t10k", suffix: str = ".gz") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    pack = gzip.compress if suffix else bytes
    images = np.random.default_rng(1).integers(0, 256, (count, 4, 4), np.uint8)
    (root / f"{stem}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (root / f"{stem}-labels-idx1-ubyte{suffix}").write_bytes(
        pack(idx_bytes(np.arange(count, dtype=np.uint8) % 10))
    )
    return root


def evaluation(root: Path, model: ModelSpec | None = RGB, **options: Any) -> SampleSet:
    return open_samples(root, model=model, role="evaluation", **options)


def calibration(root: Path, model: ModelSpec | None = RGB, **options: Any) -> SampleSet:
    return open_samples(root, model=model, role="calibration", **options)


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


def truncated_jpeg(path: Path) -> Path:
    picture(3, 200, 200).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-4000])
    return path


# lists, labels and hashes


def test_image_folder_is_sorted_labelled_and_hashed(tmp_path: Path) -> None:
    hidden = ["dog/notes.txt", "dog/._a.jpeg", ".git/x.png"]
    folder(tmp_path, ["dog/b.PNG", "dog/a.jpeg", "cat/deep/er/z.WebP", "cat/y.tif", *hidden])
    samples = evaluation(tmp_path)
    assert samples.entries == ("cat/y.tif", "cat/deep/er/z.WebP", "dog/a.jpeg", "dog/b.PNG")
    assert samples.labels == (0, 0, 1, 1)
    assert (samples.class_names, samples.label_rule, samples.skipped) == (
        RGB.classes,
        "folder names are class names",
        0,
    )
    assert samples.content_hashes == tuple(
        hashlib.sha256((tmp_path / e).read_bytes()).hexdigest() for e in samples.entries
    )
    assert (samples.kind, len(samples), samples.name) == (
        "folder",
        4,
        f"{tmp_path.parent.name}/{tmp_path.name}",
    )
    with pytest.raises(FrozenInstanceError):
        samples.skipped = 1


def test_the_hash_tells_content_order_and_labels_but_not_the_place(tmp_path: Path) -> None:
    first = evaluation(folder(tmp_path / "a", ["cat/1.png", "dog/2.png"]))
    moved = evaluation(folder(tmp_path / "b", ["cat/other.png", "dog/name.png"]))
    assert first.hash == moved.hash and len(first.hash) == 64
    assert evaluation(folder(tmp_path / "c", ["cat/1.png", "dog/2.png"], seed=1)).hash != first.hash
    assert evaluation(folder(tmp_path / "d", ["dog/1.png", "cat/2.png"])).hash != first.hash
    assert evaluation(tmp_path / "a", ignore_labels=True).hash != first.hash


@pytest.mark.parametrize(
    ("folders", "classes", "labels", "rule"),
    [
        (["dog", "cat"], ("dog", "bird", "cat"), (2, 0), "folder names are class names"),
        (
            ["ANKLE-boot", "t_shirt_top"],
            ("T-shirt/top", "Ankle boot"),
            (1, 0),
            "folder names are class names",
        ),
        (["0", "02"], ("a", "b", "c"), (0, 2), "folder names are class indices"),
        (["x", "y"], ("a", "b"), (0, 1), "folders in sorted order are the classes"),
        (["1", "2"], ("a", "b"), (0, 1), "folders in sorted order are the classes"),
        (["5", "7"], (), (5, 7), "folder names are class indices"),
        (["x", "y"], (), (0, 1), "folders in sorted order are the classes"),
        (["a b", "a_b"], ("a b", "a_b"), (0, 1), "folders in sorted order are the classes"),
    ],
)
def test_labels_of_class_folders(
    tmp_path: Path, folders: list[str], classes: tuple[str, ...], labels: Any, rule: str
) -> None:
    samples = evaluation(
        folder(tmp_path, [f"{name}/1.png" for name in folders]), replace(RGB, classes=classes)
    )
    assert (samples.labels, samples.label_rule) == (labels, rule)


def test_class_folders_that_do_not_fit_the_model(tmp_path: Path) -> None:
    root = folder(tmp_path, ["cat/1.png", "cow/2.png"])
    with pytest.raises(
        DataError,
        match=r"2 class folders and rgb has 3 classes; the folder 'cow' is not one of them: c",
    ) as e:
        evaluation(root)
    assert "--ignore-labels" in (e.value.hint or "") and "0 to 2" in (e.value.hint or "")
    assert evaluation(root, ignore_labels=True).labels is None
    samples = calibration(root)
    assert (samples.labels, samples.class_names) == ((0, 1), ("cat", "cow"))
    with pytest.raises(DataError, match="2 class folders and rgb has 3"):
        evaluation(folder(tmp_path / "n", ["0/1.png", "3/2.png"]))


def test_a_model_without_class_names_still_counts_them(tmp_path: Path) -> None:
    root = folder(tmp_path / "a", ["cat/1.png", "cow/2.png"])
    two, three = (replace(RGB, classes=(), num_classes=n) for n in (2, 3))
    assert (evaluation(root, two).labels, evaluation(root, two).class_names) == (
        (0, 1),
        ("cat", "cow"),
    )
    with pytest.raises(
        DataError,
        match=r"2 class folders and rgb has 3 classes; the folder 'cat' is not one of them: 0 to 2",
    ):
        evaluation(root, three)
    assert evaluation(folder(tmp_path / "b", ["0/1.png", "2/2.png"]), three).labels == (0, 2)
    with pytest.raises(DataError, match=r"labels up to 4; the model has 3 classes"):
        evaluation(idx_folder(tmp_path / "c"), three)


def test_flat_folder_has_no_labels(tmp_path: Path) -> None:
    root = folder(tmp_path, ["b.png", "a.jpg"])
    (tmp_path / "empty").mkdir()
    for samples in (evaluation(root), calibration(root), evaluation(root, None)):
        assert (samples.entries, samples.labels, samples.class_names) == (
            ("a.jpg", "b.png"),
            None,
            None,
        )


def test_an_empty_class_folder_keeps_its_place(tmp_path: Path) -> None:
    folder(tmp_path, ["a/1.png", "c/2.png"])
    (tmp_path / "b").mkdir()
    samples = evaluation(tmp_path)
    assert samples.labels == (0, 2)
    order, missing = check_counts(samples, role="evaluation")
    assert missing == "1 of 3 classes have no evaluation image: dog"
    assert order.startswith("folders in sorted order are the classes") and "--class-names" in order


def test_limit_is_spread_over_the_classes(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{c}/{i}.png" for c in ("cat", "dog") for i in range(4)])
    assert evaluation(root, limit=4).entries == ("cat/0.png", "cat/2.png", "dog/0.png", "dog/2.png")
    assert len(evaluation(root, limit=99)) == 8
    with pytest.raises(DataError, match="at least 1"):
        evaluation(root, limit=0)


def test_linked_folders_are_followed_but_not_for_ever(tmp_path: Path) -> None:
    root = folder(tmp_path / "set", ["cat/1.png"])
    (root / "dog").symlink_to(folder(tmp_path / "elsewhere", ["2.png"], seed=7))
    (root / "cat" / "up").symlink_to(root / "cat")
    assert evaluation(root).entries == ("cat/1.png", "dog/2.png")


# refused folders


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    for role, option in (("calibration", "--calib DIR"), ("evaluation", "--eval DIR")):
        with pytest.raises(DataError, match=rf"the {role} folder .*nowhere does not exist") as e:
            open_samples(tmp_path / "nowhere", model=RGB, role=role)
        assert option in (e.value.hint or "")
    with pytest.raises(
        DataError, match=r"no images in the calibration folder .*: it is empty; allowed are \.jpg"
    ) as e:
        calibration(tmp_path)
    assert e.value.hint
    (tmp_path / "a.heic").touch()
    (tmp_path / "README").touch()
    (tmp_path / "sub").mkdir()
    with pytest.raises(DataError, match=r"no images .*: 2 files \(\.heic, README\), 1 folders"):
        calibration(tmp_path)
    with pytest.raises(DataError, match=r"README is a file, not a folder"):
        calibration(tmp_path / "README")


def test_images_beside_class_folders(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"1 images \(such as stray\.png\) beside class folders \(such as cat\)"
    ) as e:
        calibration(folder(tmp_path, ["stray.png", "cat/1.png"]))
    assert "mv " in (e.value.hint or "")


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_: Path) -> Any:
        raise PermissionError(13, "Permission denied")  # a real one needs a user who is not root

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(DataError, match=r"cannot read folder .*: Permission denied") as e:
        calibration(tmp_path)
    assert "ls -ld" in (e.value.hint or "")


# bad images


def test_a_truncated_jpeg_is_refused_by_name_or_skipped_and_counted(tmp_path: Path) -> None:
    root = folder(tmp_path, [f"{i}.png" for i in range(3)])
    truncated_jpeg(root / "1bad.jpg")
    samples = calibration(root)
    with pytest.raises(DataError, match=r"cannot read image .*1bad\.jpg: .*truncated") as e:
        list(batches.batches(samples, RGB, batch=2))
    assert "--skip-bad" in (e.value.hint or "")
    kept = calibration(root, skip_bad=True)
    assert (kept.entries, kept.skipped) == (("0.png", "1.png", "2.png"), 1)
    assert "1 of 4 evaluation images are unreadable and were skipped" in check_counts(
        kept, role="evaluation"
    )
    assert batches.load(kept, RGB).shape == (3, 3, 4, 4)


def test_a_file_that_is_no_image_is_refused_when_the_folder_is_opened(tmp_path: Path) -> None:
    root = folder(tmp_path, ["a.png"])
    (root / "b.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n")
    with pytest.raises(
        DataError, match=r"b\.jpg: whatever its name says, it is not one of JPEG, PNG"
    ) as e:
        calibration(root)
    assert "--skip-bad" in (e.value.hint or "")
    (root / "b.jpg").unlink()
    (root / "c.png").symlink_to(root / "gone")
    with pytest.raises(DataError, match=r"c\.png: no such file"):
        calibration(root)
    (root / "a.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"none of the 2 images in .* can be read; the first: .*a\.png"
    ):
        calibration(root, skip_bad=True)


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
            lambda: images.read_image(tmp_path / "bomb.png", RGB),
        ):
            with pytest.raises(DataError, match=rf"bomb\.png: {reason}"):
                call()
    assert limit == Image.MAX_IMAGE_PIXELS


def test_read_image_is_the_path_that_sets_take(tmp_path: Path) -> None:
    picture(5, 7, 9).save(tmp_path / "a.png")
    one = images.read_image(tmp_path / "a.png", RGB)
    assert one.dtype == np.float32
    np.testing.assert_array_equal(one, batches.load(calibration(tmp_path), RGB)[0])
    with pytest.raises(DataError, match=r"nope\.png: no such file") as e:
        images.read_image(tmp_path / "nope.png", RGB)
    assert e.value.hint and "--skip-bad" not in e.value.hint
    with pytest.raises(DataError, match="not a regular file"):
        images.read_image(tmp_path, RGB)
    with pytest.raises(DataError, match="rgb wants 4 channels"):
        images.read_image(tmp_path / "a.png", replace(RGB, channels=4))
    with pytest.raises(DataError, match="truncated"):
        images.read_image(truncated_jpeg(tmp_path / "cut.jpg"), RGB)


# decoding


def pixels(path: Path, spec: ModelSpec = RGB) -> np.ndarray:
    return load_pixels(evaluation(path.parent, ignore_labels=True), 0, spec)


def test_exif_rotation(tmp_path: Path) -> None:
    image = Image.new("RGB", (32, 16), "black")
    image.paste((255, 255, 255), (0, 0, 16, 16))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left becomes the top
    image.save(tmp_path / "a.jpg", exif=exif, quality=100)
    upright = pixels(tmp_path / "a.jpg")
    assert upright.shape == (32, 16, 3)
    assert upright[:14].min() > 240 and upright[18:].max() < 15


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
    assert pixels(png, GREY)[..., 0].tolist() == [[0, 0, 1, 1], [128, 254, 255, 255]]
    np.testing.assert_array_equal(pixels(png), pixels(png, GREY).repeat(3, 2))
    pgm.write_bytes(b"P5 4 2 65535\n" + wide.astype(">u2").tobytes())
    np.testing.assert_array_equal(pixels(pgm), pixels(png))


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


# preprocessing


def test_normalisation_is_torch_to_the_bit() -> None:
    import torch

    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (CIFAR10.mean, CIFAR10.std))
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
    spec = replace(RGB, resize=256, input_size=224)
    image = picture(1, width, height)
    wanted = image.resize(resized, Image.Resampling.BILINEAR).crop(
        (left, top, left + 224, top + 224)
    )
    got = preprocess(np.asarray(image), spec)
    np.testing.assert_array_equal(
        got, np.asarray(wanted).transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    )


def test_preprocess_refuses_what_it_cannot_do() -> None:
    with pytest.raises(ValueError, match="is not uint8 H x W x 3"):
        preprocess(np.zeros((4, 4, 1), np.uint8), RGB)
    with pytest.raises(ValueError, match="float32"):
        preprocess(np.zeros((4, 4, 3), np.float32), RGB)
    with pytest.raises(DataError, match="resized to 3 and cannot fill an input of 4"):
        preprocess(np.zeros((4, 4, 3), np.uint8), replace(RGB, resize=3))


def test_batches_keep_the_order(tmp_path: Path) -> None:
    samples = evaluation(folder(tmp_path, [f"{i}.png" for i in range(5)]))
    got = list(batches.batches(samples, RGB, batch=2))
    assert [b.shape for b in got] == [(2, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]
    np.testing.assert_array_equal(np.concatenate(got), batches.load(samples, RGB))
    np.testing.assert_array_equal(batches.load(samples, RGB, [3, 0]), np.concatenate(got)[[3, 0]])
    np.testing.assert_array_equal(load_pixels(samples, 3, RGB), np.asarray(picture(3)))


# idx files


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_idx_sets(tmp_path: Path, suffix: str) -> None:
    samples = evaluation(idx_folder(tmp_path, suffix=suffix), GREY)
    assert (samples.kind, samples.entries, samples.labels) == (
        "idx",
        ("0", "1", "2", "3", "4"),
        (0, 1, 2, 3, 4),
    )
    assert samples.class_names == FASHION_MNIST.classes
    raw = idx.read_idx(tmp_path / f"t10k-images-idx3-ubyte{suffix}")
    assert samples.content_hashes[3] == hashlib.sha256(raw[3].tobytes()).hexdigest()
    np.testing.assert_array_equal(load_pixels(samples, 3, GREY)[..., 0], raw[3])
    np.testing.assert_array_equal(load_pixels(samples, 3, RGB)[..., 2], raw[3])
    few = evaluation(tmp_path, GREY, limit=2)
    assert (few.entries, few.labels) == (("0", "2"), (0, 2))
    np.testing.assert_array_equal(load_pixels(few, 1, GREY)[..., 0], raw[2])


def test_idx_labels(tmp_path: Path) -> None:
    idx_folder(tmp_path)
    with pytest.raises(DataError, match=r"labels up to 4; the model has 3 classes") as e:
        evaluation(tmp_path, RGB)
    assert "--ignore-labels" in (e.value.hint or "")
    assert calibration(tmp_path, RGB).class_names is None
    assert evaluation(tmp_path, None).labels == (0, 1, 2, 3, 4)
    assert evaluation(tmp_path, RGB, ignore_labels=True).labels is None
    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx_bytes(np.zeros(4, np.uint8)))
    )
    with pytest.raises(DataError, match=r"holds \(5, 4, 4\) and t10k-labels-idx1-ubyte\.gz \(4,\)"):
        evaluation(tmp_path, GREY)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    assert calibration(tmp_path, GREY).labels is None
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz is missing") as e:
        evaluation(tmp_path, GREY)
    assert "--ignore-labels" in (e.value.hint or "")


def test_two_pairs_of_idx_files(tmp_path: Path) -> None:
    idx_folder(idx_folder(tmp_path), stem="train")
    with pytest.raises(
        DataError, match=r"2 idx files of images: t10k-images\S+, train-images\S+; one pair"
    ) as e:
        evaluation(tmp_path, GREY)
    assert "mv " in (e.value.hint or "")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: b[:-1], r"header says 5 x 4 x 4 bytes, it holds 79"),
        (lambda b: b + b"x", r"header says 5 x 4 x 4 bytes, it holds more"),
        (
            lambda b: b"\x89PNG" + b[4:],
            r"not an idx file of bytes: it begins 89 50 4e 47, not 00 00 08",
        ),
        (lambda b: b[:2] + b"\x0d" + b[3:], r"begins 00 00 0d"),
        (lambda b: b"", r"begins nowhere"),
        (lambda b: b[:7], r"cut short or damaged"),
        (
            lambda b: b[:4] + b"\xff" * 12 + b[16:],
            r"header says 4294967295 x 4294967295 x 4294967295 bytes, it holds 0",
        ),
    ],
)
@pytest.mark.parametrize("suffix", [".gz", ""])
def test_damaged_idx_files(tmp_path: Path, change: Any, reason: str, suffix: str) -> None:
    path = idx_folder(tmp_path, suffix=suffix) / f"t10k-images-idx3-ubyte{suffix}"
    pack, unpack = (gzip.compress, gzip.decompress) if suffix else (bytes, bytes)
    path.write_bytes(pack(change(unpack(path.read_bytes()))))
    with pytest.raises(DataError, match=rf"t10k-images-idx3-ubyte{suffix} .*{reason}"):
        evaluation(tmp_path, GREY)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = idx_folder(tmp_path) / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged in (whole[:-12], whole[:60] + b"\xff" * 8 + whole[68:], b"nothing packed"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot read .*t10k-images-idx3-ubyte\.gz"):
            evaluation(tmp_path, GREY)
    with pytest.raises(DataError, match="No such file"):
        idx.read_idx(tmp_path / "gone")


# counts and overlap


@pytest.mark.parametrize(("count", "warnings"), [(100, 1), (299, 1), (300, 0)])
def test_calibration_counts(tmp_path: Path, count: int, warnings: int) -> None:
    samples = calibration(idx_folder(tmp_path, count), GREY)
    found = check_counts(samples, role="calibration")
    assert len(found) == warnings and all(f"{count} calibration images" in line for line in found)


def test_too_few_calibration_images(tmp_path: Path) -> None:
    samples = calibration(idx_folder(tmp_path, 99), GREY)
    with pytest.raises(DataError, match=r"has 99 calibration images; at least 100") as e:
        check_counts(samples, role="calibration")
    assert "edge-scnet build --calib" in (e.value.hint or "")
    assert check_counts(samples, role="evaluation") == []
    with pytest.raises(DataError, match=r"\(7 unreadable ones left out\)"):
        check_counts(replace(samples, skipped=7), role="calibration")


def test_uncovered_classes_are_named(tmp_path: Path) -> None:
    found = check_counts(evaluation(idx_folder(tmp_path, 3), GREY), role="evaluation")
    assert found == [
        "7 of 10 classes have no evaluation image: Dress, Coat, Sandal, Shirt, Sneaker, ..."
    ]


def test_overlap_is_found_by_content(tmp_path: Path) -> None:
    calib = calibration(folder(tmp_path / "calib", ["a.png", "b.png"]))
    other = evaluation(folder(tmp_path / "other", ["a.png", "b.png"], seed=10))
    check_overlap(calib, other)
    both = evaluation(folder(tmp_path / "eval", ["cat/new.png", "dog/x.png"], seed=1))
    message = (
        r"1 of 2 evaluation images are calibration images too:\n  .*calib/b\.png = .*cat/new\.png"
    )
    with pytest.raises(DataError, match=message) as e:
        check_overlap(calib, both)
    assert "--calib" in (e.value.hint or "")


def test_copies_in_the_calibration_set_are_a_warning(tmp_path: Path) -> None:
    root = folder(tmp_path / "calib", ["a.png", "b.png"])
    (root / "c.png").write_bytes((root / "a.png").read_bytes())
    for i in range(dataset.MIN_CALIBRATION):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(root / f"{i}.png")
    found = check_counts(calibration(root), role="calibration")
    assert (
        "1 calibration images are copies of others, such as a.png = c.png: they count twice"
        in found
    )


# what ships, and what is published


def test_bundled_files_are_those_of_the_list() -> None:
    root = bundled("calib_data") / "fashion-mnist"
    listed = dict(reversed(line.split()) for line in (root / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {
        f.relative_to(root).as_posix() for f in [*root.glob("*/*.gz"), root / "calib-indices.txt"]
    }
    for name, digest in listed.items():
        assert hashlib.sha256((root / name).read_bytes()).hexdigest() == digest, name
    assert "2017 Zalando SE" in (root / "LICENSE").read_text()


def test_bundled_sets_are_whole_even_disjoint_and_fast_to_open() -> None:
    calib_dir, eval_dir = dataset.bundled_sets("fashion-mnist")
    started = time.perf_counter()
    calib, test = calibration(calib_dir, FASHION_MNIST), evaluation(eval_dir, FASHION_MNIST)
    assert time.perf_counter() - started < 2  # 0.1 s on a quiet machine
    assert (len(calib), len(test), calib.name) == (1024, 10_000, "fashion-mnist/calib")
    assert np.bincount(calib.labels or ()).tolist() == [103] * 4 + [102] * 6
    assert np.bincount(test.labels or ()).tolist() == [1000] * 10
    assert check_counts(calib, role="calibration") == check_counts(test, role="evaluation") == []
    check_overlap(calib, test)
    indices = [int(line) for line in (calib_dir.parent / "calib-indices.txt").read_text().split()]
    assert len(set(indices)) == 1024 and max(indices) < 60_000
    assert batches.load(calib, FASHION_MNIST, range(3)).shape == (3, 1, 28, 28)
    with pytest.raises(
        DataError, match=r"no data set '\.\./x' ships with edge-scnet; there is fashion-mnist"
    ) as e:
        dataset.bundled_sets("../x")
    assert "--calib DIR" in (e.value.hint or "")


def test_read_published(tmp_path: Path) -> None:
    pictures, labels = idx.read_published("fashion-mnist", idx_folder(tmp_path), "test")
    assert (
        pictures.shape == (5, 4, 4, 1)
        and pictures.flags.writeable
        and labels.tolist() == [0, 1, 2, 3, 4]
    )
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: no such file") as e:
        idx.read_published("fashion-mnist", tmp_path, "train")
    assert "dataset-fashion-mnist" in (e.value.hint or "")
    with pytest.raises(DataError, match="there are fashion-mnist and cifar10, train and test"):
        idx.read_published("mnist", tmp_path, "train")


def test_read_published_cifar10(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar10_test\.npz: no such file") as e:
        idx.read_published("cifar10", tmp_path, "test")
    assert "uint8 N x 32 x 32 x 3" in (e.value.hint or "")
    np.savez(
        tmp_path / "cifar10_test.npz", x=np.zeros((2, 32, 32, 3), np.uint8), y=np.array([1, 2])
    )
    pictures, labels = idx.read_published("cifar10", tmp_path, "test")
    assert pictures.shape == (2, 32, 32, 3) and labels.tolist() == [1, 2]
    np.savez(
        tmp_path / "cifar10_train.npz", x=np.zeros((2, 3, 32, 32), np.uint8), y=np.array([1, 2])
    )
    with pytest.raises(DataError, match=r"holds uint8 \(2, 3, 32, 32\), 2 labels"):
        idx.read_published("cifar10", tmp_path, "train")
    np.savez(tmp_path / "cifar10_train.npz", x=np.array([{}], object), y=np.array([1]))
    for content in (None, b"PK\x03\x04 cut short", b"no archive"):
        if content is not None:
            (tmp_path / "cifar10_train.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"cannot read .*cifar10_train\.npz"):
            idx.read_published("cifar10", tmp_path, "train")


def test_images_of_another_size_than_the_models_input_are_said(tmp_path: Path) -> None:
    idx_set = open_samples(
        idx_of(tmp_path / "idx", np.zeros((3, 20, 24), np.uint8), np.arange(3)),
        model=FASHION_MNIST,
        role="evaluation",
    )
    assert checks.check_size(idx_set, FASHION_MNIST, role="evaluation") == [
        "the evaluation images are 24 x 20 and the model's input is 28 x 28: they are resized"
    ]
    assert checks.check_size(idx_set, replace(FASHION_MNIST, resize=32), role="evaluation") == []
    for number, size in enumerate([(28, 40), (20, 40), (60, 27)]):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
    shutil.rmtree(tmp_path / "idx")
    folder = open_samples(tmp_path, model=FASHION_MNIST, role="calibration")
    assert checks.check_size(folder, FASHION_MNIST, role="calibration") == [
        "2 of 3 calibration images are smaller than the model's input of 28 x 28 (the smallest is"
        " 20 pixels wide or high): they are enlarged"
    ]
    assert checks.check_size(dataset.subset(folder, 1), FASHION_MNIST, role="calibration") == []


def test_a_subset_is_evenly_spaced_and_loads_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)
    samples = open_samples(
        idx_of(tmp_path / "idx", pixels, np.arange(10)), model=FASHION_MNIST, role="evaluation"
    )
    few = dataset.subset(samples, 4)
    assert (
        few.entries == ("0", "2", "5", "7")
        and few.labels == (0, 2, 5, 7)
        and few.hash != samples.hash
    )
    np.testing.assert_array_equal(
        batches.load(few, FASHION_MNIST), batches.load(samples, FASHION_MNIST, [0, 2, 5, 7])
    )
    assert len(dataset.subset(samples, 99)) == 10


def test_many_images_at_once_are_to_the_bit_what_one_by_one_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_AT_ONCE", 3)
    pixels = np.random.default_rng(0).integers(0, 256, (10, 28, 28), np.uint8)
    samples = open_samples(
        idx_of(tmp_path / "idx", pixels, np.arange(10)), model=FASHION_MNIST, role="evaluation"
    )
    for spec in (
        FASHION_MNIST,
        replace(FASHION_MNIST, channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4)),
    ):
        one_by_one = np.stack(
            [images.preprocess(batches.load_pixels(samples, i, spec), spec) for i in range(10)]
        )
        np.testing.assert_array_equal(batches.load(samples, spec), one_by_one)
