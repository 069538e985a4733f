"""GroupNormalization."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.onnx_files import refused
from tests.helpers.onnx_nodes import assert_same, converted, floats, one_node

_CHANNELS = (floats(1, 2, 3, 4), floats(4, 3, 2, 1))


@pytest.mark.parametrize("shape", [(2, 4, 6, 6), (1, 4, 5), (1, 4, 2, 3, 4)])
@pytest.mark.parametrize("target", [17, 20, 23])
def test_scales_by_channel(shape: tuple[int, ...], target: int):
    model = one_node(21, "GroupNormalization", *_CHANNELS, shape=shape, num_groups=2, epsilon=0.1)
    assert "InstanceNormalization" in assert_same(model, target)


def test_scales_by_group_as_in_the_opsets_that_took_it_back():
    model = one_node(18, "GroupNormalization", floats(1, 3), floats(4, 2), num_groups=2)
    for target in (17, 18, 20, 21):
        assert_same(model, target)


def test_open_sizes():
    model = one_node(21, "GroupNormalization", *_CHANNELS, shape=(1, 4, "H", 6), num_groups=2)
    assert refused(converted, model, 17).message.endswith("the sizes of its input are not known")
    assert np.prod(_CHANNELS[0].shape) == 4
