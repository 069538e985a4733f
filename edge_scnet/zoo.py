"""Which models exist, what they want as input, and how their checkpoints are loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_scnet.scnet import SCNet

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model and its preprocessing: one record for every stage."""

    name: str
    arch: str
    channels: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None
    classes: tuple[str, ...]


FASHION_MNIST = ModelSpec(
    name="scnet20-fashion-mnist", arch="scnet20", channels=1, input_size=28, mean=(0.286,), std=(0.353,), resize=None,
    classes=("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)  # fmt: skip
CIFAR10 = ModelSpec(
    name="scnet20-cifar10", arch="scnet20", channels=3, input_size=32, mean=(0.4914, 0.4822, 0.4465),
    std=(0.247, 0.2435, 0.2616), resize=None,
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)  # fmt: skip


def reference_spec(arch: str, dataset: str) -> ModelSpec:
    base = {"fashion-mnist": FASHION_MNIST, "cifar10": CIFAR10}[dataset]
    return replace(base, arch=arch, name=f"{arch}-{dataset}")


def create(spec: ModelSpec) -> SCNet:
    from edge_scnet.scnet import ARCHITECTURES

    return ARCHITECTURES[spec.arch](len(spec.classes), spec.channels)
