"""Targets inside the network: what a quantized tensor should hold, from the float graph's own.

With the outputs alone a hundred samples are soon learned by heart; the tensors in between hold the
network to the float one layer by layer, as block reconstruction does (Li et al., "BRECQ", ICLR
2021), and all layers still learn at once.

Equalisation and absorbed offsets make a tensor of the Q/DQ graph the float graph's times a factor,
and more, by channel. Both are measured, so that nothing of the quantizer needs to be known here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch  # noqa: TID253
from torch import Tensor  # noqa: TID253

# Of a tensor's variance, what the float graph's may leave unexplained.
_MOST_UNEXPLAINED = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class InnerTarget:
    """A tensor of both graphs, and how one follows from the other."""

    name: str
    # by channel, to broadcast
    factor: Tensor
    offset: Tensor
    # the variance of the quantized graph's tensor
    power: float

    def noise(self, learned: Tensor, of_float: Tensor) -> Tensor:
        """The mean error of a tensor over its power."""
        return (learned - torch.addcmul(self.offset, of_float, self.factor)).square().mean() / (
            self.power
        )


def inner_targets(
    names: Sequence[str], student: Mapping[str, Tensor], teacher: Mapping[str, Tensor]
) -> list[InnerTarget]:
    """Finds the tensors that follow from the float graph's.

    Args:
        names: of the tensors to look at.
        student: what they hold in the Q/DQ graph without its rounding, on some samples.
        teacher: the same of the float graph; tensors that it does not have are left out.
    """
    targets = []
    for name in names:
        have, wanted = student[name], teacher.get(name)
        if wanted is None or wanted.shape != have.shape or have.dim() < 2:
            continue
        if not (have.isfinite().all() and wanted.isfinite().all()):
            continue
        axes = [axis for axis in range(have.dim()) if axis != 1]
        mean, middle = have.mean(axes, keepdim=True), wanted.mean(axes, keepdim=True)
        spread = (wanted - middle).square().mean(axes, keepdim=True)
        together = ((wanted - middle) * (have - mean)).mean(axes, keepdim=True)
        factor = torch.where(spread > 0, together / spread.clamp_min(1e-30), 0.0)
        offset = mean - factor * middle
        power = float(have.var())
        left = float((have - (offset + factor * wanted)).square().mean())
        if power > 0 and left <= _MOST_UNEXPLAINED * power:
            targets.append(InnerTarget(name=name, factor=factor, offset=offset, power=power))
    return targets
