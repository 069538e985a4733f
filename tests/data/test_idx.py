"""Sets in idx files: read, and refused where they are damaged."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_scnet.data import idx
from edge_scnet.data.batches import load_pixels
from edge_scnet.errors import DataError
from edge_scnet.models.zoo import FASHION_MNIST
from tests.helpers.images import GREY, RGB, calibration, evaluation, idx_bytes, idx_files


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_idx_sets(tmp_path: Path, suffix: str) -> None:
    samples = evaluation(idx_files(tmp_path, suffix=suffix), GREY)
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
    idx_files(tmp_path)
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
    idx_files(idx_files(tmp_path), stem="train")
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
    path = idx_files(tmp_path, suffix=suffix) / f"t10k-images-idx3-ubyte{suffix}"
    pack, unpack = (gzip.compress, gzip.decompress) if suffix else (bytes, bytes)
    path.write_bytes(pack(change(unpack(path.read_bytes()))))
    with pytest.raises(DataError, match=rf"t10k-images-idx3-ubyte{suffix} .*{reason}"):
        evaluation(tmp_path, GREY)


def test_damaged_gzip(tmp_path: Path) -> None:
    path = idx_files(tmp_path) / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for damaged in (whole[:-12], whole[:60] + b"\xff" * 8 + whole[68:], b"nothing packed"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"cannot read .*t10k-images-idx3-ubyte\.gz"):
            evaluation(tmp_path, GREY)
    with pytest.raises(DataError, match="No such file"):
        idx.read_idx(tmp_path / "gone")


def test_read_published(tmp_path: Path) -> None:
    pictures, labels = idx.read_published("fashion-mnist", idx_files(tmp_path), "test")
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


def test_no_array_has_255_dimensions(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\0\x08\xff" + b"\0\0\0\x01" * 255 + b"\0")
    with pytest.raises(DataError, match="has 255 dimensions; at most 32"):
        idx.read_idx(tmp_path / "a")
