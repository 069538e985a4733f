"""A walk holds at each place what goes on behind it, and computes what the whole graph does."""

from __future__ import annotations

import numpy as np

from edge_scnet.graph.run import run_onnx
from edge_scnet.graph.walk import Walk
from tests.helpers.float_graphs import (
    FOUR_IMAGES,
    RELU,
    biased_conv,
    ir_graph,
    named_node,
    random_weights,
)

NODES = [
    biased_conv("input", "w1", "a"),
    RELU,
    biased_conv("r", "w2", "b"),
    named_node("Add", ["b", "r"], "s"),
    biased_conv("s", "w1", "y"),
]


def test_a_walk_holds_what_is_read_behind_the_place() -> None:
    model = ir_graph(NODES, random_weights("w1", "w2"))
    feeds = [{"input": image[None]} for image in FOUR_IMAGES]
    walk = Walk(model, feeds)
    held = []
    for name in ("a", "r", "b", "s", "y"):
        walk.advance(walk.index_of(name))
        held.append(set(walk.live[0]))
    assert held == [{"a"}, {"r"}, {"r", "b"}, {"s"}, {"y"}]
    whole = run_onnx(model, [image[None] for image in FOUR_IMAGES])
    for live, outputs in zip(walk.live, whole, strict=True):
        np.testing.assert_allclose(live["y"], outputs[0], rtol=1e-4, atol=1e-4)


def test_what_is_changed_at_a_place_goes_on() -> None:
    model = ir_graph(NODES, random_weights("w1", "w2"))
    walk = Walk(model, [{"input": FOUR_IMAGES[:1]}])
    walk.advance(walk.index_of("s"))
    walk.live[0]["s"] = np.zeros_like(walk.live[0]["s"])
    walk.advance(walk.index_of("y"))
    bias = next(v for v in model.graph.initializers.values() if v.name == "w1_b").const_value
    assert bias is not None
    np.testing.assert_allclose(
        walk.live[0]["y"].mean(axis=(0, 2, 3)), bias.numpy(), rtol=1e-5, atol=1e-6
    )
