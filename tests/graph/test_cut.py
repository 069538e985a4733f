"""Blocks of a graph are named after modules."""

from __future__ import annotations

import pytest

from edge_scnet.graph.names import block_to_cut


@pytest.mark.parametrize(
    ("node", "block"),
    [
        ("layer1.0.scconv.k2.1", "layer1.0"),
        ("conv1", "conv1"),
        ("/features/3/conv/Conv", "features.3"),
        ("fc", "fc"),
    ],
)
def test_blocks_are_named_after_modules(node: str, block: str) -> None:
    assert block_to_cut(node) == block
