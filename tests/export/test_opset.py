"""Graphs in the older opset that a board reads."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edge_scnet.errors import ArtifactError
from tests.helpers.tensorrt import outputs
from tests.helpers.tool import Built


def test_a_mean_becomes_a_pool_in_opset_17(built: Built, eval_batches: list[np.ndarray]) -> None:
    from edge_scnet.export.opset import lower

    model = ir.load(built.folder / "model.onnx")
    before = outputs(model, eval_batches[:4])
    lowered = lower(model, 17)
    assert lowered.opset_imports[""] == 17
    np.testing.assert_allclose(outputs(lowered, eval_batches[:4]), before, rtol=1e-5, atol=1e-5)
    with pytest.raises(ArtifactError, match="cannot be written in opset 12"):
        lower(lowered, 12)
