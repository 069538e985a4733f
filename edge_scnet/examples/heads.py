"""The examples of other tasks: the detector's features with one linear layer each.

    python -m edge_scnet.examples --out segmentation --task segmentation

draws a task's data and says the command that builds its network. `heads_training` makes the layers.
"""

from __future__ import annotations

from typing import TypeVar

import torch  # noqa: TID253  this module is networks: nothing imports it but a build of one
from torch import Tensor, nn  # noqa: TID253

from edge_scnet.examples.detector import SIDE, ShapeDetector
from edge_scnet.examples.detector import shapes as trained
from edge_scnet.examples.shapes import CLASSES
from edge_scnet.examples.single import IDENTITIES, POINTS
from edge_scnet.examples.weights import load_weights

Head = TypeVar("Head", "Binary", "Segmentation", "Keypoints", "Embedding")
# Of the stem's second map, the fine and the coarse map, in channels.
_EARLY, _FINE, _COARSE = 24, 40, 56


class Features(nn.Module):
    """The detector's maps: of strides 4, 8 and 16."""

    def __init__(self, detector: ShapeDetector) -> None:
        super().__init__()
        self.early, self.late = detector.stem[:3], detector.stem[3:]
        self.fine, self.down, self.coarse = detector.fine, detector.down, detector.coarse
        self.to_fine, self.up, self.towers = detector.to_fine, detector.up, detector.towers
        self.to_coarse = detector.to_coarse

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        early = self.early(x)
        fine = self.fine(self.late(early))
        coarse = self.coarse(self.down(fine))
        return early, fine + self.up(self.to_fine(coarse)), coarse

    def towers_of(self, fine: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """What the detector's scores are made of, by level."""
        of_fine: Tensor = self.towers[0](fine)
        of_coarse: Tensor = self.towers[1](self.to_coarse(coarse))
        return of_fine, of_coarse


class Binary(nn.Module):
    """N x 3 x 96 x 96 to N x 1: the logit of a disc being there."""

    def __init__(self, detector: ShapeDetector) -> None:
        super().__init__()
        self.features = Features(detector)
        self.pool, self.last = nn.AdaptiveMaxPool2d(1), nn.Linear(2 * _FINE, 1)

    def described(self, x: Tensor) -> Tensor:
        """What the last layer is given, N x 80."""
        _, fine, coarse = self.features(x)
        maps = self.features.towers_of(fine, coarse)
        return torch.cat([self.pool(each).flatten(1) for each in maps], 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.described(x))
        return out


class Segmentation(nn.Module):
    """N x 3 x 96 x 96 to N x 4 x 24 x 24: the ground and the three shapes, a score each."""

    def __init__(self, detector: ShapeDetector) -> None:
        super().__init__()
        self.features = Features(detector)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = nn.Conv2d(_EARLY + _FINE, 1 + len(CLASSES), 3, padding=1)

    def described(self, x: Tensor) -> Tensor:
        """What the last layer is given, N x 64 x 24 x 24."""
        early, fine, _ = self.features(x)
        return torch.cat([early, self.up(fine)], 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.described(x))
        return out


class Keypoints(nn.Module):
    """N x 3 x 96 x 96 to N x 4: x and y of two points, in pixels of the input."""

    def __init__(self, detector: ShapeDetector) -> None:
        super().__init__()
        self.features = Features(detector)
        self.last = nn.Linear(_COARSE * (SIDE // 16) ** 2, 2 * len(POINTS))

    def described(self, x: Tensor) -> Tensor:
        """What the last layer is given, N x 2016."""
        out: Tensor = self.features(x)[2].flatten(1)
        return out

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.described(x))
        return out


class Embedding(nn.Module):
    """N x 3 x 96 x 96 to N x 24: a vector of length 1, near to those of one shape and colour."""

    def __init__(self, detector: ShapeDetector) -> None:
        super().__init__()
        self.features = Features(detector)
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.last = nn.Linear(_EARLY + _FINE + _COARSE, IDENTITIES)

    def described(self, x: Tensor) -> Tensor:
        """What the last layer is given, N x 120."""
        return torch.cat([self.pool(each).flatten(1) for each in self.features(x)], 1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(self.last(self.described(x)), dim=1)


def binary() -> Binary:
    """The trained network."""
    return _with_last(Binary(trained()), "binary")


def segmentation() -> Segmentation:
    """The trained network."""
    return _with_last(Segmentation(trained()), "segmentation")


def keypoints() -> Keypoints:
    """The trained network."""
    return _with_last(Keypoints(trained()), "keypoints")


def embedding() -> Embedding:
    """The trained network."""
    return _with_last(Embedding(trained()), "embedding")


def _with_last(model: Head, task: str) -> Head:
    """The network with the last layer of its task."""
    tensors = load_weights("shapes_heads")
    for part in ("weight", "bias"):
        parameter: nn.Parameter = getattr(model.last, part)
        parameter.data = tensors[f"{task}.{part}"]
    return model.eval()
