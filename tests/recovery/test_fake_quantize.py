"""Values and gradients of rounding to codes, against autograd through the same formula."""

from __future__ import annotations

import pytest
import torch

from edge_scnet.recovery.fake_quantize import FakeQuantize, rounded


@pytest.mark.parametrize(("zero", "low", "high"), [(0.0, 0, 255), (37.0, 0, 255), (0.0, -127, 127)])
def test_gradients_are_those_of_the_formula(zero: float, low: int, high: int) -> None:
    torch.manual_seed(0)
    values, weights = torch.randn(200) * 40, torch.randn(200)

    def inputs() -> list[torch.Tensor]:
        starts = (values.clone(), torch.tensor(0.31), torch.tensor(zero))
        return [start.requires_grad_() for start in starts]

    x, scale, offset = inputs()
    codes = torch.clamp(rounded(x / scale) + offset, low, high)
    expected = (codes - offset) * scale
    (expected * weights).sum().backward()
    want = [x.grad, scale.grad, offset.grad]
    x, scale, offset = inputs()
    found = FakeQuantize.apply(x, scale, offset, low, high)
    (found * weights).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close([x.grad, scale.grad, offset.grad], want, rtol=1e-4, atol=1e-3)


def test_rounding_passes_the_gradient_on() -> None:
    x = torch.tensor([0.4, 1.6], requires_grad=True)
    rounded(x).sum().backward()
    assert rounded(x).tolist() == [0.0, 2.0] and x.grad.tolist() == [1.0, 1.0]
