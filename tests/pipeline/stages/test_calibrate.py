"""What the calibrate stage says of its samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edge_scnet
from edge_scnet.core.events import Silent
from edge_scnet.pipeline.stages.calibrate import Watched
from tests.helpers.graphs import tiny_onnx


class _Warnings(Silent):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        self.warnings.append(message)


@pytest.mark.parametrize("vary", [False, True])
def test_samples_that_are_all_the_same_are_said(tmp_path: Path, vary: bool) -> None:
    samples = np.repeat(np.random.default_rng(0).random((1, 1, 6, 6)), 120, axis=0)
    if vary:
        samples[119, 0, 5, 5] += 1.0
    model = tiny_onnx(tmp_path / "net.onnx")
    for _ in range(2):  # also where the ranges are reused
        said = _Warnings()
        edge_scnet.build(
            model,
            calib=samples.astype(np.float32),
            out=tmp_path / "out",
            until="calibrate",
            events=said,
        )
        found = [line for line in said.warnings if "gets the same for all 120 calibration" in line]
        assert len(found) == (0 if vary else 1), said.warnings


def test_samples_of_several_inputs_are_watched() -> None:
    kind = [("a", "f4", (2,)), ("b", "f4", (3,))]
    batches = [np.zeros(4, kind), np.zeros(3, kind)]
    watched = Watched(batches)
    assert len(list(watched)) == 2 and (watched.count, watched.vary) == (7, False)
    batches[1]["b"][2, 1] = 1
    watched = Watched(batches)
    assert sum(map(len, watched)) == 7 and watched.vary
