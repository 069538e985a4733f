"""The rows of layers, gathered inside the graph, are those of the tensors."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.graph.run import Observer
from edge_scnet.quantizer.reads import Read, RowReader
from edge_scnet.quantizer.windows import Window, rows_read
from tests.helpers.float_graphs import FIRST_CONV, TWO_WEIGHTS, conv, graph_of

PADDED = Window(kernel=(3, 3), strides=(2, 2), dilations=(1, 1), pads=(1, 1, 1, 1))


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_from_inside_the_graph_are_those_of_the_tensors(batch: int) -> None:
    proto = graph_of([FIRST_CONV, conv("a", "w2", "b")], TWO_WEIGHTS, (batch, 4, 40, 40))
    model = ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto))
    source = str(model.graph.inputs[0].name)
    few, many = 20, 1000  # gathered, and read of the whole tensor
    reads = [
        Read(source=name, window=PADDED, inputs=36, limit=limit)
        for name in (source, "a")
        for limit in (few, many)
    ]
    reader = RowReader(model, [*reads, *reads])
    assert list(reader._gathered) == [reads[2]]
    images = np.random.default_rng(1).standard_normal((4, 4, 40, 40)).astype(np.float32)
    arrays = list(Observer(model, [source, "a"]).run([images]))
    found = list(reader.run([images]))
    assert len(found) == 4
    for rows_of, values in zip(found, arrays, strict=True):
        for read in reads:
            wanted = rows_read(values[read.source], PADDED, inputs=36, limit=read.limit)
            np.testing.assert_array_equal(rows_of(read), wanted)
