"""A module's block: where figures are sorted, and where a graph is cut."""

from __future__ import annotations

import pytest

from edge_scnet.graph.names import block_of, block_to_cut, parts_of


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
        ("relu/Relu/DQ", "relu"),
    ],
)
def test_blocks_of_figures_are_two_parts_of_the_name(node: str, block: str) -> None:
    assert block_of(node) == block


@pytest.mark.parametrize(
    ("node", "parts"),
    [
        ("layer1.0.scconv.k2.1", ("layer1", "0", "scconv", "k2", "1")),
        ("layer1.0/Concat/Q_2", ("layer1", "0")),
        ("layer1.0.relu/Relu#5/DQ", ("layer1", "0", "relu")),
        ("relu/Relu/Q", ("relu",)),
        ("/layer1/layer1.0/conv1/Conv", ("layer1", "0", "conv1")),
        ("/features/features.3/conv/conv.0/Conv", ("features", "3", "conv", "0")),
        ("/Conv", ("Conv",)),
    ],
)
def test_the_modules_around_a_node_are_told_from_the_outside_in(
    node: str, parts: tuple[str, ...]
) -> None:
    assert parts_of(node) == parts
