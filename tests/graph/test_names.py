"""A module's block: where figures are sorted, and where a graph is cut."""

from __future__ import annotations

import pytest

from edge_scnet.graph.names import block_of, block_to_cut


@pytest.mark.parametrize(
    ("node", "block"),
    [
        ("layer1.0.scconv.k2.1", "layer1.0"),
        ("conv1", "conv1"),
        ("/features/3/conv/Conv", "features.3"),
        ("fc", "fc"),
        ("classifier.fc", "classifier"),
    ],
)
def test_blocks_to_cut_are_named_after_numbered_modules(node: str, block: str) -> None:
    assert block_to_cut(node) == block


@pytest.mark.parametrize(
    ("node", "block"),
    [
        ("layer1.0.scconv.k2.1", "layer1.0"),
        ("layer1.0/Add#2", "layer1.0"),
        ("conv1", "conv1"),
        ("classifier.fc", "classifier.fc"),
        ("/features/3/conv/Conv", "features.3"),
        ("model/block_1/conv/Conv2D", "model.block_1"),
    ],
)
def test_blocks_of_figures_are_two_parts_of_the_name(node: str, block: str) -> None:
    assert block_of(node) == block
