"""Image sets for tests: the bundled images, and sets written from arrays and pictures."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edge_scnet.core.preprocessing import Preprocessing
from edge_scnet.core.resources import bundled
from edge_scnet.core.spec import ModelSpec
from edge_scnet.data import idx
from edge_scnet.data.batches import load_pixels
from edge_scnet.data.samples import SampleSet, open_samples
from edge_scnet.models.zoo import CIFAR10, FASHION_MNIST


def idx_folder(root: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    root.mkdir(parents=True)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        head = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
        (root / f"t10k-{name}-ubyte").write_bytes(head + array.tobytes())
    return root


def published(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the bundled set, split "calib" or "eval"."""
    folder = bundled("calib_data") / "fashion-mnist" / split
    stem = "calib" if split == "calib" else "t10k"
    images, labels = (
        idx.read_idx(folder / f"{stem}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")
    )
    return images, labels


RGB = replace(
    CIFAR10,
    name="rgb",
    input_shape=(3, 4, 4),
    classes=("cat", "dog", "Ankle boot"),
    num_classes=None,
    preprocessing=Preprocessing(mean=(0.0,) * 3, std=(1.0,) * 3),
)
GREY = replace(
    FASHION_MNIST,
    name="grey",
    input_shape=(1, 4, 4),
    preprocessing=Preprocessing(colour="grey", mean=(0.0,), std=(1.0,)),
)


def prepared(spec: ModelSpec, **values: Any) -> ModelSpec:
    """The spec with other values of its preprocessing."""
    return replace(spec, preprocessing=replace(spec.preprocessing, **values))


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


def idx_files(root: Path, count: int = 5, *, stem: str = "t10k", suffix: str = ".gz") -> Path:
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


def truncated_jpeg(path: Path) -> Path:
    picture(3, 200, 200).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:-4000])
    return path


def pixels(path: Path, spec: ModelSpec = RGB) -> np.ndarray:
    return load_pixels(evaluation(path.parent, ignore_labels=True), 0, spec)
