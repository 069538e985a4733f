"""Features: outputs that are empty, and infinities that an engine does not share."""

from __future__ import annotations

import numpy as np

from edge_scnet.core.outputs import OutputHead
from edge_scnet.tasks.registry import evaluator_for
from tests.tasks.cases import compared, context

_VALUES = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)


def test_an_empty_output_is_left_out() -> None:
    heads = [OutputHead(name=name, shape=(1, n)) for name, n in (("a", 6), ("b", 0))]
    made = evaluator_for(context("features", 30, heads=heads))
    assert made is not None
    both = [_VALUES, np.zeros((30, 0), np.float32)]
    assert compared(made, both, both).metrics[0].value == 200.0


def test_a_number_where_fp32_is_infinite_is_noise() -> None:
    made = evaluator_for(context("features", 30, heads=[OutputHead(name="a", shape=(1, 6))]))
    assert made is not None
    reference = _VALUES.copy()
    reference[:, 2] = -np.inf
    assert compared(made, reference, reference).metrics[0].value == 200.0
    for other in (1000.0, 0.0):
        own = reference.copy()
        own[:, 2] = other
        assert compared(made, own, reference).metrics[0].value < 0.0
