"""The whole recipe, from ranges to a Q/DQ graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edge_scnet.data.batches import load
from edge_scnet.data.samples import open_samples
from edge_scnet.errors import ArtifactError
from edge_scnet.graph import lint
from edge_scnet.graph.run import run_onnx
from edge_scnet.models import zoo
from edge_scnet.quantizer import ranges_file, recipe
from edge_scnet.stats.accuracy import sqnr_db
from tests.helpers.float_graphs import FAST, NO_IMAGES, TENSORRT
from tests.helpers.tool import Built


def test_tensorrt_scheme_writes_a_graph_that_is_close_to_float(built: Built) -> None:
    spec = zoo.MODELS[zoo.DEFAULT_MODEL]
    samples = open_samples(built.evaluation, model=spec, role="evaluation")
    batches = np.split(load(samples, spec, range(32)), 32)
    model = ir.load(built.folder / "model.onnx")
    result = recipe.assemble(
        recipe.prepare(
            model,
            ranges_file.load_ranges(built.folder / "ranges.npz"),
            TENSORRT,
            weight_bits=8,
            images=np.concatenate(batches),
        )
    )
    assert lint.lint(result.model, "tensorrt", keep_float=["fc"]) == ()
    onnx.checker.check_model(ir.serde.serialize_model(result.model), full_check=True)
    reference = np.concatenate([run[0] for run in run_onnx(model, batches)])
    found = sqnr_db(reference, np.concatenate([run[0] for run in run_onnx(result.model, batches)]))
    assert found is not None and found > 27


def test_quantizing_a_quantized_graph_is_refused(built: Built) -> None:
    with pytest.raises(ArtifactError, match="holds Q/DQ already"):
        recipe.assemble(
            recipe.prepare(
                ir.load(built.folder / "model.qdq.onnx"),
                ranges_file.load_ranges(built.folder / "ranges.npz"),
                FAST,
                weight_bits=8,
                images=NO_IMAGES,
            )
        )
