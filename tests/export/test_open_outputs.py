"""Outputs whose size depends on the data."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError
from edge_scnet.export.from_onnx import probe_onnx
from edge_scnet.models import zoo

_HEAD = "<ir_version: 8, opset_import: ['': 17]>"


def probe(folder: Path, text: str) -> None:
    path = folder / "detector.onnx"
    onnx.save(onnx.parser.parse_model(_HEAD.replace("'", '"') + text), path)
    probe_onnx(zoo.resolve(str(path), ModelOptions()), ModelOptions())


def test_boxes_that_are_chosen_inside_are_refused_with_the_part_in_front_of_them(tmp_path: Path):
    text = """
        detector (float[1, 4, 64, 4] image) => (float[1, 64, 4] boxes, int64[n, 3] kept)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] axis = {1}, int64[1] many = {10}>
        {
            boxes = ReduceMean <axes = [1], keepdims = 0> (image)
            rows = Transpose <perm = [0, 2, 1]> (boxes)
            scores = Slice (rows, zero, one, axis)
            chosen = NonMaxSuppression (boxes, scores, many)
            kept = Identity (chosen)
        }
    """
    with pytest.raises(ArtifactError) as caught:
        probe(tmp_path, text)
    assert "output 'kept' depends on the data: NonMaxSuppression at" in caught.value.message
    assert caught.value.hint is not None
    assert "['image'], ['boxes', 'scores'])" in caught.value.hint


def test_indices_of_constants_are_folded_and_the_best_of_a_fixed_number_have_a_size(tmp_path: Path):
    probe(
        tmp_path,
        """
        ranked (float[1, 3, 8, 8] image) => (float[1, 1, 2] y, float[1, 3, 8, 8] best)
        <int64[1, 1, 2] mask = {1, 1}, int64[1] k = {8}>
        {
            places = NonZero (mask)
            one = ReduceMax <keepdims = 0> (places)
            float = Cast <to = 1> (one)
            both = Cast <to = 1> (mask)
            y = Mul (both, float)
            best, order = TopK (image, k)
        }
        """,
    )
