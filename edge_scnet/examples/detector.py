"""The example's detector: a small YOLOX-style network for drawn shapes at 96 x 96 pixels.

    python -m edge_scnet.examples --out shapes

draws its data and says the command that builds it.

It gives 180 rows of 8 columns: box offsets (4), objectness, and three classes, as YOLOX exports
them: Z. Ge, S. Liu, F. Wang, Z. Li, J. Sun, YOLOX: Exceeding YOLO Series in 2021.
"""

from __future__ import annotations

import torch  # noqa: TID253  this module is a network: nothing imports it but a build of it
from torch import Tensor, nn  # noqa: TID253

from edge_scnet.examples.shapes import CLASSES
from edge_scnet.examples.weights import load_weights

SIDE = 96
STRIDES = (8, 16)
# Of ImageNet, which build takes for pictures in colour where nothing else is said.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _unit(inside: int, outside: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    )


class _Residual(nn.Module):
    """Adds what two convolutions make of its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _unit(channels, channels)
        self.second = _unit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


class ShapeDetector(nn.Module):
    """N x 3 x 96 x 96, pixels normalised, to N x 180 x 8.

    In training mode the objectness and the classes are logits, else probabilities.
    """

    def __init__(self, classes: int = len(CLASSES)) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _unit(3, 16, stride=2), _unit(16, 24, stride=2), _unit(24, 24), _unit(24, 40, stride=2)
        )
        self.fine = _Residual(40)
        self.down = _unit(40, 56, stride=2)
        self.coarse = _Residual(56)
        self.to_fine = _unit(56, 40, kernel=1)
        self.up = nn.Upsample(scale_factor=2, mode="nearest")
        self.to_coarse = _unit(56, 40, kernel=1)
        # of each level its own: the statistics of their BatchNorms differ
        self.towers = nn.ModuleList([nn.Sequential(_unit(40, 40), _unit(40, 40)) for _ in STRIDES])
        self.boxes = nn.ModuleList([nn.Conv2d(40, 4, 1) for _ in STRIDES])
        self.objectness = nn.ModuleList([nn.Conv2d(40, 1, 1) for _ in STRIDES])
        self.classes = nn.ModuleList([nn.Conv2d(40, classes, 1) for _ in STRIDES])
        for head in self.objectness:
            assert isinstance(head, nn.Conv2d) and head.bias is not None
            nn.init.constant_(head.bias, -4.0)  # few places have an object

    def forward(self, x: Tensor) -> Tensor:
        fine = self.fine(self.stem(x))
        coarse = self.coarse(self.down(fine))
        fine = fine + self.up(self.to_fine(coarse))
        levels = []
        for level, features in enumerate((fine, self.to_coarse(coarse))):
            seen = self.towers[level](features)
            scores = torch.cat([self.objectness[level](seen), self.classes[level](seen)], 1)
            if not self.training:
                scores = scores.sigmoid()
            levels.append(torch.cat([self.boxes[level](seen), scores], 1).flatten(2))
        return torch.cat(levels, 2).permute(0, 2, 1)


def shapes() -> ShapeDetector:
    """The trained detector.

    Raises:
        ArtifactError: the weights are not those of their card.
    """
    model = ShapeDetector()
    model.load_state_dict(load_weights("shapes_detector"))
    return model.eval()
