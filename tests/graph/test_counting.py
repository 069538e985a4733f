"""Outputs whose size depends on the data, and what is in front of them."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from edge_scnet.graph.counting import are_counted, counted_outputs, fronts_of, in_front
from edge_scnet.graph.heads import heads_of

TEXT = """
    <ir_version: 9, opset_import: ["" : 20]>
    detector (float[1, 3, 8, 4] x) =>
        (float[1, 8, 4] boxes, int64[n, 3] kept, float[m] best, float[1, 8] largest)
    <int64[1] many = {5}, int64[1] zero = {0}, int64[1] one = {1}, int64[1] axis = {1}>
    {
        boxes = ReduceMean <keepdims = 0> (x, axis)
        turned = Transpose <perm = [0, 2, 1]> (boxes)
        raw = Slice (turned, zero, one, axis)
        scale = Constant <value = float[1] {0.1}> ()
        point = Constant <value = uint8[1] {0}> ()
        codes = QuantizeLinear (raw, scale, point)
        scores = DequantizeLinear (codes, scale, point)
        kept = NonMaxSuppression (boxes, scores, many)
        best = GatherND (scores, kept)
        largest = ReduceMax <keepdims = 0> (scores, axis)
    }
"""


def graph() -> ir.Model:
    proto = onnx.parser.parse_model(TEXT)
    return ir.serde.deserialize_model(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def test_what_descends_from_a_node_that_counts_and_has_no_size_counts() -> None:
    model = graph()
    assert are_counted(model.graph) == (False, True, True, False)
    assert {node.op_type for node in counted_outputs(model.graph).values()} == {"NonMaxSuppression"}
    boxes, kept, *_ = heads_of(model)
    assert boxes.counted is None and boxes.by_sample
    assert kept.counted is not None and not kept.by_sample
    assert "['x'], ['boxes', 'largest', 'raw'])" in kept.counted.cut


def test_the_part_in_front_ends_in_the_tensors_in_front_of_the_codes() -> None:
    model = graph()
    assert fronts_of(model.graph) == ("boxes", "raw")
    part = in_front(model, fronts_of(model.graph))
    assert part is not None
    assert [value.name for value in part.graph.outputs] == ["boxes", "largest", "raw"]
    assert "NonMaxSuppression" not in {node.op_type for node in part.graph}
    onnx.checker.check_model(ir.serde.serialize_model(part), full_check=True)
    assert in_front(part, ("boxes",)) is None and in_front(model, ("nowhere",)) is None
