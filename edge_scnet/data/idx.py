"""idx files of bytes, and data sets as they are published."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import IO, BinaryIO, cast

import numpy as np

from edge_scnet.core.foreign import open_regular
from edge_scnet.data.array_headers import read_npz
from edge_scnet.errors import DataError

# Deflate's best ratio: a header that promises more than this is wrong, and nothing is allocated for
# it.
_GZIP_RATIO = 1032
# NumPy has no more
_MOST_AXES = 32


def read_idx(path: Path) -> np.ndarray:
    """The content of an idx file of unsigned bytes (plain or gzip), as uint8 and read-only.

    The format is described at yann.lecun.com/exdb/mnist, at the bottom.

    Raises:
        DataError: missing, not idx, cut short, or longer than its header says.
    """
    try:
        with open_regular(path) as held, _content(held, path) as file:
            head = file.read(4)
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not head[3]:
                raise DataError(
                    f"{path} is not an idx file of bytes: it begins {head.hex(' ') or 'nowhere'},"
                    " not 00 00 08"
                )
            if head[3] > _MOST_AXES:
                raise DataError(f"{path} has {head[3]} dimensions; at most {_MOST_AXES} are read")
            sides = file.read(4 * head[3])
            shape = tuple(int.from_bytes(sides[i : i + 4], "big") for i in range(0, len(sides), 4))
            count = 1
            for side in shape:
                count *= side
            possible = os.fstat(held.fileno()).st_size * (
                _GZIP_RATIO if path.suffix == ".gz" else 1
            )
            raw = file.read(count + 1) if count <= possible else b""
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"cannot read {path}: the gzip file is cut short or damaged ({error})",
            hint="copy the file again: it is not whole",
        ) from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if len(shape) != head[3] or len(raw) != count:
        raise DataError(
            f"{path} is cut short or damaged: its header says"
            f" {' x '.join(map(str, shape)) or 'nothing'} bytes, it holds"
            f" {'more' if len(raw) > count else len(raw)}",
            hint="copy the file again: it is not whole",
        )
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _content(held: BinaryIO, path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=held)) if path.suffix == ".gz" else held


def read_published(name: str, folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """A data set as published.

    The files of fashion-mnist are `train-*` and `t10k-*`, idx files in gzip; those of cifar10 are
    `cifar10_train.npz` and `cifar10_test.npz` with x and y.

    Args:
        name: fashion-mnist or cifar10.
        split: train or test.

    Returns:
        Images, uint8 N x H x W x C, and N labels.

    Raises:
        DataError: unknown name or split, or its files are missing or damaged.
    """
    if name not in ("fashion-mnist", "cifar10") or split not in ("train", "test"):
        raise DataError(
            f"no published set {name!r}, split {split!r}; there are fashion-mnist and cifar10,"
            " train and test"
        )
    if name == "cifar10":
        path = folder / f"cifar10_{split}.npz"
        try:
            arrays = read_npz(path)
            images, labels = arrays["x"], arrays["y"]
        except (KeyError, ValueError) as error:
            raise DataError(
                f"cannot read {path}: {error}",
                hint="it is to hold x, uint8 N x 32 x 32 x 3, and y, N",
            ) from error
        if images.dtype != np.uint8 or images.shape != (len(labels), 32, 32, 3):
            raise DataError(
                f"{path} holds {images.dtype} {images.shape}, {len(labels)} labels; wanted uint8 N"
                " x 32 x 32 x 3"
            )
        return images, labels
    images_path = folder / f"{'train' if split == 'train' else 't10k'}-images-idx3-ubyte.gz"
    if not images_path.is_file():
        hint = "Debian has the published files: apt install dataset-fashion-mnist"
        raise DataError(f"cannot read {images_path}: no such file", hint=hint)
    images, idx_labels = read_pair(images_path, labels_path_of(images_path))
    return images[..., None].copy(), idx_labels.copy()


def is_idx_images(path: Path) -> bool:
    """Whether a file is named as an idx file of images."""
    return path.name.removesuffix(".gz").endswith("-images-idx3-ubyte")


def labels_path_of(images: Path) -> Path:
    """The file of labels beside a file of images; packed or plain, whichever is there."""
    name = images.name.removesuffix(".gz").replace("-images-idx3-", "-labels-idx1-")
    plain, packed = images.with_name(name), images.with_name(f"{name}.gz")
    return plain if plain.is_file() else packed


def read_pair(images_path: Path, labels_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 N x H x W, and N labels of a pair of idx files.

    Raises:
        DataError: as `read_idx`, or the two do not fit together.
    """
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or not images.size or labels.shape != images.shape[:1]:
        raise DataError(
            f"{images_path} holds {images.shape} and {labels_path.name} {labels.shape}; wanted N x"
            " H x W and N"
        )
    return images, labels
