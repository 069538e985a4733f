"""The samples that INT8 did worst on: both results and the truth; a failure loses nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from PIL import Image

from edge_scnet.core.events import Silent
from edge_scnet.core.outputs import OutputHead
from edge_scnet.core.spec import ModelSpec, TaskSpec
from edge_scnet.data.sample_set import SampleSet, in_memory
from edge_scnet.data.samples import open_samples
from edge_scnet.pipeline.judging import Judging, judging_with
from edge_scnet.pipeline.rows import stats_of
from edge_scnet.pipeline.worst import Source, engine_source, graph_source, worst_samples
from edge_scnet.profiler.outputs import Outputs
from edge_scnet.report.run_report import EngineReport, WorstSample
from tests.helpers.engines import engine_file, quiet
from tests.helpers.folders import SPEC, identity
from tests.helpers.images import folder
from tests.helpers.reports import report
from tests.tasks.cases import targets

SEGMENTATION = replace(SPEC, task=TaskSpec(kind="segmentation", arguments={}), classes=("r", "g"))
HEADS = (OutputHead(name="map", shape=(1, 3, 8, 8), ending="linear"),)


def shifted() -> onnx.ModelProto:
    """`identity`, its channels in another order."""
    model = identity()
    weight = np.eye(3, dtype=np.float32)[[1, 2, 0]].reshape(3, 3, 1, 1)
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(weight, "w"))
    return model


@pytest.fixture
def graphs(tmp_path: Path) -> tuple[Path, Path]:
    onnx.save(identity(), tmp_path / "fp32.onnx")
    onnx.save(shifted(), tmp_path / "int8.onnx")
    return tmp_path / "fp32.onnx", tmp_path / "int8.onnx"


def measured(
    files: Sequence[Path], judging: Judging, spec: ModelSpec
) -> tuple[list[EngineReport], list[Outputs]]:
    """The rows of both graphs, judged."""
    from edge_scnet.profiler.simulated import evaluate_graphs

    outputs = evaluate_graphs(files, judging.samples, spec, quiet, judging.evaluator)
    rows = [
        replace(row, accuracy=stats_of(own, outputs[0], judging.samples, judging.evaluator))
        for row, own in zip(report().engines, outputs, strict=True)
    ]
    return rows, outputs


class Warned(Silent):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def warn(self, message: str) -> None:
        self.messages.append(message)


def picture_of(url: str | None) -> Image.Image:
    kind, _, data = str(url).partition(";base64,")
    assert kind == "data:image/jpeg"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def photographs(root: Path) -> SampleSet:
    folder(root, [f"{i}.png" for i in range(8)])
    with Image.open(root / "0.png") as small:
        small.resize((1000, 500)).save(root / "0.png")
    return open_samples(root, model=SEGMENTATION, role="evaluation")


@pytest.mark.parametrize("way", [engine_source, graph_source])
def test_both_results_and_the_truth_are_drawn(
    tmp_path: Path, graphs: tuple[Path, Path], way: Callable[..., Source]
) -> None:
    samples = photographs(tmp_path / "eval")
    masks = [np.zeros((height, width), int) for width, height in samples.image_sizes]
    samples = replace(samples, targets=targets("mask", masks))
    judging = judging_with(SEGMENTATION, samples, HEADS)
    rows, _ = measured(graphs, judging, SEGMENTATION)
    sources = [
        engine_source(engine_file(file, name), samples, SEGMENTATION)
        if way is engine_source
        else graph_source(name, file, samples, SEGMENTATION)
        for file, name in zip(graphs, ("fp32", "int8"), strict=True)
    ]
    found = worst_samples(rows, sources, judging, SEGMENTATION, Silent())
    assert rows[1].accuracy is not None and rows[1].accuracy.task is not None
    assert tuple(sample.sample for sample in found) == rows[1].accuracy.task.worst[:6]
    for sample in found:
        assert [said.by for said in sample.said] == ["fp32", "int8", "truth"]
        assert sample.said[2].lines == ("r 100.0 %",) and sample.picture is None
        sizes = {picture_of(said.picture).size for said in sample.said}
        assert len(sizes) == 1 and max(*sizes.pop()) <= 320
    # what the engines say is what their graphs compute
    assert found[0].said[0].lines != found[0].said[1].lines


def test_arrays_are_drawn_as_the_networks_input(graphs: tuple[Path, Path]) -> None:
    batch = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    judging = judging_with(SEGMENTATION, in_memory(batch, "x"), HEADS)
    rows, _ = measured(graphs, judging, SEGMENTATION)
    sources = [graph_source("a", file, judging.samples, SEGMENTATION) for file in graphs]
    found = worst_samples(rows, sources, judging, SEGMENTATION, Silent())
    assert len(found) == 4 and found[0].sample.startswith("x[")
    # enlarged, so that captions are legible
    assert picture_of(found[0].said[0].picture).size == (192, 192)


def test_what_cannot_be_drawn_is_shown_in_words(tmp_path: Path, graphs: tuple[Path, Path]) -> None:
    spec = replace(SEGMENTATION, task=TaskSpec(kind="features", arguments={}))
    judging = judging_with(spec, photographs(tmp_path / "eval"), HEADS)
    rows, _ = measured(graphs, judging, spec)
    sources = [graph_source("a", file, judging.samples, spec) for file in graphs]
    found = worst_samples(rows, sources, judging, spec, Silent())
    assert len(found) == 6 and picture_of(found[0].picture).size[0] <= 320
    assert all(said.picture is None for said in found[0].said)
    assert found[0].said[0].lines[0] == "1 output"


def fails(error: BaseException) -> Source:
    def outputs_of(indices: Sequence[int]) -> Any:
        raise error

    return Source(name="a", outputs_of=outputs_of)


def test_a_failure_loses_no_report(tmp_path: Path, graphs: tuple[Path, Path]) -> None:
    samples = photographs(tmp_path / "eval")
    judging = judging_with(SEGMENTATION, samples, HEADS)
    rows, _ = measured(graphs, judging, SEGMENTATION)

    def shown(sources: Sequence[Source]) -> tuple[tuple[WorstSample, ...], list[str]]:
        events = Warned()
        return worst_samples(rows, sources, judging, SEGMENTATION, events), events.messages

    assert shown([fails(RuntimeError("gone\nmore"))] * 2) == (
        (),
        ["the worst samples cannot be shown: gone"],
    )
    found, messages = shown([fails(KeyboardInterrupt())] * 2)
    assert found == () and "all figures are there" in messages[0]
    for entry in samples.entries:
        (samples.root / entry).unlink()
    found, messages = shown([graph_source("a", file, samples, SEGMENTATION) for file in graphs])
    assert found == () and "cannot read image" in messages[0]


def test_classifiers_have_flips_instead(tmp_path: Path) -> None:
    assert worst_samples(report().engines, [], None, SPEC, Silent()) == ()
