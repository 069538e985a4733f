"""The graph with Q/DQ pairs, as written."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from edge_scnet.data.batches import load
from edge_scnet.data.samples import open_samples
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import FAST, placed, write_plain
from tests.helpers.tool import Built


def test_written_graph_is_valid_and_close_to_float(built: Built) -> None:
    model, fast = placed(built, FAST)
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.evaluation, model=spec, role="evaluation")
    images = load(samples, spec, range(32))
    batches = np.split(images, 32)
    reference = np.concatenate([run[0] for run in run_onnx(model, batches)])
    found = {}
    for bits in (7, 8):
        written = write_plain(model, fast, weight_bits=bits)
        onnx.checker.check_model(ir.serde.serialize_model(written), full_check=True)
        found[bits] = sqnr_db(
            reference, np.concatenate([run[0] for run in run_onnx(written, batches)])
        )
    assert found[7] is not None and found[8] is not None
    assert found[7] > 25 and found[8] > found[7]


def test_written_weights_are_int8_and_biases_stay_float(built: Built) -> None:
    written = ir.load(built.folder / "model.qdq.onnx")
    for node in written.graph:
        if node.op_type == "Conv":
            weights, bias = node.inputs[1], node.inputs[2]
            assert (
                weights is not None
                and weights.producer() is not None
                and weights.producer().op_type == "DequantizeLinear"
            )
            assert weights.producer().inputs[0].dtype == ir.DataType.INT8
            assert bias is not None and bias.is_initializer() and bias.dtype == ir.DataType.FLOAT
    assert (built.folder / "model.qdq.onnx").stat().st_size < (
        built.folder / "model.onnx"
    ).stat().st_size
