"""The nodes of a file as a protobuf."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any


def all_nodes(nodes: Any) -> Iterator[Any]:
    """Yields nodes and those of the graphs inside them, of a protobuf."""
    for node in nodes:
        yield node
        for item in node.attribute:
            for inner in (*([item.g] if item.HasField("g") else []), *item.graphs):
                yield from all_nodes(inner.node)


def free_among(taken: Container[str], name: str) -> str:
    """Returns a name that is not taken: the wanted one, numbered."""
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
