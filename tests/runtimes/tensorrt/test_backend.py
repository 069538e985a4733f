"""A target of TensorRT needs its board."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_scnet.config.target import load_target
from edge_scnet.errors import TargetError
from edge_scnet.runtimes.tensorrt import backend
from tests.helpers.tensorrt import JETSON


def test_a_target_of_tensorrt_needs_its_board() -> None:
    for changes, words in (
        ({"board": None}, r"\[board\] is missing"),
        ({"isa": "avx2"}, 'isa is "avx2"'),
        ({"device": "CPU"}, "device 'CPU'"),
        ({"quant": load_target("cpu").quant}, 'needs "tensorrt"'),
    ):
        with pytest.raises(TargetError, match=words):
            backend.TENSORRT.check_target(replace(JETSON, **changes))
