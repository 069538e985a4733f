"""Inputs that hypothesis draws."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.floats(-1e6, 1e6, width=32)
DRAWN_IMAGES = st.lists(
    arrays(np.float32, array_shapes(min_dims=1, max_dims=2, max_side=12), elements=VALUES),
    min_size=1,
    max_size=8,
)
DTYPES = st.sampled_from(["uint8", "int8"])
