"""A few epochs of training: what the examples' networks learn in a quarter of a minute."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def fit(net: nn.Module, x: np.ndarray, y: np.ndarray, *, epochs: int, lr: float = 2e-3) -> None:
    """Trains a classifier and leaves it ready for use (`eval`).

    Args:
        x: float32 inputs, N x C x H x W.
        y: the class of each, int64.
    """
    torch.manual_seed(0)
    inputs, classes = torch.from_numpy(x), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr)
    steps = epochs * -(-len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    net.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            loss = nn.functional.cross_entropy(net(inputs[rows]), classes[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.eval()
