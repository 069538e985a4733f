"""Blocks cut out of a Q/DQ graph keep the Q/DQ at their edges."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from edge_scnet.graph.cut import cut_out, members_of
from edge_scnet.graph.model import expose
from edge_scnet.graph.run import run_onnx
from tests.helpers.graphs import Graph


def test_a_block_with_its_pairs_computes_what_it_does_in_the_graph() -> None:
    graph = Graph("uint8")
    stem = graph.relu(graph.conv(graph.q("input", "int8"), "layer1.0"), "layer1.1")
    last = graph.relu(graph.conv(graph.q(stem), "layer2.0"), "layer2.1")
    model = ir.from_proto(onnx.shape_inference.infer_shapes(graph.model(last)))
    blocks = members_of(model)
    assert "QuantizeLinear" not in {node.op_type for nodes in blocks.values() for node in nodes}
    name = next(name for name, nodes in blocks.items() if nodes[0].name == "layer2.0")
    part, inputs, outputs = cut_out(model, blocks[name])
    assert inputs == [stem]  # the float tensor in front of the Q
    entry = model.graph.inputs[0]
    image = np.random.default_rng(0).standard_normal([int(d) for d in entry.shape or ()])
    whole = run_onnx(
        expose(model, [*inputs, *outputs]), [image.astype(np.float32)], [*inputs, *outputs]
    )
    np.testing.assert_array_equal(run_onnx(part, [whole[0][0]], outputs)[0][0], whole[0][1])
