"""Trains a small network for grey pictures, and writes it and its samples as arrays.

python grey_arrays.py
"""

from __future__ import annotations

import numpy as np
import torch
from fashion import clothes, inputs
from fitting import fit
from torch import nn


def unit(inside: int, outside: int, stride: int) -> nn.Sequential:
    """A convolution with what belongs to it."""
    conv = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside), nn.ReLU())


net = nn.Sequential(
    unit(1, 16, 2), unit(16, 32, 1), unit(32, 64, 2), unit(64, 64, 1),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
)  # fmt: skip
images, labels = clothes("eval")
samples = inputs(images)
fit(net, samples[:3000], labels[:3000], epochs=2)
torch.onnx.export(net, (torch.zeros(1, 1, 28, 28),), "grey.onnx", external_data=False)

# samples as the network takes them: nothing is resized or normalised again
np.savez("grey-calib.npz", x=samples[:500])
np.savez("grey-eval.npz", x=samples[4000:6000], labels=labels[4000:6000])
