"""A layer that OpenVINO runs in float although it should be INT8: named, or an error on demand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from edge_scnet.core.resources import bundled
from edge_scnet.errors import ParityError
from edge_scnet.pipeline import build
from tests.helpers.foreign import written
from tests.helpers.tool import Built
from tests.pipeline.stages.test_adopt import Warnings

_LAYER = "layer1.0.conv3"


def _with_shifted_weights(path: Path) -> Path:
    """Moves the codes of one layer's weights and their zero points alike.

    The graph computes the same, but OpenVINO takes no weights with zero points into its kernels.
    """
    model = onnx.load(path)
    layer = next(node for node in model.graph.node if node.name == _LAYER)
    dequantize = next(node for node in model.graph.node if node.output[0] == layer.input[1])
    for tensor in model.graph.initializer:
        if tensor.name in (dequantize.input[0], dequantize.input[2]):
            moved = numpy_helper.to_array(tensor) + np.int8(3)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    onnx.save(model, path)
    return path


@pytest.mark.slow
def test_a_layer_in_float_is_named_and_an_error_only_where_the_target_says_so(
    copied: Built, tmp_path: Path
) -> None:
    source = _with_shifted_weights(
        written(copied, tmp_path / "moved.onnx", placement="openvino", bits=7)
    )
    warnings, out = Warnings(), copied.folder.parents[1]
    result = build.build(calib=copied.calib, out=out, qdq=source, until="compile", events=warnings)
    words = f"1 layer should execute in INT8 and does not: {_LAYER} (f32); require_int8 = true"
    assert any(message.startswith(words) for message in warnings.messages)
    facts = result.manifest.artifacts["model.xml"].facts
    assert facts.in_float == {_LAYER: "f32"} and facts.int8_convolutions == 45
    assert facts.fidelity.engine_db > facts.fidelity.simulation_db - 1

    strict = tmp_path / "strict.toml"
    text = (bundled("targets") / "cpu.toml").read_text()
    assert "\n# require_int8 = false\n" in text
    strict.write_text(text.replace("\n# require_int8 = false\n", "\nrequire_int8 = true\n"))
    copied.folder.rename(copied.folder.with_name("strict"))  # the same export and statistics
    with pytest.raises(ParityError, match=rf"1 of 46 convolutions .*: {_LAYER} \(f32\)") as error:
        build.build(
            target=str(strict),
            calib=copied.calib,
            out=out,
            qdq=source,
            until="compile",
            events=Warnings(),
        )
    assert "require_int8" in str(error.value.hint)
