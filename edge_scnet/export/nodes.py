"""The nodes of a file as a protobuf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def all_nodes(nodes: Any) -> Iterator[Any]:
    """Yields nodes and those of the graphs inside them, of a protobuf."""
    for node in nodes:
        yield node
        for item in node.attribute:
            for inner in (*([item.g] if item.HasField("g") else []), *item.graphs):
                yield from all_nodes(inner.node)
