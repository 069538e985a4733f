"""Scale and zero point of quantized activations.

Real value = scale * (code - zero point).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Codes = Literal["uint8", "int8"]

# A scale below this would make 1/scale overflow in float32 kernels; a tensor this small is zero to
# every consumer.
SMALLEST_SCALE = float(np.float32(2.0**-100))
_UINT8_MAX = 255
_INT8_MAX = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantParams:
    """Scale and zero point of one per-tensor quantized activation."""

    scale: float
    zero_point: int
    dtype: Codes = "uint8"

    @property
    def code_range(self) -> tuple[int, int]:
        """The smallest and the largest code in use."""
        return (0, _UINT8_MAX) if self.dtype == "uint8" else (-_INT8_MAX, _INT8_MAX)


def activation_params(low: float, high: float, *, dtype: Codes) -> QuantParams:
    """Returns the parameters for values in [low, high]."""
    return uint8_params(low, high) if dtype == "uint8" else int8_params(low, high)


def int8_params(low: float, high: float) -> QuantParams:
    """Returns symmetric parameters, zero point 0, as TensorRT takes them.

    Codes lie in [-127, 127].
    """
    peak = max(-low, high, 0.0)
    return QuantParams(
        scale=float(np.float32(max(peak / _INT8_MAX, SMALLEST_SCALE))), zero_point=0, dtype="int8"
    )


def uint8_params(low: float, high: float) -> QuantParams:
    """Returns asymmetric parameters, with the range widened to hold zero.

    Zero must be exact (zero padding, ReLU). A range without negative values gives zero point 0:
    OpenVINO miscompiles padded average pools and, for int8, Concat on tensors with another one
    (tests/compile/test_fidelity.py).
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / _UINT8_MAX, SMALLEST_SCALE)
    zero_point = round(-low / scale)
    # rounding the zero point moves the range by up to half a step: widen the scale so that neither
    # end is cut
    if 0 < zero_point < _UINT8_MAX:
        scale = max(-low / zero_point, high / (_UINT8_MAX - zero_point), SMALLEST_SCALE)
    return QuantParams(scale=float(np.float32(scale)), zero_point=zero_point)
