"""Trains a small network of inverted residuals, named as timm names them, and exports it to ONNX.

python timm_style.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fashion import clothes, inputs
from fitting import fit
from PIL import Image
from torch import Tensor, nn


class SqueezeExcite(nn.Module):
    """Weighs channels by what all of the picture says."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, channels // 4, 1)
        self.conv_expand = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv_reduce(x.mean((2, 3), keepdim=True)).relu()
        return x * nn.functional.hardsigmoid(self.conv_expand(gate))


class InvertedResidual(nn.Module):
    """Wide in between, depthwise, with a shortcut: a block of MobileNetV3."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        wide = 4 * inside
        self.conv_pw = nn.Conv2d(inside, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.conv_dw = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.se = SqueezeExcite(wide)
        self.conv_pwl = nn.Conv2d(wide, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.act = nn.Hardswish()
        self.has_skip = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.se(self.act(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.has_skip else y


class Net(nn.Module):
    """Five blocks for grey pictures of 28 x 28 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(1, 16, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        shapes = [(16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 40, 2), (40, 40, 1)]
        self.blocks = nn.Sequential(*(InvertedResidual(*shape) for shape in shapes))
        self.act = nn.Hardswish()
        self.classifier = nn.Linear(40, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.act(self.bn1(self.conv_stem(x))))
        return self.classifier(x.mean((2, 3)))


images, labels = clothes("eval")
net = Net()
fit(net, inputs(images[:4000]), labels[:4000], epochs=3)
torch.onnx.export(net, (torch.zeros(1, 1, 28, 28),), "timm_style.onnx", external_data=False)


def write(folder: Path, images: np.ndarray) -> list[str]:
    """Writes images and returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{number:05}.png" for number in range(len(images))]
    for file, image in zip(files, images, strict=True):
        Image.fromarray(image).save(file)
    return [str(file.relative_to(folder.parent)) for file in files]


# calibrated with images that it learned from, judged on others
write(Path("photos/calib"), images[:500])
files = write(Path("photos/eval"), images[6000:8000])
rows = [f"{file},{label}" for file, label in zip(files, labels[6000:8000], strict=True)]
Path("photos/eval.csv").write_text("\n".join(["path,label", *rows]) + "\n")
