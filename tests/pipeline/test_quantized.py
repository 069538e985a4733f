"""`edge_scnet.quantize`: from a module or a file, and samples in memory, to a proven engine."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import edge_scnet
from edge_scnet.core.facts import FloatLayer
from edge_scnet.core.manifest import Manifest
from edge_scnet.models.zoo import FASHION_MNIST
from edge_scnet.pipeline.quantized import Quantized

COUNT = 104


@pytest.fixture(autouse=True)
def few_samples() -> Iterator[None]:
    """Few samples are warned about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="104 calibration images")
        yield


class Policy(nn.Module):
    """A picture and a state go in, a dict comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Conv2d(8, 8, 3, stride=2)
        self.head = nn.Linear(8, 5)

    def forward(self, image: Tensor, state: Tensor) -> dict[str, Any]:
        features = torch.relu(self.body(torch.relu(self.stem(image)))).mean((2, 3)) + state
        return {"action": self.head(features), "hidden": features}


def policy() -> nn.Module:
    torch.manual_seed(0)
    return Policy()


RNG = np.random.default_rng(0)
IMAGES = RNG.standard_normal((COUNT, 3, 12, 12)).astype(np.float32)
STATES = RNG.standard_normal((COUNT, 8)).astype(np.float32)


@pytest.mark.slow
def test_a_module_and_dicts_of_arrays(tmp_path: Path):
    module = policy()
    samples = [{"state": s, "image": i} for i, s in zip(IMAGES, STATES, strict=True)]
    made = edge_scnet.quantize(module, samples, out=tmp_path)
    assert module.training
    assert made.folder == tmp_path / "Policy" / "cpu"
    for path in (made.engine, made.qdq, made.float_onnx):
        assert path.is_file() and path.parent == made.folder
    assert made.sqnr_db is not None and made.sqnr_db > 25
    assert set(made.int8_layers) == {"stem", "body"}
    assert made.int8_share is not None and 0.9 < made.int8_share <= 1
    assert made.executed_in_float == {} and "2 layers in INT8 (" in made.summary
    graph = onnx.load(str(made.qdq)).graph
    assert [value.name for value in graph.output] == ["action", "hidden"]
    with pytest.raises(FrozenInstanceError):
        made.sqnr_db = 1.0

    # the same samples in batches are the same samples: all but the export is reused
    loader = DataLoader(TensorDataset(torch.from_numpy(IMAGES), torch.from_numpy(STATES)), 26)
    told = Told()
    again = edge_scnet.quantize(policy(), loader, out=tmp_path, events=told)
    assert again.manifest.artifacts.keys() == made.manifest.artifacts.keys()
    assert told.reused == [False, True, True, True]


class Told:
    """Which stages said that they reused what was there."""

    def __init__(self) -> None:
        self.reused: list[bool] = []

    def stage(self, name: str, detail: str) -> None: ...

    def progress(self, what: str, share: float, count: int = 0, unit: str = "") -> None: ...

    def done(self, result: str, *, reused: bool) -> None:
        self.reused.append(reused)

    def warn(self, message: str) -> None: ...


@pytest.mark.slow
def test_a_file_and_one_array_then_judged_on_samples_with_labels(tmp_path: Path):
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    made = edge_scnet.quantize(module, IMAGES, out=tmp_path)
    of_file = edge_scnet.quantize(made.float_onnx, IMAGES, out=tmp_path)
    assert of_file.folder == tmp_path / "model" / "cpu"
    assert of_file.sqnr_db == pytest.approx(made.sqnr_db, abs=0.5)
    others = torch.randn(24, 3, 12, 12)
    labels = module(others).argmax(1)
    result = edge_scnet.build(
        module,
        calib=IMAGES,
        evaluation=DataLoader(TensorDataset(others, labels), 8),
        out=tmp_path,
        seconds=0.1,
    )
    report = result.report
    assert report is not None and report.evaluation is not None
    assert (report.evaluation.name, report.evaluation.images) == ("evaluation samples", 24)
    accuracy = report.engines[0].accuracy
    assert accuracy is not None and accuracy.labels is not None
    assert accuracy.labels.top1_percent == 100.0


def test_the_summary_says_what_is_known(tmp_path: Path):
    manifest = Manifest(
        model=FASHION_MNIST, target={}, floor="avx2", precision_hint="f32", rebuild=""
    )
    made = Quantized(
        folder=tmp_path,
        engine=Path("model.xml"),
        qdq=Path("model.qdq.onnx"),
        float_onnx=Path("model.onnx"),
        sqnr_db=38.44,
        simulated_sqnr_db=38.0,
        int8_share=0.987,
        int8_layers=("a", "b"),
        float_layers=(FloatLayer(node="h", operator="Gemm", reason="small", multiply_adds=9),),
        executed_in_float={},
        manifest=manifest,
    )
    assert made.summary == "model.xml: 2 layers in INT8 (99 % of the multiply-adds), SQNR 38.4 dB"
    assert replace(made, sqnr_db=None, int8_share=None).summary == "model.xml: 2 layers in INT8"
    fallen = replace(made, sqnr_db=None, executed_in_float={"fc": "f32"})
    assert fallen.summary.endswith("multiply-adds), 1 of them executed in float")
