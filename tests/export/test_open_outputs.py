"""Outputs whose size depends on the data."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_scnet.config.model_options import ModelOptions
from edge_scnet.errors import ArtifactError, ParityError
from edge_scnet.export.file_parity import check_onnx_parity
from edge_scnet.export.from_onnx import Imported, import_onnx, probe_onnx
from edge_scnet.graph.counting import counted_outputs
from edge_scnet.graph.model import add_initializer
from edge_scnet.models import zoo

_HEAD = "<ir_version: 8, opset_import: ['': 17]>"
CHOSEN = """
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


def written(folder: Path, text: str) -> Path:
    path = folder / "detector.onnx"
    onnx.save(onnx.parser.parse_model(_HEAD.replace("'", '"') + text), path)
    return path


def imported(folder: Path, text: str, *, batch: int = 1) -> tuple[Path, Imported]:
    path = written(folder, text)
    source = probe_onnx(zoo.resolve(str(path), ModelOptions()), ModelOptions())
    return path, import_onnx(path, source.options, batch=batch, opset=17)


def test_boxes_that_are_chosen_inside_are_built_and_told_of(tmp_path: Path) -> None:
    path, made = imported(tmp_path, CHOSEN)
    assert list(counted_outputs(made.model.graph)) == ["kept"]
    assert any("the size of 'kept' depends on the data" in note for note in made.notes)
    images = np.random.default_rng(1).random((8, 4, 64, 4)).astype(np.float32)
    assert check_onnx_parity(path, made, images).worst == 0


def test_near_boxes_in_another_order_are_no_fault_and_their_scores_are_compared(
    tmp_path: Path,
) -> None:
    path, made = imported(tmp_path, CHOSEN)
    images = np.random.default_rng(0).random((2, 4, 64, 4)).astype(np.float32)
    chosen = next(node for node in made.model.graph if node.op_type == "NonMaxSuppression")
    one = add_initializer(made.model.graph, "fewer", np.array([1], np.int64))
    chosen.replace_input_with(2, one)
    assert check_onnx_parity(path, made, images).worst == 0
    scores = next(node for node in made.model.graph if node.op_type == "Slice")
    last = add_initializer(made.model.graph, "last", np.array([3], np.int64))
    end = add_initializer(made.model.graph, "end", np.array([4], np.int64))
    scores.replace_input_with(1, last)
    scores.replace_input_with(2, end)
    with pytest.raises(ParityError, match="folding changed"):
        check_onnx_parity(path, made, images)


def test_of_several_images_at_once_they_are_refused_with_the_batch_that_can_be_built(
    tmp_path: Path,
) -> None:
    with pytest.raises(ArtifactError) as caught:
        imported(tmp_path, CHOSEN, batch=4)
    assert "output 'kept' depends on the data (NonMaxSuppression at" in caught.value.message
    assert caught.value.hint is not None and caught.value.hint.startswith("--batch 1; or")


def test_a_layer_behind_what_counts_is_refused_with_the_part_in_front_of_it(
    tmp_path: Path,
) -> None:
    text = """
        second_stage (float[1, 4, 64, 4] image) => (float[n, 2] y)
        <float[3, 2] w = {1, 2, 3, 4, 5, 6}>
        {
            relu = Relu (image)
            places = NonZero (relu)
            rows = Cast <to = 1> (places)
            zero, one, two, three = Split <axis = 0> (rows)
            joined = Concat <axis = 0> (zero, one, two)
            turned = Transpose <perm = [1, 0]> (joined)
            y = MatMul (turned, w)
        }
    """
    with pytest.raises(ArtifactError, match=r"MatMul at .* has weights") as caught:
        imported(tmp_path, text)
    hint = caught.value.hint
    assert hint is not None
    command = re.search(r"extract_model\((.*)\)", hint)
    assert command is not None
    source, _, inputs, outputs = ast.literal_eval(f"({command[1]})")
    onnx.utils.extract_model(source, str(tmp_path / "part.onnx"), inputs, outputs)
    cut = onnx.load(tmp_path / "part.onnx")
    assert [value.name for value in cut.graph.output] == ["relu"]


def test_indices_of_constants_are_folded_and_the_best_of_a_fixed_number_have_a_size(
    tmp_path: Path,
) -> None:
    _, made = imported(
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
    assert not counted_outputs(made.model.graph) and not made.notes
