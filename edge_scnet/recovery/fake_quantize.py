"""Rounding to codes with a gradient.

The straight-through estimator: Bengio et al., 2013; the gradients of scale and zero point: Esser et
al., "Learned Step Size Quantization" (ICLR 2020), and Bhalgat et al., "LSQ+" (2020).
"""

from __future__ import annotations

from typing import Any

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253


class FakeQuantize(torch.autograd.Function):
    """Quantizes and dequantizes a tensor with one scale."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int
    ) -> Tensor:
        """Returns scale * (clip(round(x / scale) + zero point) - zero point).

        Args:
            ctx: what the backward pass needs.
            x: float, of any shape.
            scale: one value.
            zero_point: one whole value.
            low: the smallest code.
            high: the largest code.
        """
        zero = int(zero_point)
        y = torch.div(x, scale).round_().clamp_(low - zero, high - zero).mul_(scale)
        ctx.save_for_backward(x, y, scale)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Passes the gradient on where nothing was cut, else to the scale and the zero point.

        With q the code less the zero point: dy/dscale is q - x / scale inside and q outside, which
        over the scale is y - x and y; dy/dzero point is 0 inside and -scale outside.
        """
        x, y, scale = ctx.saved_tensors
        # what is not cut lies within half a step of its code
        inside = torch.sub(y, x).abs_() <= 0.5000001 * scale
        passed = torch.where(inside, gradient, 0.0)
        of_scale = torch.dot(gradient.reshape(-1), y.reshape(-1))
        of_scale = (of_scale - torch.dot(passed.reshape(-1), x.reshape(-1))) / scale
        of_zero = None
        if ctx.needs_input_grad[2]:
            of_zero = -scale * (gradient.sum() - passed.sum())
        return passed, of_scale, of_zero, None, None


def rounded(x: Tensor) -> Tensor:
    """Rounds, and passes the gradient on as it is."""
    return x + (x.round() - x).detach()
