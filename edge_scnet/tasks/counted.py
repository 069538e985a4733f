"""Outputs whose size depends on the data: who judges them, and what is said where nobody does.

Two right engines give other numbers of boxes in another order, so that no number is compared with
one of the reference's. A decoder, or a user's own evaluator, says what they mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from edge_scnet.core.ragged import is_ragged
from edge_scnet.stats.figures import SAME_SIZE, Metric
from edge_scnet.tasks.base import Context
from edge_scnet.tasks.metrics import agreement

_WAY_OUT = "--task detection --decode package.module:function judges it"


def is_counted(context: Context, number: int, *arrays: np.ndarray) -> bool:
    """Whether an output's size depends on the data, as the graph or the engines say."""
    head = context.head(number)
    return (head is not None and head.counted is not None) or any(map(is_ragged, arrays))


def unjudged(context: Context, number: int) -> str:
    """Why an engine is not proven that gives an output of which nobody knows whether it is right,
    and what helps."""
    head = context.head(number)
    counted = None if head is None else head.counted
    why = "" if counted is None else f" ({counted.origin})"
    part = "" if counted is None else f", or build the part in front of it alone: {counted.cut}"
    return (
        f"output {context.output_name(number)!r} is judged by nothing: its size depends on the"
        f" data{why}; {_WAY_OUT}{part}"
    )


def same_size(name: str, equal: list[bool]) -> Metric:
    """The share of the samples in which an output is as large as the reference's, in %: told, not
    judged.

    Args:
        name: of the output.
    """
    return agreement(f"{SAME_SIZE}{name}", np.array(equal))


class WatchedOutputs(dict[str, Any]):
    """The outputs of an image, by name, which remember who was looked at."""

    def __init__(self, outputs: Iterable[tuple[str, Any]]) -> None:
        """Nothing was looked at yet."""
        super().__init__(outputs)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        # so that dict(outputs) and **outputs take the values one by one
        return iter(list(super().keys()))

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def pop(self, name: str, *default: Any) -> Any:
        self.read.add(name)
        return super().pop(name, *default)

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]
