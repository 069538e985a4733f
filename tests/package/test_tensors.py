"""The inputs and outputs of engines, as their own files tell them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edge_scnet.core.spec import InputForm
from edge_scnet.errors import ArtifactError
from edge_scnet.package.tensors import Tensor, tensors_of
from tests.helpers.served import HOSTILE, PIXELS, ir, of_openvino, of_tensorrt


@pytest.mark.parametrize("name", ["input", "a,b", "quote \" and <tag> & '", "images:0", "größe"])
def test_an_ir_tells_names_types_and_shapes(tmp_path: Path, name: str) -> None:
    found = tensors_of(of_openvino(tmp_path, xml=ir(name=name, output=name)))
    assert found.inputs == (Tensor(name=name, dtype="float32", shape=(1, 3, 32, 48)),)
    assert found.outputs == (Tensor(name=name, dtype="float32", shape=(1, len(HOSTILE))),)


def test_openvino_names_them_so_too(tmp_path: Path) -> None:
    """An IR that OpenVINO wrote, with bytes, several names and a size that is not known."""
    import numpy as np
    import openvino as ov
    from openvino import opset13 as ops

    pixels = ops.parameter([1, 4, 6, 3], np.uint8, name="pixels")
    pixels.output(0).get_tensor().set_names({"in,put"})
    rows = ops.parameter([-1, 2], np.float16, name="rows")
    rows.output(0).get_tensor().set_names({"rows"})
    mean = ops.reduce_mean(ops.convert(pixels, "f32"), np.int64([1, 2]), keep_dims=False)
    mean.output(0).get_tensor().set_names({"mean"})
    doubled = ops.add(rows, rows)
    doubled.output(0).get_tensor().set_names({"doubled"})
    written = tmp_path / "other.xml"
    ov.save_model(ov.Model([mean, doubled], [pixels, rows]), written, compress_to_fp16=False)
    found = tensors_of(of_openvino(tmp_path, xml=written.read_text(), input=PIXELS))
    assert found.inputs == (
        Tensor(name="in,put", dtype="uint8", shape=(1, 4, 6, 3)),
        Tensor(name="rows", dtype="float16", shape=(-1, 2)),
    )
    assert found.outputs == (
        Tensor(name="mean", dtype="float32", shape=(1, 3)),
        Tensor(name="doubled", dtype="float16", shape=(-1, 2)),
    )


def test_a_plan_s_are_those_of_the_file_that_it_was_made_of(tmp_path: Path) -> None:
    found = tensors_of(of_tensorrt(tmp_path))
    assert found.inputs == (Tensor(name="input", dtype="float32", shape=(1, 3, 32, 48)),)
    assert found.outputs == (Tensor(name="logits", dtype="float32", shape=(1, len(HOSTILE))),)


def test_a_plan_without_that_file_is_refused(tmp_path: Path) -> None:
    facts = of_tensorrt(tmp_path)
    (tmp_path / "engine.onnx").unlink()
    with pytest.raises(ArtifactError, match=r"engine\.onnx is missing"):
        tensors_of(facts)


def test_another_file_in_its_place_is_refused(tmp_path: Path) -> None:
    facts = of_tensorrt(tmp_path)
    (tmp_path / "engine.onnx").write_bytes(b"another")
    with pytest.raises(ArtifactError, match=r"engine\.onnx is not the file that was built"):
        tensors_of(facts)


@pytest.mark.parametrize("xml", ["", "<net>", ir().replace("FP32", "FP31"), "\0"])
def test_an_ir_that_cannot_be_read_is_one_error_with_the_command_to_build_it(
    tmp_path: Path, xml: str
) -> None:
    with pytest.raises(ArtifactError, match=r"model\.xml cannot be read") as raised:
        tensors_of(of_openvino(tmp_path, xml=xml))
    assert raised.value.hint == "edge-scnet build net.onnx --target cpu-avx2"


def test_an_ir_without_a_graph_is_none(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no inputs and outputs"):
        tensors_of(of_openvino(tmp_path, xml="<net/>"))


def test_a_manifest_of_another_place_is_not_needed_for_an_ir(tmp_path: Path) -> None:
    facts = of_openvino(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({}))
    assert tensors_of(replace(facts, report=None)).inputs


@pytest.mark.parametrize("pixels", [True, False])
def test_bytes_that_the_manifest_does_not_tell_of_are_refused(tmp_path: Path, pixels: bool) -> None:
    form = InputForm() if pixels else PIXELS
    with pytest.raises(ArtifactError, match=r"model\.xml takes \w+, and its manifest says \w+"):
        tensors_of(of_openvino(tmp_path, xml=ir(pixels=pixels), input=form))
