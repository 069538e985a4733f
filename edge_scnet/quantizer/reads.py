"""The rows that layers read, image by image, gathered inside the runtime.

A layer reads a few positions of each image; of large tensors the graph hands out the values of
those alone, and need not keep the rest until the image is done.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from edge_scnet.core.optional import require
from edge_scnet.graph.model import add_initializer, batch_of, names_in
from edge_scnet.graph.run import Observer
from edge_scnet.quantizer.windows import Window, arranged, places_read, rows_read

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a layer reads; layers of which it is the same read the same rows."""

    # The tensor.
    source: str
    window: Window
    # Inputs of one output channel.
    inputs: int
    # Of the positions in an image.
    limit: int


class RowReader:
    """Runs a graph and gives what its layers read."""

    def __init__(self, model: ir.Model, reads: Iterable[Read]) -> None:
        """Loads a copy of the graph; `model` is not kept."""
        reads = tuple(dict.fromkeys(reads))
        observed = model.clone()
        self._gathered = _gather(observed, reads)
        named = [self._gathered[r][0] if r in self._gathered else r.source for r in reads]
        # one image at a time: beside the moments there is no memory for several
        self._observer = Observer(observed, named)

    def run(self, images: Iterable[np.ndarray]) -> Iterator[Callable[[Read], np.ndarray]]:
        """Yields, image by image, what gives the rows of a read, groups x positions x inputs.

        Args:
            images: as for `Observer.run`.
        """
        for values in self._observer.run(images):
            yield partial(self._rows, values)

    def _rows(self, values: dict[str, np.ndarray], read: Read) -> np.ndarray:
        if read in self._gathered:
            name, inside = self._gathered[read]
            return arranged(values[name], inside, read.window)
        return rows_read(values[read.source], read.window, inputs=read.inputs, limit=read.limit)


def _gather(model: ir.Model, reads: Sequence[Read]) -> dict[Read, tuple[str, np.ndarray]]:
    """Adds, in place, what gathers the values read of each large tensor N x C x ....

    Returns:
        The name of the output added, N x C x values, and which of them lie inside the tensor.
    """
    ir_module = require("onnx_ir", extra="quantize")
    graph, added = model.graph, dict[Read, tuple[str, np.ndarray]]()
    tensors = {str(value.name): value for node in graph for value in node.outputs}
    taken, batch = names_in(graph), batch_of(model)
    # backwards, as in `summary.py`: a tensor's memory is free as soon as it is read
    for count, read in enumerate(reversed(reads)):
        value, axes = tensors.get(read.source), len(read.window.kernel)
        if value is None or value.shape is None or not axes or read.window.transposed:
            continue
        shape = [size for size in value.shape if isinstance(size, int)]
        if len(shape) != len(value.shape) or len(shape) != axes + 2 or shape[0] != batch:
            continue
        places, inside = places_read(read.window, tuple(shape[2:]), read.limit)
        if 2 * places.size > math.prod(shape[2:]):
            continue  # the tensor itself is hardly larger
        rows = add_initializer(
            graph, f"__rows_{count}", np.array([*shape[:2], -1], np.int64), taken=taken
        )
        where = add_initializer(graph, f"__places_{count}", places, taken=taken)
        flat = ir_module.node("Reshape", [value, rows])
        gather = ir_module.node("Gather", [flat.outputs[0], where], attributes={"axis": 2})
        for node, kind in ((flat, "flat"), (gather, "read")):
            node.outputs[0].name = f"{read.source}__{kind}_{count}"
            graph.append(node)
        added[read] = (str(gather.outputs[0].name), inside)
    return added
