"""What is known of a network's output before it is run: its shape, and what it ends in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# softmax, log_softmax and l2 work over `OutputHead.axis`; linear: a layer's own products
Ending = Literal["softmax", "log_softmax", "sigmoid", "l2", "linear", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Why an output's size depends on the data."""

    # the node that counts, in words
    origin: str
    # the call of onnx that cuts out the part in front of it
    cut: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputHead:
    """One output of a network."""

    name: str
    # with the batch axis; None: open
    shape: tuple[int | None, ...]
    # NumPy's name of the type
    dtype: str = "float32"
    ending: Ending = "other"
    # of the ending, counted from the batch axis; None: it has none
    axis: int | None = None
    # the first axis is the batch: some files have none
    by_sample: bool = True
    # behind a join of parts along an axis, which boxes and scores are: (axis, the parts' sizes)
    joined: tuple[int, tuple[int, ...]] | None = None
    # its size depends on the data; None: it has one size
    counted: Counted | None = None
