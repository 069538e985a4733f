"""Engines that compute something else while their accuracy is found than while they are timed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge_scnet.core.ragged import ragged
from edge_scnet.core.spec import InputForm
from edge_scnet.data.samples import SampleSet
from edge_scnet.errors import BackendError
from edge_scnet.profiler.as_timed import check_as_timed
from edge_scnet.profiler.outputs import evaluate
from tests.helpers.engines import SPEC, quiet

PATH = Path("engine.mem")
BOXES = np.random.default_rng(0).random((2, 50, 6)).astype(np.float32)


def test_last_digits_and_boxes_that_change_places_are_the_same() -> None:
    noisy = BOXES * (1 + 1e-4 * np.random.default_rng(1).standard_normal(BOXES.shape))
    check_as_timed(PATH, [BOXES[:1]], [noisy.astype(np.float32)])
    check_as_timed(PATH, [BOXES], [BOXES[:, ::-1]])


def test_infinities_of_a_mask_and_zeros_are_the_same() -> None:
    masked = np.array([[1.0, -np.inf, np.nan, 2.0]], np.float32)
    check_as_timed(PATH, [masked, 0 * BOXES], [masked, 0 * BOXES])


def test_whole_numbers_and_sizes_that_depend_on_the_data_are_not_compared() -> None:
    labels = np.arange(8).reshape(2, 4)
    found = ragged([BOXES[:1, :3], BOXES[:1, :5]])
    check_as_timed(PATH, [labels, found], [labels[::-1] + 5, ragged([BOXES[:1, :2]] * 2)])


@pytest.mark.parametrize(
    ("evaluated", "words"),
    [
        (1000 * BOXES, "-60.0 dB apart; allowed: at least 20 dB"),
        (BOXES * np.array([1, np.nan, 1, 1, 1, 1], np.float32), "other values are not finite"),
    ],
)
def test_another_result_is_an_error(evaluated: np.ndarray, words: str) -> None:
    with pytest.raises(BackendError, match="other outputs while its accuracy") as raised:
        check_as_timed(PATH, [BOXES[:1]], [evaluated])
    assert words in raised.value.message and raised.value.hint is not None


def test_an_engine_that_is_right_one_way_only_is_not_judged(samples: SampleSet) -> None:
    class Child:
        engine = SimpleNamespace(input=InputForm(), path=PATH)

        def call(self, method: str) -> Any:
            return [BOXES[:1, 0]] if method == "first_outputs" else ("boxes",)

        def start(self, method: str, images: np.ndarray) -> None:
            self.count = len(images)

        def result(self) -> list[np.ndarray]:
            return [np.full((self.count, 6), 1e6, np.float32)]

    children: Any = [Child()]
    with pytest.raises(BackendError, match=r"engine\.mem gives other outputs"):
        evaluate(children, samples, SPEC, quiet)
